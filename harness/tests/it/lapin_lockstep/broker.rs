//! A broker that follows a script: one queue, one consumer, just enough of AMQP 0-9-1 for a client to work.

use amq_protocol::{
    frame::{AMQPContentHeader, AMQPFrame, ProtocolVersion, WriteContext, gen_frame, parse_frame},
    protocol::{AMQPClass, BasicProperties, basic, channel, confirm, connection, queue},
    types::FieldTable,
};
use ferret::sim::{SimPlatform, SimStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use warren::platform::{Listener, Platform};

use super::Diary;

/// How the broker behaves.
#[derive(Clone, Default)]
pub(super) struct Script {
    /// Accepts the connection and never answers.
    pub(super) silent: bool,
    /// Hangs up as soon as it is dialled.
    pub(super) hangs_up: bool,
    pub(super) refuses_login: bool,
    /// Hangs up instead of confirming the last of so many.
    pub(super) publishes_before_end: Option<usize>,
    /// Confirms so many publishes with one `multiple` confirm; 0 is each on its own.
    pub(super) confirms_together: usize,
    /// Proposed, seconds.
    pub(super) heartbeat: u16,
}

/// Serves every connection as `script` says.
pub(super) async fn serve(platform: SimPlatform, script: Script, diary: Diary) {
    let mut listener = platform.listen("broker:5672").await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        if script.hangs_up {
            continue;
        }
        let session = Session {
            diary: diary.clone(),
            platform: platform.clone(),
            script: script.clone(),
            stream,
            received: Vec::new(),
            publishes: 0,
            body_size: None,
            body: Vec::new(),
            consumer: None,
            deliveries: 0,
        };
        platform.spawn("session", session.run());
    }
}

/// One connection.
struct Session {
    diary: Diary,
    platform: SimPlatform,
    script: Script,
    stream: SimStream,
    received: Vec<u8>,
    publishes: usize,
    /// The body size of the publish under way, once its header is in.
    body_size: Option<u64>,
    body: Vec<u8>,
    /// The consumer's channel.
    consumer: Option<u16>,
    deliveries: u64,
}

impl Session {
    async fn run(mut self) {
        while let Some(frame) = self.next_frame().await {
            let name = format!("{frame:?}");
            self.note(format!("received {}", &name[..name.len().min(100)]));
            if self.script.silent {
                continue;
            }
            let goes_on = match frame {
                AMQPFrame::ProtocolHeader(version) => {
                    assert_eq!(version, ProtocolVersion::amqp_0_9_1());
                    self.method(0, start()).await;
                    true
                }
                AMQPFrame::Method(channel, method) => self.handle(channel, method).await,
                AMQPFrame::Header(channel, header) => {
                    self.body_size = Some(header.body_size);
                    self.finish_publish(channel).await
                }
                AMQPFrame::Body(channel, bytes) => {
                    self.body.extend(bytes);
                    self.finish_publish(channel).await
                }
                AMQPFrame::Heartbeat => {
                    self.send(AMQPFrame::Heartbeat).await;
                    true
                }
                other => panic!("the script has no answer to {other:?}"),
            };
            if !goes_on {
                return;
            }
        }
        self.note("end of stream".to_owned());
    }

    fn note(&self, event: String) {
        self.diary.note(&self.platform, format!("broker: {event}"));
    }

    /// Answers a method; `false` at the end of the connection.
    async fn handle(&mut self, channel: u16, method: AMQPClass) -> bool {
        let answer = match method {
            AMQPClass::Connection(method) => match self.handle_connection(method).await {
                Some(answer) => AMQPClass::Connection(answer),
                None => return true,
            },
            AMQPClass::Channel(channel::AMQPMethod::Open(_)) => {
                AMQPClass::Channel(channel::AMQPMethod::OpenOk(channel::OpenOk {}))
            }
            AMQPClass::Channel(channel::AMQPMethod::Close(_)) => {
                AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}))
            }
            AMQPClass::Confirm(confirm::AMQPMethod::Select(_)) => {
                AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(confirm::SelectOk {}))
            }
            AMQPClass::Queue(queue::AMQPMethod::Declare(declare)) => {
                AMQPClass::Queue(queue::AMQPMethod::DeclareOk(queue::DeclareOk {
                    queue: declare.queue,
                    message_count: 0,
                    consumer_count: 0,
                }))
            }
            AMQPClass::Basic(basic::AMQPMethod::Consume(basic::Consume { consumer_tag, .. })) => {
                self.consumer = Some(channel);
                AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(basic::ConsumeOk { consumer_tag }))
            }
            AMQPClass::Basic(basic::AMQPMethod::Cancel(basic::Cancel { consumer_tag, .. })) => {
                AMQPClass::Basic(basic::AMQPMethod::CancelOk(basic::CancelOk { consumer_tag }))
            }
            AMQPClass::Basic(basic::AMQPMethod::Publish(_)) => return true,
            AMQPClass::Basic(basic::AMQPMethod::Ack(ack)) => {
                self.note(format!("acked {}", ack.delivery_tag));
                return true;
            }
            other => panic!("the script has no answer to {other:?}"),
        };
        let ends = matches!(answer, AMQPClass::Connection(connection::AMQPMethod::CloseOk(_)));
        self.method(channel, answer).await;
        if ends {
            self.note("connection closed".to_owned());
        }
        !ends
    }

    /// The answer to a method of the connection class, if it has one.
    async fn handle_connection(&mut self, method: connection::AMQPMethod) -> Option<connection::AMQPMethod> {
        Some(match method {
            connection::AMQPMethod::StartOk(_) if self.script.refuses_login => {
                connection::AMQPMethod::Close(connection::Close {
                    reply_code: 403,
                    reply_text: "ACCESS_REFUSED".into(),
                    class_id: 0,
                    method_id: 0,
                })
            }
            connection::AMQPMethod::StartOk(_) => connection::AMQPMethod::Tune(connection::Tune {
                channel_max: 100,
                frame_max: 8192,
                heartbeat: self.script.heartbeat,
            }),
            connection::AMQPMethod::Open(_) => connection::AMQPMethod::OpenOk(connection::OpenOk {}),
            connection::AMQPMethod::Close(_) => connection::AMQPMethod::CloseOk(connection::CloseOk {}),
            connection::AMQPMethod::TuneOk(_) | connection::AMQPMethod::CloseOk(_) => return None,
            other => panic!("the script has no answer to {other:?}"),
        })
    }

    /// When the body is complete: confirms the publish and delivers the message. `false` at the end of the connection.
    async fn finish_publish(&mut self, channel: u16) -> bool {
        if self.body_size != Some(self.body.len() as u64) {
            return true;
        }
        self.body_size = None;
        let body = std::mem::take(&mut self.body);
        self.publishes += 1;
        self.note(format!("publish {}", self.publishes));
        if self.script.publishes_before_end == Some(self.publishes) {
            return false;
        }
        let multiple = self.script.confirms_together > 0;
        if !multiple || self.publishes.is_multiple_of(self.script.confirms_together) {
            let confirm = basic::Ack { delivery_tag: self.publishes as u64, multiple };
            self.method(channel, AMQPClass::Basic(basic::AMQPMethod::Ack(confirm))).await;
        }
        if let Some(channel) = self.consumer {
            self.deliver(channel, &body).await;
        }
        true
    }

    async fn deliver(&mut self, channel: u16, body: &[u8]) {
        self.deliveries += 1;
        let deliver = basic::Deliver {
            consumer_tag: "c".into(),
            delivery_tag: self.deliveries,
            redelivered: false,
            exchange: "".into(),
            routing_key: "q".into(),
        };
        self.method(channel, AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver))).await;
        let header =
            AMQPContentHeader { class_id: 60, body_size: body.len() as u64, properties: BasicProperties::default() };
        self.send(AMQPFrame::Header(channel, header)).await;
        for part in body.chunks(8000) {
            self.send(AMQPFrame::Body(channel, part.to_vec())).await;
        }
    }

    async fn method(&mut self, channel: u16, method: AMQPClass) {
        self.send(AMQPFrame::Method(channel, method)).await;
    }

    async fn send(&mut self, frame: AMQPFrame) {
        let bytes = gen_frame(&frame)(WriteContext::from(Vec::new())).unwrap().into_inner().0;
        // A client that is gone is noticed by the next read.
        let _client_is_gone = self.stream.write_all(&bytes).await;
    }

    async fn next_frame(&mut self) -> Option<AMQPFrame> {
        loop {
            if let Ok((rest, frame)) = parse_frame(self.received.as_slice()) {
                let used = self.received.len() - rest.len();
                self.received.drain(..used);
                return Some(frame);
            }
            if self.stream.read_buf(&mut self.received).await.ok()? == 0 {
                return None;
            }
        }
    }
}

fn start() -> AMQPClass {
    AMQPClass::Connection(connection::AMQPMethod::Start(connection::Start {
        version_major: 0,
        version_minor: 9,
        server_properties: FieldTable::default(),
        mechanisms: "PLAIN".into(),
        locales: "en_US".into(),
    }))
}
