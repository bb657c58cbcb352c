//! The native client: as little as possible between the workload and the wire.
//!
//! It speaks AMQP 0-9-1 on the same codec as the broker (`amq-protocol`), and does nothing on its own: no recovery, no
//! retry, no reordering. Models: a correct, eager client that pipelines. Does not model: any particular library's
//! quirks; for those there is `lapin`.

mod ending;
mod frames;
mod handshake;

pub(super) use handshake::queue_arguments;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    mem,
    rc::Rc,
    time::Duration,
};

use amq_protocol::{
    frame::AMQPFrame,
    protocol::{AMQPClass, BasicProperties, basic, connection},
    types::{AMQPValue, FieldTable},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::{Notify, mpsc},
};
use warren::platform::Platform;

use self::{ending::ChannelState, frames::FrameReader};
use super::link::{Incoming, LinkEvent, LinkSetup};
use crate::history::{PublishOutcome, Settle};

/// Asked for in the tune; the broker may lower it.
const HEARTBEAT: Duration = Duration::from_secs(5);
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
const CHANNEL: u16 = 1;

/// A connection with one channel.
pub struct NativeLink {
    outgoing: Rc<Outgoing>,
    events: mpsc::UnboundedReceiver<LinkEvent>,
    /// The tag of the last publish; the reader knows by it what was published.
    tag_last: Rc<Cell<u64>>,
    channel: ChannelState,
    /// Ends reader, writer and heartbeats when the link is dropped.
    tasks: Vec<tokio::task::AbortHandle>,
}

/// Bytes on their way to the socket.
struct Outgoing {
    bytes: RefCell<Vec<u8>>,
    ready: Notify,
}

impl Outgoing {
    fn send(&self, frame: &AMQPFrame) {
        frames::encode(frame, &mut self.bytes.borrow_mut());
        self.ready.notify_one();
    }

    fn send_method(&self, method: AMQPClass) {
        self.send(&AMQPFrame::Method(CHANNEL, method));
    }
}

impl NativeLink {
    /// Connects and prepares the channel.
    ///
    /// # Errors
    /// In words: what went wrong on the way.
    pub async fn open<P: Platform>(platform: &P, address: &str, setup: &LinkSetup) -> Result<Self, String> {
        let opening = async {
            let mut stream = platform.connect(address).await.map_err(|error| format!("connect: {error}"))?;
            let mut frames = FrameReader::new();
            let tuned = handshake::open(&mut stream, &mut frames, setup, HEARTBEAT).await?;
            Ok::<_, String>((stream, frames, tuned))
        };
        let (stream, frames, tuned) = tokio::select! {
            opened = opening => opened?,
            () = platform.sleep(OPEN_TIMEOUT) => return Err("no answer within 10 s while opening".into()),
        };
        let outgoing = Rc::new(Outgoing { bytes: RefCell::default(), ready: Notify::new() });
        let (reader, writer) = tokio::io::split(stream);
        let (sink, events) = mpsc::unbounded_channel();
        let tag_last = Rc::new(Cell::new(0));
        let channel = ChannelState::default();
        let reading = Reading::new(frames, (Rc::clone(&tag_last), Rc::clone(&channel)), sink.clone());
        let tasks = vec![
            platform.spawn("client reader", read(platform.clone(), reader, reading, outgoing.clone(), tuned.heartbeat)),
            platform.spawn("client writer", write(platform.clone(), writer, outgoing.clone(), tuned.heartbeat, sink)),
        ];
        Ok(Self { outgoing, events, tag_last, channel, tasks })
    }

    pub fn publish(&mut self, queue: &str, body: &[u8]) -> u64 {
        self.tag_last.set(self.tag_last.get() + 1);
        let publish =
            basic::Publish { exchange: "".into(), routing_key: queue.into(), mandatory: true, immediate: false };
        let mut bytes = self.outgoing.bytes.borrow_mut();
        let properties = BasicProperties::default().with_delivery_mode(2);
        frames::encode_content(
            CHANNEL,
            AMQPClass::Basic(basic::AMQPMethod::Publish(publish)),
            properties,
            body,
            &mut bytes,
        );
        drop(bytes);
        self.outgoing.ready.notify_one();
        self.tag_last.get()
    }

    pub fn consume(&mut self, queue: &str, no_ack: bool) {
        self.outgoing.send_method(AMQPClass::Basic(basic::AMQPMethod::Consume(basic::Consume {
            queue: queue.into(),
            consumer_tag: "ferret".into(),
            no_local: false,
            no_ack,
            exclusive: false,
            nowait: false,
            arguments: FieldTable::default(),
        })));
    }

    pub fn get(&mut self, queue: &str, no_ack: bool) {
        let get = basic::Get { queue: queue.into(), no_ack };
        self.outgoing.send_method(AMQPClass::Basic(basic::AMQPMethod::Get(get)));
    }

    pub fn settle(&mut self, tag: u64, settle: Settle) {
        let method = match settle {
            Settle::Ack { multiple } => basic::AMQPMethod::Ack(basic::Ack { delivery_tag: tag, multiple }),
            Settle::Reject { requeue } => basic::AMQPMethod::Reject(basic::Reject { delivery_tag: tag, requeue }),
            Settle::Nack { requeue, multiple } => {
                basic::AMQPMethod::Nack(basic::Nack { delivery_tag: tag, multiple, requeue })
            }
        };
        self.outgoing.send_method(AMQPClass::Basic(method));
    }

    pub async fn next(&mut self) -> LinkEvent {
        self.events.recv().await.unwrap_or_else(|| LinkEvent::Closed("connection lost".into()))
    }

    pub async fn close(&mut self) {
        let goodbye = connection::Close { reply_code: 200, reply_text: "done".into(), class_id: 0, method_id: 0 };
        self.outgoing.send(&AMQPFrame::Method(0, AMQPClass::Connection(connection::AMQPMethod::Close(goodbye))));
        while !matches!(self.next().await, LinkEvent::Closed(_)) {}
    }
}

impl Drop for NativeLink {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Sends what is there in one write; a heartbeat when there was nothing for half the interval.
async fn write<P: Platform>(
    platform: P,
    mut stream: WriteHalf<P::Stream>,
    outgoing: Rc<Outgoing>,
    heartbeat: Duration,
    sink: mpsc::UnboundedSender<LinkEvent>,
) {
    loop {
        let bytes = std::mem::take(&mut *outgoing.bytes.borrow_mut());
        if bytes.is_empty() {
            tokio::select! {
                biased;
                () = outgoing.ready.notified() => {}
                () = platform.sleep(heartbeat / 2) => outgoing.send(&AMQPFrame::Heartbeat),
            }
            continue;
        }
        let written = async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        };
        if let Err(error) = written.await {
            let _ = sink.send(LinkEvent::Closed(format!("write: {error}")));
            return;
        }
    }
}

/// What the reader knows between frames.
struct Reading {
    frames: FrameReader,
    content: Option<Content>,
    /// The tag of the last publish.
    tag_last: Rc<Cell<u64>>,
    channel: ChannelState,
    /// The highest tag of a publish that any ack or nack covered.
    heard_of: u64,
    /// Tags up to `heard_of` without an outcome yet.
    outstanding: BTreeSet<u64>,
    sink: mpsc::UnboundedSender<LinkEvent>,
}

/// A message of which the method has arrived, and maybe some of the body.
struct Content {
    method: basic::AMQPMethod,
    delivery_count: Option<u32>,
    body: Vec<u8>,
    body_bytes: Option<u64>,
}

async fn read<P: Platform>(
    platform: P,
    mut stream: ReadHalf<P::Stream>,
    mut reading: Reading,
    outgoing: Rc<Outgoing>,
    heartbeat: Duration,
) {
    let reason = loop {
        match reading.frames.take() {
            Err(error) => break error,
            Ok(Some(frame)) => {
                if let Err(reason) = reading.handle(frame, &outgoing) {
                    break reason;
                }
                continue;
            }
            Ok(None) => {}
        }
        let heard = tokio::select! {
            biased;
            heard = stream.read_buf(reading.frames.buffer()) => heard,
            () = platform.sleep(heartbeat * 2) => break "no heartbeat from the broker".to_owned(),
        };
        match heard {
            Ok(0) => break "end of stream".to_owned(),
            Ok(_) => {}
            Err(error) => break format!("read: {error}"),
        }
    };
    let _ = reading.sink.send(LinkEvent::Closed(reason));
}

impl Reading {
    fn new(
        frames: FrameReader,
        (tag_last, channel): (Rc<Cell<u64>>, ChannelState),
        sink: mpsc::UnboundedSender<LinkEvent>,
    ) -> Self {
        Self { frames, content: None, tag_last, channel, heard_of: 0, outstanding: BTreeSet::new(), sink }
    }

    /// Takes one frame. `Err` is why the link ends.
    fn handle(&mut self, frame: AMQPFrame, outgoing: &Outgoing) -> Result<(), String> {
        match frame {
            AMQPFrame::Method(0, AMQPClass::Connection(method)) => match method {
                connection::AMQPMethod::Close(close) => {
                    self.connection_closed(close.reply_code);
                    let ok = connection::AMQPMethod::CloseOk(connection::CloseOk {});
                    outgoing.send(&AMQPFrame::Method(0, AMQPClass::Connection(ok)));
                    Err(format!("connection closed: {} {}", close.reply_code, close.reply_text))
                }
                connection::AMQPMethod::CloseOk(_) => Err("closed".into()),
                connection::AMQPMethod::Blocked(_) => {
                    self.tell(LinkEvent::Blocked);
                    Ok(())
                }
                connection::AMQPMethod::Unblocked(_) => {
                    self.tell(LinkEvent::Unblocked);
                    Ok(())
                }
                _ => Ok(()),
            },
            AMQPFrame::Method(CHANNEL, AMQPClass::Channel(method)) => self.handle_channel(method, outgoing),
            AMQPFrame::Method(CHANNEL, AMQPClass::Basic(method)) => self.handle_basic(method),
            AMQPFrame::Header(CHANNEL, header) => {
                if let Some(content) = &mut self.content {
                    content.body_bytes = Some(header.body_size);
                    content.delivery_count = header.properties.headers().as_ref().and_then(delivery_count);
                }
                self.finish_content();
                Ok(())
            }
            AMQPFrame::Body(CHANNEL, bytes) => {
                if let Some(content) = &mut self.content {
                    content.body.extend_from_slice(&bytes);
                }
                self.finish_content();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn handle_basic(&mut self, method: basic::AMQPMethod) -> Result<(), String> {
        match method {
            basic::AMQPMethod::Ack(ack) => {
                self.settle_publishes(ack.delivery_tag, ack.multiple, PublishOutcome::Confirmed);
            }
            basic::AMQPMethod::Nack(nack) => {
                self.settle_publishes(nack.delivery_tag, nack.multiple, PublishOutcome::Nacked);
            }
            basic::AMQPMethod::QosOk(_) => self.prepared(),
            basic::AMQPMethod::GetEmpty(_) => self.tell(LinkEvent::Got(None)),
            basic::AMQPMethod::Cancel(_) => return Err("consumer cancelled by the broker".into()),
            method @ (basic::AMQPMethod::Deliver(_) | basic::AMQPMethod::GetOk(_) | basic::AMQPMethod::Return(_)) => {
                self.content = Some(Content { method, delivery_count: None, body: Vec::new(), body_bytes: None });
            }
            _ => {}
        }
        Ok(())
    }

    /// `multiple` covers every outstanding publish up to `tag`, or all of them if that is 0. What is named has an
    /// outcome in any case: two for one tag, or one for what was never published, are both passed on, and judging them
    /// is the checkers' business.
    fn settle_publishes(&mut self, tag: u64, multiple: bool, outcome: PublishOutcome) {
        let published = self.tag_last.get();
        let covered = if multiple && tag == 0 { published } else { tag.min(published) };
        self.outstanding.extend(self.heard_of + 1..=covered);
        self.heard_of = self.heard_of.max(covered);
        // Tag 0 names all that is left; it names nothing if nothing is.
        let names_one = self.outstanding.contains(&tag) || (multiple && tag == 0 && !self.outstanding.is_empty());
        if multiple {
            let beyond = self.outstanding.split_off(&(covered + 1));
            for tag in mem::replace(&mut self.outstanding, beyond) {
                self.tell(LinkEvent::Outcome { tag, outcome });
            }
        } else if self.outstanding.remove(&tag) {
            self.tell(LinkEvent::Outcome { tag, outcome });
        }
        if !names_one {
            self.tell(LinkEvent::Outcome { tag, outcome });
        }
    }

    fn finish_content(&mut self) {
        let complete = |content: &Content| content.body_bytes.is_some_and(|bytes| content.body.len() as u64 >= bytes);
        if !self.content.as_ref().is_some_and(complete) {
            return;
        }
        let Some(content) = self.content.take() else { return };
        let Content { method, delivery_count, body, .. } = content;
        match method {
            basic::AMQPMethod::Deliver(deliver) => {
                self.tell(LinkEvent::Delivered(Incoming {
                    tag: deliver.delivery_tag,
                    redelivered: deliver.redelivered,
                    delivery_count,
                    body,
                }));
            }
            basic::AMQPMethod::GetOk(got) => {
                let (tag, redelivered) = (got.delivery_tag, got.redelivered);
                self.tell(LinkEvent::Got(Some(Incoming { tag, redelivered, delivery_count, body })));
            }
            basic::AMQPMethod::Return(_) => self.tell(LinkEvent::Returned(body)),
            _ => unreachable!("only these start a content"),
        }
    }

    fn tell(&self, event: LinkEvent) {
        let _ = self.sink.send(event);
    }
}

/// The `x-delivery-count` among a message's headers.
pub(super) fn delivery_count(headers: &FieldTable) -> Option<u32> {
    match headers.inner().get("x-delivery-count")? {
        AMQPValue::LongLongInt(count) => u32::try_from(*count).ok(),
        AMQPValue::LongInt(count) => u32::try_from(*count).ok(),
        AMQPValue::LongUInt(count) => Some(*count),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: PublishOutcome = PublishOutcome::Confirmed;
    const NACK: PublishOutcome = PublishOutcome::Nacked;

    /// What a client that has published six messages hears of these acks and nacks: tag, `multiple`, outcome.
    fn heard(answers: &[(u64, bool, PublishOutcome)]) -> Vec<(u64, PublishOutcome)> {
        let (sink, mut events) = mpsc::unbounded_channel();
        let mut reading = Reading::new(FrameReader::new(), (Rc::new(Cell::new(6)), ChannelState::default()), sink);
        for &(delivery_tag, multiple, outcome) in answers {
            let method = match outcome {
                PublishOutcome::Nacked => {
                    basic::AMQPMethod::Nack(basic::Nack { delivery_tag, multiple, requeue: false })
                }
                _ => basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple }),
            };
            reading.handle_basic(method).expect("an answer ends no link");
        }
        let outcomes = std::iter::from_fn(|| events.try_recv().ok()).map(|event| match event {
            LinkEvent::Outcome { tag, outcome } => (tag, outcome),
            other => panic!("no answer to a publish: {other:?}"),
        });
        outcomes.collect()
    }

    #[test]
    fn an_answer_to_several_is_one_for_each_that_had_none() {
        assert_eq!(heard(&[(2, false, ACK), (4, true, ACK)]), [(2, ACK), (1, ACK), (3, ACK), (4, ACK)]);
        assert_eq!(heard(&[(2, true, ACK), (3, true, NACK)]), [(1, ACK), (2, ACK), (3, NACK)]);
    }

    #[test]
    fn tag_0_with_multiple_is_everything_that_was_published() {
        let all = |outcome| (3..=6).map(move |tag| (tag, outcome));
        let expected: Vec<_> = [(1, ACK), (2, ACK)].into_iter().chain(all(NACK)).collect();
        assert_eq!(heard(&[(2, true, ACK), (0, true, NACK)]), expected);
        // Of nothing left, it says too much.
        assert_eq!(heard(&[(6, true, ACK), (0, true, ACK)]).last(), Some(&(0, ACK)));
    }

    #[test]
    fn a_second_outcome_is_told_also_if_it_is_one_of_several() {
        assert_eq!(heard(&[(3, false, ACK), (3, false, NACK)]), [(3, ACK), (3, NACK)]);
        assert_eq!(heard(&[(2, true, ACK), (2, true, NACK)]), [(1, ACK), (2, ACK), (2, NACK)]);
    }

    #[test]
    fn an_outcome_of_what_was_never_published_is_told_and_costs_nothing() {
        assert_eq!(heard(&[(u64::MAX, false, ACK)]), [(u64::MAX, ACK)]);
        let expected: Vec<_> = (1..=6).map(|tag| (tag, ACK)).chain([(u64::MAX, ACK)]).collect();
        assert_eq!(heard(&[(u64::MAX, true, ACK)]), expected);
        assert_eq!(heard(&[(0, false, ACK)]), [(0, ACK)]);
    }
}
