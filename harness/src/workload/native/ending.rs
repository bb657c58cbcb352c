//! Channels that end while their connection stays: as faults want it, and opened again.

use std::{cell::Cell, rc::Rc};

use amq_protocol::{
    frame::{AMQPContentHeader, AMQPFrame},
    protocol::{AMQPClass, BasicProperties, basic, channel, queue},
};

use super::{CHANNEL, NativeLink, Outgoing, Reading, handshake};
use crate::{
    scenario::{ChannelEnd, NAME_BYTES_MAX},
    workload::link::{LinkEvent, LinkSetup},
};

/// A queue's name longer than this is one that no scenario can have.
const NAME_TOO_LONG: usize = NAME_BYTES_MAX + 1;
/// The broker's answer to a passive declare of what is not there.
const NOT_FOUND: u16 = 404;
/// Its answer to a message that breaks off.
const UNEXPECTED_FRAME: u16 = 505;

/// Where the channel stands, between link and reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Channel {
    #[default]
    Open,
    /// To be closed by the client, which sends nothing more.
    Closing,
    /// The client has broken off in the middle of a message: the broker is to close the connection.
    BrokenOff,
    /// To be closed by the broker; until then the client sends on.
    ClosingByBroker,
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
                let name = "-".repeat(NAME_TOO_LONG);
                let declare =
                    queue::Declare { queue: name.as_str().into(), passive: true, ..queue::Declare::default() };
                self.outgoing.send_method(AMQPClass::Queue(queue::AMQPMethod::Declare(declare)));
                Channel::ClosingByBroker
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
                Channel::BrokenOff
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
        matches!(self.channel.get(), Channel::Open | Channel::ClosingByBroker)
    }

    /// Whether it ended as [`Self::end_channel`] wanted it.
    pub fn has_ended(&self) -> bool {
        self.channel.get() == Channel::Closed
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
        let state = self.channel.get();
        match method {
            channel::AMQPMethod::Close(close) if state == Channel::ClosingByBroker && close.reply_code == NOT_FOUND => {
                outgoing.send_method(AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})));
                self.channel_closed(format!("channel closed: {} {}", close.reply_code, close.reply_text));
            }
            channel::AMQPMethod::Close(close) => {
                return Err(format!("channel closed: {} {}", close.reply_code, close.reply_text));
            }
            channel::AMQPMethod::CloseOk(_) if state == Channel::Closing => {
                self.channel_closed("closed by its client".into())
            }
            _ => {}
        }
        Ok(())
    }

    /// The broker closes the connection, for this reason.
    pub(super) fn connection_closed(&self, code: u16) {
        if self.channel.get() == Channel::BrokenOff && code == UNEXPECTED_FRAME {
            self.channel.set(Channel::Closed);
        }
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
