//! A client that says exactly what a test wants said, right or wrong.

use amq_protocol::protocol::{AMQPClass, basic, channel, confirm, connection, queue};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use warren::amqp::codec::{self, Frame, PROTOCOL_HEADER};

pub(crate) const FRAME_MAX: u32 = 4096;

pub(crate) struct RawClient {
    stream: DuplexStream,
    buffer: BytesMut,
}

/// A message as it came in.
#[derive(Debug, PartialEq)]
pub(crate) struct Received {
    pub(crate) method: basic::AMQPMethod,
    pub(crate) properties: basic::AMQPProperties,
    pub(crate) body: Vec<u8>,
    /// How many body frames it came in.
    pub(crate) frames: usize,
}

impl RawClient {
    /// Logs in as guest, with the smallest frames and `heartbeat` seconds.
    pub(crate) async fn login(stream: DuplexStream, heartbeat: u16) -> Self {
        Self::login_with(stream, heartbeat, &["consumer_cancel_notify"]).await
    }

    /// The same, with these capabilities.
    pub(crate) async fn login_with(stream: DuplexStream, heartbeat: u16, able: &[&str]) -> Self {
        let mut client = Self { stream, buffer: BytesMut::new() };
        client.bytes(&PROTOCOL_HEADER).await;
        assert!(matches!(client.connection_method().await, connection::AMQPMethod::Start(_)));
        let mut capabilities = amq_protocol::types::FieldTable::default();
        for name in able {
            capabilities.insert((*name).into(), amq_protocol::types::AMQPValue::Boolean(true));
        }
        let mut client_properties = amq_protocol::types::FieldTable::default();
        client_properties.insert("capabilities".into(), amq_protocol::types::AMQPValue::FieldTable(capabilities));
        let start_ok = connection::StartOk {
            client_properties,
            mechanism: "PLAIN".into(),
            response: "\0guest\0guest".into(),
            locale: "en_US".into(),
        };
        client.send(0, AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok))).await;
        assert!(matches!(client.connection_method().await, connection::AMQPMethod::Tune(_)));
        let tune_ok = connection::TuneOk { channel_max: 2047, frame_max: FRAME_MAX, heartbeat };
        client.send(0, AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok))).await;
        let open = connection::Open { virtual_host: "/".into() };
        client.send(0, AMQPClass::Connection(connection::AMQPMethod::Open(open))).await;
        assert!(matches!(client.connection_method().await, connection::AMQPMethod::OpenOk(_)));
        client
    }

    pub(crate) async fn bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the broker reads");
    }

    pub(crate) async fn send(&mut self, channel: u16, method: AMQPClass) {
        let mut out = Vec::new();
        codec::put_method(&mut out, channel, &method);
        self.bytes(&out).await;
    }

    pub(crate) async fn basic(&mut self, channel: u16, method: basic::AMQPMethod) {
        self.send(channel, AMQPClass::Basic(method)).await;
    }

    pub(crate) async fn publish(&mut self, channel: u16, publish: basic::Publish, body: &[u8]) {
        let mut out = Vec::new();
        codec::put_method(&mut out, channel, &AMQPClass::Basic(basic::AMQPMethod::Publish(publish)));
        codec::put_content(&mut out, channel, &[0, 0], body, FRAME_MAX);
        self.bytes(&out).await;
    }

    /// The next frame; `None` once the broker has closed the stream.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = codec::decode(&mut self.buffer, FRAME_MAX).expect("the broker speaks AMQP") {
                return Some(frame);
            }
            if self.stream.read_buf(&mut self.buffer).await.expect("a stream in memory") == 0 {
                return None;
            }
        }
    }

    /// The next method on `channel`; heartbeats are left out.
    pub(crate) async fn method(&mut self, channel: u16) -> AMQPClass {
        loop {
            match self.frame().await {
                Some(Frame::Heartbeat(0)) => {}
                Some(Frame::Method(on, method)) if on == channel => return method,
                other => panic!("expected a method on channel {channel}, got {other:?}"),
            }
        }
    }

    async fn connection_method(&mut self) -> connection::AMQPMethod {
        match self.method(0).await {
            AMQPClass::Connection(method) => method,
            other => panic!("expected a method of the connection class, got {other:?}"),
        }
    }

    /// The next message on `channel`, by whatever method.
    pub(crate) async fn message(&mut self, channel: u16) -> Received {
        let AMQPClass::Basic(method) = self.method(channel).await else { panic!("no content") };
        let Some(Frame::Header(on, header)) = self.frame().await else { panic!("no content after {method:?}") };
        assert_eq!(on, channel);
        let (mut body, mut frames) = (Vec::new(), 0);
        while (body.len() as u64) < header.body_size {
            let Some(Frame::Body(on, part)) = self.frame().await else { panic!("a body breaks off") };
            assert_eq!(on, channel);
            body.extend_from_slice(&part);
            frames += 1;
        }
        let properties = codec::decode_properties(&header.properties).expect("properties");
        Received { method, properties, body, frames }
    }

    pub(crate) async fn open_channel(&mut self, number: u16) {
        self.send(number, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}))).await;
        let method = self.method(number).await;
        assert!(matches!(method, AMQPClass::Channel(channel::AMQPMethod::OpenOk(_))), "{method:?}");
    }

    pub(crate) async fn declare(&mut self, channel: u16, name: &str) -> queue::DeclareOk {
        let declare = queue::Declare { queue: name.into(), durable: true, ..Default::default() };
        self.send(channel, AMQPClass::Queue(queue::AMQPMethod::Declare(declare))).await;
        match self.method(channel).await {
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) => ok,
            other => panic!("expected queue.declare-ok, got {other:?}"),
        }
    }

    pub(crate) async fn select_confirms(&mut self, channel: u16) {
        self.send(channel, AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait: false }))).await;
        let method = self.method(channel).await;
        assert!(matches!(method, AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(_))), "{method:?}");
    }

    pub(crate) async fn consume(&mut self, channel: u16, consume: basic::Consume) -> String {
        self.basic(channel, basic::AMQPMethod::Consume(consume)).await;
        match self.method(channel).await {
            AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(ok)) => ok.consumer_tag.to_string(),
            other => panic!("expected basic.consume-ok, got {other:?}"),
        }
    }

    /// Takes a message off `queue` with acks.
    pub(crate) async fn get(&mut self, channel: u16, queue: &str) -> Received {
        self.basic(channel, basic::AMQPMethod::Get(basic::Get { queue: queue.into(), no_ack: false })).await;
        self.message(channel).await
    }

    /// The error with which the broker closes `channel`: code, class and method. The client answers.
    pub(crate) async fn channel_error(&mut self, number: u16) -> (u16, (u16, u16)) {
        let close = match self.method(number).await {
            AMQPClass::Channel(channel::AMQPMethod::Close(close)) => close,
            other => panic!("expected channel.close, got {other:?}"),
        };
        self.send(number, AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}))).await;
        (close.reply_code, (close.class_id, close.method_id))
    }

    /// The error with which the broker closes the connection. The client answers, and sees the stream end.
    pub(crate) async fn connection_error(mut self) -> (u16, (u16, u16)) {
        let close = match self.connection_method().await {
            connection::AMQPMethod::Close(close) => close,
            other => panic!("expected connection.close, got {other:?}"),
        };
        self.send(0, AMQPClass::Connection(connection::AMQPMethod::CloseOk(connection::CloseOk {}))).await;
        assert_eq!(self.frame().await, None);
        (close.reply_code, (close.class_id, close.method_id))
    }
}
