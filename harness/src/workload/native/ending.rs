//! Channels that end while their connection stays: as faults want it, and opened again.

use std::{cell::Cell, rc::Rc};

use amq_protocol::{
    frame::{AMQPContentHeader, AMQPFrame},
    protocol::{AMQPClass, BasicProperties, basic, channel, queue},
};

use super::{CHANNEL, NativeLink, Outgoing, Reading, handshake};
use crate::{
    scenario::ChannelEnd,
    workload::link::{LinkEvent, LinkSetup},
};

/// A queue that no scenario can have: its name is longer than theirs may be.
const NO_QUEUE: [u8; 200] = [b'-'; 200];

/// Where the channel stands, between link and reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Channel {
    #[default]
    Open,
    /// To be closed by the client, which sends nothing more.
    Closing,
    /// To be closed by the broker; until then the client sends on.
    Doomed,
    Closed,
    Reopening,
}

pub(super) type ChannelState = Rc<Cell<Channel>>;

impl NativeLink {
    /// Ends the channel, as faults want it; `body` is what breaks off in the middle, if anything is to.
    pub fn end_channel(&mut self, how: ChannelEnd, queue: &str, body: &[u8]) {
        let state = match how {
            ChannelEnd::Clean => {
                self.close_channel();
                Channel::Closing
            }
            ChannelEnd::Error => {
                let name = std::str::from_utf8(&NO_QUEUE).expect("ASCII");
                let declare = queue::Declare { queue: name.into(), passive: true, ..queue::Declare::default() };
                self.outgoing.send_method(AMQPClass::Queue(queue::AMQPMethod::Declare(declare)));
                Channel::Doomed
            }
            ChannelEnd::Half => {
                let publish = basic::Publish { routing_key: queue.into(), ..basic::Publish::default() };
                self.outgoing.send_method(AMQPClass::Basic(basic::AMQPMethod::Publish(publish)));
                let header = AMQPContentHeader {
                    class_id: 60,
                    body_size: body.len() as u64,
                    properties: BasicProperties::default().with_delivery_mode(2),
                };
                self.outgoing.send(&AMQPFrame::Header(CHANNEL, header));
                self.outgoing.send(&AMQPFrame::Body(CHANNEL, body[..body.len() / 2].to_vec()));
                self.close_channel();
                Channel::Closing
            }
        };
        self.channel.set(state);
    }

    fn close_channel(&self) {
        let close = channel::Close { reply_code: 200, reply_text: "done".into(), class_id: 0, method_id: 0 };
        self.outgoing.send_method(AMQPClass::Channel(channel::AMQPMethod::Close(close)));
    }

    /// Whether the channel takes publishes.
    pub fn takes_publishes(&self) -> bool {
        matches!(self.channel.get(), Channel::Open | Channel::Doomed)
    }

    /// Opens a channel of the same number, and prepares it, all in one go.
    pub fn reopen(&mut self, setup: &LinkSetup) {
        self.channel.set(Channel::Reopening);
        self.outgoing.send_method(AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
        for method in handshake::preparations(setup) {
            self.outgoing.send_method(method);
        }
    }
}

impl Reading {
    /// Takes a method of the channel class. `Err` is why the link ends.
    pub(super) fn handle_channel(&mut self, method: channel::AMQPMethod, outgoing: &Outgoing) -> Result<(), String> {
        let awaited = matches!(self.channel.get(), Channel::Closing | Channel::Doomed);
        match method {
            channel::AMQPMethod::Close(close) if awaited => {
                outgoing.send_method(AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})));
                self.channel_closed(format!("channel closed: {} {}", close.reply_code, close.reply_text));
            }
            channel::AMQPMethod::Close(close) => {
                return Err(format!("channel closed: {} {}", close.reply_code, close.reply_text));
            }
            channel::AMQPMethod::CloseOk(_) if awaited => self.channel_closed("closed by its client".into()),
            _ => {}
        }
        Ok(())
    }

    /// The next channel counts from 1 again.
    fn channel_closed(&mut self, reason: String) {
        self.channel.set(Channel::Closed);
        self.tag_last.set(0);
        self.heard_of = 0;
        self.outstanding.clear();
        self.content = None;
        self.tell(LinkEvent::ChannelClosed(reason));
    }

    /// The last answer to what [`NativeLink::reopen`] asked for has come.
    pub(super) fn prepared(&self) {
        if self.channel.get() == Channel::Reopening {
            self.channel.set(Channel::Open);
            self.tell(LinkEvent::Reopened);
        }
    }
}
