//! The unmodified lapin crate, in lock-step, against a scripted broker on the other end of an in-memory stream.
#![expect(clippy::disallowed_methods, reason = "the platform of these tests is made of tokio's own, on a paused clock")]

use std::{
    cell::RefCell,
    fs, io,
    path::Path,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use amq_protocol::{
    frame::{AMQPContentHeader, AMQPFrame, ProtocolVersion, WriteContext, gen_frame, parse_frame},
    protocol::{AMQPClass, BasicProperties, basic, channel, confirm, connection, queue},
    types::FieldTable,
};
use ferret::workload::lapin::{self as lock_step, Options};
use lapin::{
    ErrorKind, PublisherConfirm,
    options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    runtime::UnhandledPanic,
    task::{AbortHandle, LocalSet},
    time::Instant,
};
use warren::platform::{Disk, File, Listener, NodeId, Observation, OpenMode, Platform, Sabotage};

/// What happened, and at what virtual time.
type Trace = Vec<(Duration, String)>;

#[test]
fn messages_are_published_confirmed_consumed_and_acked() {
    let trace = simulate(async |host| {
        let broker = host.broker(Script::default());
        let connection = lock_step::connect(&host, broker, host.options()).await.unwrap();
        work(&host, &connection).await;
        // A channel that is still closing makes lapin fail the close of the connection.
        host.sleep(Duration::from_secs(1)).await;
        connection.close(200, "bye".into()).await.unwrap();
        drop(connection);
        host.threads_end().await;
    });
    let seen = |what: &str| trace.iter().filter(|(_, event)| event.contains(what)).count();
    assert_eq!(seen("publish"), MESSAGES);
    assert_eq!(seen("client: message"), MESSAGES);
    assert_eq!(seen("client: confirmed"), MESSAGES);
    assert_eq!(seen("broker: acked"), MESSAGES);
    assert_eq!(seen("broker: connection closed"), 1);
}

#[test]
fn two_runs_are_the_same_run() {
    let run = || {
        simulate(async |host| {
            let broker = host.broker(Script::default());
            let options = Options { poll_every: None, ..host.options() };
            let connection = lock_step::connect(&host, broker, options).await.unwrap();
            work(&host, &connection).await;
            drop(connection);
            host.threads_end().await;
        })
    };
    let first = run();
    for _ in 0..5 {
        assert_eq!(run(), first);
    }
}

#[test]
fn a_confirm_fails_when_the_broker_goes_away() {
    simulate(async |host| {
        let broker = host.broker(Script { publishes_before_end: Some(3), ..Script::default() });
        let connection = lock_step::connect(&host, broker, host.options()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        for _ in 0..2 {
            let confirm = publish(&channel, b"kept").await.unwrap();
            assert!(confirm.await.unwrap().is_ack());
        }
        let confirm = publish(&channel, b"lost").await.unwrap();
        let error = confirm.await.unwrap_err();
        assert!(error.is_io_error(), "{error:?}");
        host.threads_end().await;
        assert!(publish(&channel, b"late").await.is_err());
        assert!(connection.create_channel().await.is_err());
    });
}

#[test]
fn a_call_outside_watch_waits_for_the_next_poll_and_a_watched_one_does_not() {
    simulate(async |host| {
        let broker = host.broker(Script { latency: Duration::ZERO, ..Script::default() });
        let poll_every = Duration::from_millis(700);
        let options = Options { poll_every: Some(poll_every), ..host.options() };
        let connection = lock_step::connect(&host, broker, options).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        host.sleep(Duration::from_millis(1)).await;

        let before = host.now();
        connection.watch(channel.confirm_select(ConfirmSelectOptions::default())).await.unwrap();
        assert_eq!(host.now(), before);

        host.sleep(Duration::from_millis(1)).await;
        let before = host.now();
        channel.queue_declare("q".into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
        let waited = host.now() - before;
        assert!(waited > Duration::from_millis(600) && waited <= poll_every, "{waited:?}");
    });
}

#[test]
fn a_refused_login_is_an_error_and_ends_the_thread() {
    simulate(async |host| {
        let broker = host.broker(Script { refuses_login: true, ..Script::default() });
        let error = lock_step::connect(&host, broker, host.options()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ProtocolError(_)), "{error:?}");
        host.threads_end().await;
    });
}

#[test]
fn a_broker_that_hangs_up_during_the_handshake_is_an_error_and_ends_the_thread() {
    simulate(async |host| {
        let (stream, far_end) = tokio::io::duplex(1024);
        drop(far_end);
        let error = lock_step::connect(&host, stream, host.options()).await.unwrap_err();
        assert!(error.is_io_error(), "{error:?}");
        host.threads_end().await;
    });
}

#[test]
fn a_handshake_without_answer_ends_when_it_is_cancelled() {
    simulate(async |host| {
        let (stream, mut far_end) = tokio::io::duplex(1024);
        tokio::select! {
            _ = lock_step::connect(&host, stream, host.options()) => panic!("nobody answers"),
            () = host.sleep(Duration::from_secs(60)) => {}
        }
        host.threads_end().await;
        let mut received = Vec::new();
        far_end.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"AMQP\x00\x00\x09\x01");
    });
}

#[test]
fn an_aborted_connection_says_nothing_and_ends_the_thread() {
    let trace = simulate(async |host| {
        let broker = host.broker(Script::default());
        let connection = lock_step::connect(&host, broker, host.options()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let confirm = publish(&channel, b"unknown").await.unwrap();
        connection.abort();
        confirm.await.unwrap_err();
        host.threads_end().await;
        host.sleep(Duration::from_secs(1)).await;
    });
    assert!(!trace.iter().any(|(_, event)| event.contains("connection closed")), "{trace:#?}");
    assert!(trace.iter().any(|(_, event)| event.contains("broker: end of stream")), "{trace:#?}");
}

#[test]
fn a_host_that_vanishes_takes_the_thread_with_it() {
    let threads = Arc::<Mutex<Vec<String>>>::default();
    simulate(async |mut host| {
        host.threads = threads.clone();
        let broker = host.broker(Script::default());
        let connection = lock_step::connect(&host, broker, host.options()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        host.spawn("client", async move {
            let _connection = connection;
            let confirm = publish(&channel, b"never waited for").await.unwrap();
            confirm.await.unwrap();
            std::future::pending::<()>().await;
        });
        host.sleep(Duration::from_millis(1)).await;
        assert_eq!(threads.lock().unwrap().len(), 1);
    });
    assert_threads_end(&threads);
}

#[test]
fn a_large_message_passes_through_a_small_stream() {
    simulate(async |host| {
        let broker = host.broker(Script { stream_bytes: 1000, latency: Duration::ZERO, ..Script::default() });
        let connection = lock_step::connect(&host, broker, host.options()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let mut consumer = channel
            .basic_consume("q".into(), "c".into(), BasicConsumeOptions::default(), FieldTable::default())
            .await
            .unwrap();
        let body: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
        assert!(publish(&channel, &body).await.unwrap().await.unwrap().is_ack());
        let delivery = lock_step::next(&mut consumer).await.unwrap().unwrap();
        assert!(delivery.data == body);
    });
}

#[test]
#[should_panic(expected = "a spawned task panicked and the LocalSet is configured to shutdown on unhandled panic")]
fn a_panic_on_lapins_thread_fails_the_run() {
    simulate(async |host| {
        let broker = host.broker(Script::default());
        let options = Options { enter_simulation: Some(Arc::new(|| panic!("on purpose"))), ..host.options() };
        let _never = lock_step::connect(&host, broker, options).await;
    });
}

/// How many messages [`work`] moves.
const MESSAGES: usize = 50;

/// A publisher with confirms in one task and a consumer with acks in another, on one connection. All calls are watched.
async fn work(host: &Host, connection: &lock_step::Connection) {
    let (done, finished) = tokio::sync::oneshot::channel();
    let consuming = host.clone();
    let channel = connection.watch(connection.create_channel()).await.unwrap();
    let consumer = async move {
        let mut consumer = channel
            .basic_consume("q".into(), "c".into(), BasicConsumeOptions::default(), FieldTable::default())
            .await
            .unwrap();
        for _ in 0..MESSAGES {
            let delivery = lock_step::next(&mut consumer).await.unwrap().unwrap();
            consuming.record(format!("client: message {}", String::from_utf8_lossy(&delivery.data)));
            delivery.ack(BasicAckOptions::default()).await.unwrap();
        }
        done.send(channel).unwrap();
    };
    host.spawn("consumer", connection.watch(consumer));
    let publisher = async {
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        channel.queue_declare("q".into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
        for number in 0..MESSAGES {
            host.sleep(Duration::from_micros(700)).await;
            let confirm = publish(&channel, format!("m{number}").as_bytes()).await.unwrap();
            let publishing = host.clone();
            host.spawn("confirm", async move {
                assert!(confirm.await.unwrap().is_ack());
                publishing.record(format!("client: confirmed {number}"));
            });
        }
        finished.await.unwrap();
        host.sleep(Duration::from_secs(1)).await;
    };
    connection.watch(publisher).await;
}

async fn publish(channel: &lapin::Channel, body: &[u8]) -> lapin::Result<PublisherConfirm> {
    let properties = lapin::BasicProperties::default();
    channel.basic_publish("".into(), "q".into(), BasicPublishOptions::default(), body, properties).await
}

/// Runs `main` on a paused clock and a single thread; then the host and all its tasks are dropped.
fn simulate(main: impl AsyncFnOnce(Host)) -> Trace {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let mut tasks = LocalSet::new();
    tasks.unhandled_panic(UnhandledPanic::ShutdownRuntime);
    let trace = Rc::<RefCell<Trace>>::default();
    let recorder = trace.clone();
    tasks.block_on(&runtime, async move {
        main(Host { origin: Instant::now(), trace: recorder, threads: Arc::default() }).await;
    });
    drop(tasks);
    trace.take()
}

/// Waits (the operating system needs some microseconds) until none of the threads is left.
fn assert_threads_end(threads: &Mutex<Vec<String>>) {
    let threads = threads.lock().unwrap();
    assert!(!threads.is_empty());
    let alive = || threads.iter().any(|thread| Path::new("/proc").join(thread).exists());
    assert!((0..1_000_000).any(|_| {
        std::thread::yield_now();
        !alive()
    }));
}

/// A host of these tests: tokio's paused clock and in-memory streams.
#[derive(Clone)]
struct Host {
    origin: Instant,
    trace: Rc<RefCell<Trace>>,
    /// lapin's threads, as `/proc` names them.
    threads: Arc<Mutex<Vec<String>>>,
}

impl Host {
    fn record(&self, event: String) {
        self.trace.borrow_mut().push((self.now(), event));
    }

    fn options(&self) -> Options {
        let threads = self.threads.clone();
        let enter = move || {
            let thread = fs::read_link("/proc/thread-self").unwrap();
            threads.lock().unwrap().push(thread.to_str().unwrap().to_owned());
            Box::new(()) as Box<dyn std::any::Any>
        };
        Options { enter_simulation: Some(Arc::new(enter)), ..Options::default() }
    }

    /// Starts a broker that follows `script`; yields the client's end of the stream to it.
    fn broker(&self, script: Script) -> DuplexStream {
        let (near, far) = tokio::io::duplex(script.stream_bytes);
        self.spawn("broker", Broker::new(self.clone(), far, script).run());
        near
    }

    /// Gives lapin time to say goodbye; then all of its threads are gone.
    async fn threads_end(&self) {
        self.sleep(Duration::from_secs(1)).await;
        assert_threads_end(&self.threads);
    }
}

impl Platform for Host {
    type Stream = DuplexStream;
    type Listener = Nothing;
    type Disk = Nothing;

    fn node(&self) -> NodeId {
        NodeId(1)
    }

    fn disk(&self) -> &Nothing {
        &Nothing
    }

    async fn listen(&self, _address: &str) -> io::Result<Nothing> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn connect(&self, _address: &str) -> io::Result<DuplexStream> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wall(&self) -> Duration {
        self.now()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }

    fn random(&self) -> u64 {
        4
    }

    fn spawn(&self, _name: &'static str, task: impl Future<Output = ()> + 'static) -> AbortHandle {
        tokio::task::spawn_local(task).abort_handle()
    }

    fn observe(&self, _observation: Observation) {}

    fn sabotaged(&self, _sabotage: Sabotage) -> bool {
        false
    }
}

/// The parts of a platform that clients do not use.
#[derive(Clone)]
struct Nothing;

impl Listener for Nothing {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, String)> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Disk for Nothing {
    type File = Self;

    async fn open(&self, _name: &str, _mode: OpenMode) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn remove(&self, _name: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn list(&self) -> io::Result<Vec<String>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn sync_names(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl File for Nothing {
    async fn read_at(&self, _offset: u64, _len: usize) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn write_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn size(&self) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// How the broker behaves.
struct Script {
    /// Between a request and the answer to it.
    latency: Duration,
    /// What the stream holds in each direction.
    stream_bytes: usize,
    /// Hangs up instead of confirming the last of so many.
    publishes_before_end: Option<usize>,
    refuses_login: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(3),
            stream_bytes: 1 << 16,
            publishes_before_end: None,
            refuses_login: false,
        }
    }
}

/// One queue, one consumer, one connection; just enough of the protocol for a client to work.
struct Broker {
    host: Host,
    script: Script,
    stream: DuplexStream,
    received: Vec<u8>,
    publishes: usize,
    /// The channel and the remaining body size of the publish under way.
    publishing: Option<u64>,
    body: Vec<u8>,
    consumer: Option<u16>,
    deliveries: u64,
}

impl Broker {
    fn new(host: Host, stream: DuplexStream, script: Script) -> Self {
        Self {
            host,
            script,
            stream,
            received: Vec::new(),
            publishes: 0,
            publishing: None,
            body: Vec::new(),
            consumer: None,
            deliveries: 0,
        }
    }

    async fn run(mut self) {
        while let Some(frame) = self.next_frame().await {
            let name = format!("{frame:?}");
            self.host.record(format!("broker: received {}", &name[..name.len().min(100)]));
            self.host.sleep(self.script.latency).await;
            match frame {
                AMQPFrame::ProtocolHeader(version) => {
                    assert_eq!(version, ProtocolVersion::amqp_0_9_1());
                    self.method(0, start()).await;
                }
                AMQPFrame::Method(channel, method) => {
                    if !self.handle(channel, method).await {
                        return;
                    }
                }
                AMQPFrame::Header(channel, header) => {
                    self.publishing = Some(header.body_size);
                    self.finish_publish(channel).await;
                }
                AMQPFrame::Body(channel, bytes) => {
                    self.body.extend(bytes);
                    if !self.finish_publish(channel).await {
                        return;
                    }
                }
                other => panic!("the script has no answer to {other:?}"),
            }
        }
        self.host.record("broker: end of stream".to_owned());
    }

    /// Answers a method; `false` at the end of the connection.
    async fn handle(&mut self, channel: u16, method: AMQPClass) -> bool {
        let answer = match method {
            AMQPClass::Connection(connection::AMQPMethod::StartOk(_)) if self.script.refuses_login => {
                AMQPClass::Connection(connection::AMQPMethod::Close(connection::Close {
                    reply_code: 403,
                    reply_text: "ACCESS_REFUSED".into(),
                    class_id: 0,
                    method_id: 0,
                }))
            }
            AMQPClass::Connection(connection::AMQPMethod::StartOk(_)) => {
                AMQPClass::Connection(connection::AMQPMethod::Tune(connection::Tune {
                    channel_max: 100,
                    frame_max: 8192,
                    heartbeat: 0,
                }))
            }
            AMQPClass::Connection(connection::AMQPMethod::TuneOk(_)) => return true,
            AMQPClass::Connection(connection::AMQPMethod::CloseOk(_)) => return false,
            AMQPClass::Connection(connection::AMQPMethod::Open(_)) => {
                AMQPClass::Connection(connection::AMQPMethod::OpenOk(connection::OpenOk {}))
            }
            AMQPClass::Connection(connection::AMQPMethod::Close(_)) => {
                self.method(0, AMQPClass::Connection(connection::AMQPMethod::CloseOk(connection::CloseOk {}))).await;
                self.host.record("broker: connection closed".to_owned());
                return false;
            }
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
            AMQPClass::Basic(basic::AMQPMethod::Consume(consume)) => {
                self.consumer = Some(channel);
                AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(basic::ConsumeOk { consumer_tag: consume.consumer_tag }))
            }
            AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)) => {
                AMQPClass::Basic(basic::AMQPMethod::CancelOk(basic::CancelOk { consumer_tag: cancel.consumer_tag }))
            }
            AMQPClass::Basic(basic::AMQPMethod::Publish(_)) => return true,
            AMQPClass::Basic(basic::AMQPMethod::Ack(ack)) => {
                self.host.record(format!("broker: acked {}", ack.delivery_tag));
                return true;
            }
            other => panic!("the script has no answer to {other:?}"),
        };
        self.method(channel, answer).await;
        true
    }

    /// When the body is complete: confirms the publish and delivers the message. `false` at the end of the connection.
    async fn finish_publish(&mut self, channel: u16) -> bool {
        if self.publishing != Some(self.body.len() as u64) {
            return true;
        }
        self.publishing = None;
        let body = std::mem::take(&mut self.body);
        self.publishes += 1;
        self.host.record(format!("broker: publish {}", self.publishes));
        if self.script.publishes_before_end == Some(self.publishes) {
            return false;
        }
        let delivery_tag = self.publishes as u64;
        self.method(channel, AMQPClass::Basic(basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple: false })))
            .await;
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
