//! From an open socket to a channel ready for work, one request at a time.

use std::time::Duration;

use amq_protocol::{
    frame::{AMQPFrame, ProtocolVersion},
    protocol::{AMQPClass, basic, channel, confirm, connection, queue},
    types::{AMQPValue, FieldTable, LongString},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    CHANNEL,
    frames::{self, FRAME_BYTES_MAX, FrameReader},
};
use crate::workload::link::LinkSetup;

const CAPABILITIES: [&str; 5] = [
    "publisher_confirms",
    "basic.nack",
    "consumer_cancel_notify",
    "authentication_failure_close",
    "connection.blocked",
];

/// What client and broker agreed on.
pub struct Tuned {
    pub heartbeat: Duration,
}

/// Opens connection and channel, declares the queue, sets confirms and prefetch.
///
/// # Errors
/// In words: the broker's refusal, or the stream's end.
pub async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    frames: &mut FrameReader,
    setup: &LinkSetup,
    heartbeat: Duration,
) -> Result<Tuned, String> {
    let mut wire = Wire { stream, frames };
    wire.send(&AMQPFrame::ProtocolHeader(ProtocolVersion::amqp_0_9_1())).await?;
    wire.expect(0, "connection.start", |method| {
        matches!(method, AMQPClass::Connection(connection::AMQPMethod::Start(_))).then_some(())
    })
    .await?;
    let mut capabilities = FieldTable::default();
    for name in CAPABILITIES {
        capabilities.insert(name.into(), AMQPValue::Boolean(true));
    }
    let mut client_properties = FieldTable::default();
    client_properties.insert("product".into(), AMQPValue::LongString("Ferret".into()));
    client_properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    let start_ok = connection::StartOk {
        client_properties,
        mechanism: "PLAIN".into(),
        response: LongString::from("\0guest\0guest"),
        locale: "en_US".into(),
    };
    wire.send_method(0, AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok))).await?;
    let tune = wire
        .expect(0, "connection.tune", |method| match method {
            AMQPClass::Connection(connection::AMQPMethod::Tune(tune)) => Some(tune),
            _ => None,
        })
        .await?;
    if tune.frame_max != 0 && tune.frame_max < FRAME_BYTES_MAX {
        return Err(format!("the broker's frame-max of {} bytes is below the client's", tune.frame_max));
    }
    let seconds = match tune.heartbeat {
        0 => heartbeat.as_secs(),
        offered => u64::from(offered).min(heartbeat.as_secs()),
    };
    let tune_ok = connection::TuneOk {
        channel_max: tune.channel_max,
        frame_max: FRAME_BYTES_MAX,
        heartbeat: u16::try_from(seconds).unwrap_or(u16::MAX),
    };
    wire.send_method(0, AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok))).await?;
    let vhost = connection::Open { virtual_host: "/".into() };
    wire.send_method(0, AMQPClass::Connection(connection::AMQPMethod::Open(vhost))).await?;
    wire.expect(0, "connection.open-ok", |method| {
        matches!(method, AMQPClass::Connection(connection::AMQPMethod::OpenOk(_))).then_some(())
    })
    .await?;
    wire.send_method(CHANNEL, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}))).await?;
    wire.expect(CHANNEL, "channel.open-ok", |method| {
        matches!(method, AMQPClass::Channel(channel::AMQPMethod::OpenOk(_))).then_some(())
    })
    .await?;
    prepare_channel(&mut wire, setup).await?;
    Ok(Tuned { heartbeat: Duration::from_secs(seconds.max(1)) })
}

async fn prepare_channel<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<'_, S>,
    setup: &LinkSetup,
) -> Result<(), String> {
    for method in preparations(setup) {
        wire.send_method(CHANNEL, method).await?;
        wire.expect(CHANNEL, "the answer to what prepares the channel", |method| {
            let answers = matches!(
                method,
                AMQPClass::Queue(queue::AMQPMethod::DeclareOk(_))
                    | AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(_))
                    | AMQPClass::Basic(basic::AMQPMethod::QosOk(_))
            );
            answers.then_some(())
        })
        .await?;
    }
    Ok(())
}

/// What a new channel is asked for, in order; each has one answer, and `basic.qos-ok` is the last of them.
pub(super) fn preparations(setup: &LinkSetup) -> impl Iterator<Item = AMQPClass> {
    let declare = queue::Declare {
        queue: setup.queue.as_str().into(),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: queue_arguments(setup),
    };
    let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
    let qos = basic::Qos { prefetch_count: setup.prefetch, global: false };
    [
        Some(AMQPClass::Queue(queue::AMQPMethod::Declare(declare))),
        setup.confirms.then_some(AMQPClass::Confirm(select)),
        Some(AMQPClass::Basic(basic::AMQPMethod::Qos(qos))),
    ]
    .into_iter()
    .flatten()
}

/// The arguments with which the workload declares a queue; both clients must use the same ones.
pub fn queue_arguments(setup: &LinkSetup) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    if let Some(size) = setup.group_size {
        arguments.insert("x-quorum-initial-group-size".into(), AMQPValue::LongInt(size.cast_signed()));
    }
    arguments
}

struct Wire<'a, S> {
    stream: &'a mut S,
    frames: &'a mut FrameReader,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<'_, S> {
    async fn send(&mut self, frame: &AMQPFrame) -> Result<(), String> {
        let mut bytes = Vec::new();
        frames::encode(frame, &mut bytes);
        self.stream.write_all(&bytes).await.map_err(|error| format!("write: {error}"))?;
        self.stream.flush().await.map_err(|error| format!("write: {error}"))
    }

    async fn send_method(&mut self, channel: u16, method: AMQPClass) -> Result<(), String> {
        self.send(&AMQPFrame::Method(channel, method)).await
    }

    /// Waits for the method that `pick` accepts.
    async fn expect<T>(
        &mut self,
        channel: u16,
        name: &str,
        pick: impl Fn(AMQPClass) -> Option<T>,
    ) -> Result<T, String> {
        loop {
            let Some(frame) = self.frames.take()? else {
                let count = self.stream.read_buf(self.frames.buffer()).await;
                match count.map_err(|error| format!("read: {error}"))? {
                    0 => return Err(format!("end of stream while waiting for {name}")),
                    _ => continue,
                }
            };
            match frame {
                AMQPFrame::Method(_, AMQPClass::Connection(connection::AMQPMethod::Close(close))) => {
                    return Err(format!("connection closed: {} {}", close.reply_code, close.reply_text));
                }
                AMQPFrame::Method(_, AMQPClass::Channel(channel::AMQPMethod::Close(close))) => {
                    return Err(format!("channel closed: {} {}", close.reply_code, close.reply_text));
                }
                AMQPFrame::Method(at, method) if at == channel => {
                    return pick(method).ok_or_else(|| format!("the broker answered with something else than {name}"));
                }
                AMQPFrame::Heartbeat => {}
                _ => return Err(format!("unexpected frame while waiting for {name}")),
            }
        }
    }
}
