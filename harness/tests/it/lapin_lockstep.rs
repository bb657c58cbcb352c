//! The unmodified lapin crate, in lock-step with a simulated client machine, against a scripted broker on another.

mod broker;

use std::{
    cell::{Cell, RefCell},
    fs,
    path::Path,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use ferret::{
    sim::{SimError, SimPlatform, TraceEvent, TraceMode, WorldConfig, first_difference, run_isolated},
    workload::lapin::{self as lock_step, Connection, Options},
};
use lapin::{
    Channel, ErrorKind, PublisherConfirm,
    options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::FieldTable,
};
use warren::platform::Platform;

use self::broker::Script;
use crate::{machine, millis, run, seconds, world};

#[test]
fn messages_are_published_confirmed_consumed_and_acked() {
    let told = simulate(Script::default(), async |client| {
        let connection = client.connect(client.options()).await.unwrap();
        work(&client, &connection).await;
        connection.close(200, "bye".into()).await.unwrap();
        drop(connection);
        client.threads_end().await;
    });
    let count = |what: &str| told.iter().filter(|(_, event)| event.contains(what)).count();
    assert_eq!(count("broker: publish"), MESSAGES);
    assert_eq!(count("client: message"), MESSAGES);
    assert_eq!(count("client: confirmed"), MESSAGES);
    assert_eq!(count("broker: acked"), MESSAGES);
    assert_eq!(count("broker: connection closed"), 1);
}

#[test]
fn the_same_seed_is_the_same_run() {
    let same = |seed, poll_every| {
        run_isolated(seed, move || {
            // Confirms with `multiple` are resolved in the order of lapin's hash maps.
            let script = Script { confirms_together: 10, heartbeat: 4, ..Script::default() };
            let (told, events) = simulate_world(config(seed), script, async move |client: Client| {
                let connection = client.connect(Options { poll_every, ..client.options() }).await.unwrap();
                work(&client, &connection).await;
                drop(connection);
                client.threads_end().await;
            });
            (told.unwrap(), events)
        })
        .unwrap()
    };
    for poll_every in [None, Some(millis(1))] {
        let (told, events) = same(1, poll_every);
        for _ in 0..3 {
            let (told_again, events_again) = same(1, poll_every);
            assert_eq!(first_difference(&events, &events_again), None);
            assert_eq!(told, told_again);
        }
        assert_ne!(told, same(2, poll_every).0);
    }
}

#[test]
fn a_lost_connection_fails_its_confirms_in_an_order_of_the_seed() {
    let order = |seed| {
        let script = Script { publishes_before_end: Some(30), confirms_together: 100, ..Script::default() };
        let told = simulate_in(config(seed), script, async |client| {
            let connection = client.connect(Options { poll_every: None, ..client.options() }).await.unwrap();
            let publishing = async {
                let channel = confirming(&connection).await;
                for number in 0..30 {
                    let confirm = publish(&channel, b"lost").await.unwrap();
                    let waiting = client.clone();
                    client.platform.spawn("confirm", async move {
                        confirm.await.unwrap_err();
                        waiting.note(format!("unknown {number}"));
                    });
                }
            };
            connection.watch(publishing).await;
            client.threads_end().await;
        });
        told.into_iter().filter(|(_, event)| event.contains("unknown")).collect::<Told>()
    };
    let first = order(1);
    assert_eq!(first.len(), 30);
    assert_eq!(first, order(1));
    let numbers = |told: Told| -> Vec<String> { told.into_iter().map(|(_, event)| event).collect() };
    assert_ne!(numbers(first), numbers(order(2)), "lapin walks a hash map whose keys are the seed's");
}

#[test]
fn a_paused_client_goes_on_where_it_stopped() {
    let confirmed = run_isolated(1, || {
        let world = world(config(1));
        let diary = Diary::default();
        machine(&world, "broker", move |platform| broker::serve(platform, Script::default(), Diary::default()));
        let told = diary.clone();
        let client = machine(&world, "client", move |platform| {
            let client = Client::new(&platform, &Rc::default(), &told, &Threads::default());
            async move {
                let connection = client.connect(client.options()).await.unwrap();
                work(&client, &connection).await;
            }
        });
        run(&world, millis(60));
        world.pause(client);
        run(&world, seconds(5));
        world.resume(client);
        run(&world, seconds(5));
        let told = diary.0.take();
        let confirmed_at = |number| {
            let mut confirms = told.iter().filter(|(_, event)| event.contains("confirmed"));
            confirms.nth(number).unwrap().0
        };
        (confirmed_at(0), confirmed_at(MESSAGES - 1))
    });
    let (first, last) = confirmed.unwrap();
    assert!(first < millis(60), "{first:?}");
    assert!(last > seconds(5), "{last:?}");
}

#[test]
fn a_confirm_fails_when_the_broker_hangs_up() {
    simulate(Script { publishes_before_end: Some(3), ..Script::default() }, async |client| {
        let connection = client.connect(client.options()).await.unwrap();
        let channel = confirming(&connection).await;
        for _ in 0..2 {
            assert!(publish(&channel, b"kept").await.unwrap().await.unwrap().is_ack());
        }
        let confirm = publish(&channel, b"lost").await.unwrap();
        let error = confirm.await.unwrap_err();
        assert!(error.is_io_error(), "{error:?}");
        client.threads_end().await;
        assert!(publish(&channel, b"late").await.is_err());
        assert!(connection.create_channel().await.is_err());
    });
}

#[test]
fn heartbeats_are_sent_at_their_virtual_time() {
    let told = simulate(Script { heartbeat: 4, ..Script::default() }, async |client| {
        let _connection = client.connect(Options { poll_every: None, ..client.options() }).await.unwrap();
        client.platform.sleep(seconds(21)).await;
    });
    let beats: Vec<Duration> =
        told.iter().filter(|(_, event)| event.contains("Heartbeat")).map(|(at, _)| *at).collect();
    assert_eq!(beats.len(), 10, "{beats:?}");
    assert!(beats.windows(2).all(|pair| (millis(1900)..millis(2100)).contains(&(pair[1] - pair[0]))), "{beats:?}");
}

#[test]
fn a_silent_broker_is_given_up_after_two_heartbeats_without_an_answer() {
    let config = WorldConfig { streams: patient_streams(), ..config(1) };
    let told = simulate_in(config, Script { heartbeat: 4, ..Script::default() }, async |client| {
        let connection = client.connect(client.options()).await.unwrap();
        let channel = confirming(&connection).await;
        client.note("silence".to_owned());
        client.cut_off();
        client.platform.sleep(millis(2)).await;
        let silent_from = client.platform.now();
        let confirm = publish(&channel, b"lost").await.unwrap();
        let error = confirm.await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::MissingHeartbeatError), "{error:?}");
        let waited = client.platform.now() - silent_from;
        assert!((seconds(8)..seconds(11)).contains(&waited), "{waited:?}");
        client.threads_end().await;
    });
    assert!(told.iter().any(|(_, event)| event.contains("silence")));
}

#[test]
fn a_handshake_into_a_partition_fails_with_its_stream() {
    simulate(Script { silent: true, ..Script::default() }, async |client| {
        let stream = client.platform.connect("broker:5672").await.unwrap();
        client.cut_off();
        client.platform.sleep(millis(2)).await;
        let error = lock_step::connect(&client.platform, stream, client.options()).await.unwrap_err();
        assert!(error.is_io_error(), "{error:?}");
        client.threads_end().await;
    });
}

#[test]
fn a_handshake_without_an_answer_ends_when_it_is_cancelled() {
    let told = simulate(Script { silent: true, ..Script::default() }, async |client| {
        tokio::select! {
            _ = client.connect(client.options()) => panic!("nobody answers"),
            () = client.platform.sleep(seconds(15)) => {}
        }
        client.threads_end().await;
    });
    let told: Vec<&str> = told.iter().map(|(_, event)| event.as_str()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("ProtocolHeader"));
    assert_eq!(told[1], "broker: end of stream");
}

#[test]
fn a_broker_that_hangs_up_at_once_is_an_error_and_ends_the_thread() {
    simulate(Script { hangs_up: true, ..Script::default() }, async |client| {
        let error = client.connect(client.options()).await.unwrap_err();
        assert!(error.is_io_error(), "{error:?}");
        client.threads_end().await;
    });
}

#[test]
fn a_refused_login_is_an_error_and_ends_the_thread() {
    simulate(Script { refuses_login: true, ..Script::default() }, async |client| {
        let error = client.connect(client.options()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ProtocolError(_)), "{error:?}");
        client.threads_end().await;
    });
}

#[test]
fn an_aborted_connection_sends_no_close_and_ends_the_thread() {
    let told = simulate(Script::default(), async |client| {
        let connection = client.connect(client.options()).await.unwrap();
        let channel = confirming(&connection).await;
        let confirm = publish(&channel, b"unknown").await.unwrap();
        connection.abort();
        confirm.await.unwrap_err();
        client.threads_end().await;
    });
    assert!(!told.iter().any(|(_, event)| event.contains("Close")), "{told:#?}");
    assert!(told.iter().any(|(_, event)| event == "broker: end of stream"), "{told:#?}");
}

#[test]
fn a_call_outside_watch_waits_for_the_next_poll_and_a_watched_one_does_not() {
    simulate(Script::default(), async |client| {
        let options = Options { poll_every: Some(millis(700)), ..client.options() };
        let connection = client.connect(options).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        client.platform.sleep(millis(1)).await;

        let before = client.platform.now();
        connection.watch(channel.confirm_select(ConfirmSelectOptions::default())).await.unwrap();
        assert!(client.platform.now() - before < millis(50));

        client.platform.sleep(millis(1)).await;
        let before = client.platform.now();
        channel.queue_declare("q".into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
        let waited = client.platform.now() - before;
        assert!((millis(600)..millis(750)).contains(&waited), "{waited:?}");
    });
}

#[test]
fn a_large_message_comes_back_as_it_was() {
    simulate(Script::default(), async |client| {
        let connection = client.connect(client.options()).await.unwrap();
        let channel = confirming(&connection).await;
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
fn a_killed_client_and_one_without_power_take_their_threads_with_them() {
    let ended = run_isolated(1, || {
        let world = world(config(1));
        let diary = Diary::default();
        machine(&world, "broker", move |platform| broker::serve(platform, Script::default(), diary.clone()));
        let threads = Threads::default();
        let told = threads.clone();
        let client = machine(&world, "client", move |platform| {
            let client = Client::new(&platform, &Rc::default(), &Diary::default(), &told);
            async move {
                let connection = client.connect(client.options()).await.unwrap();
                let channel = confirming(&connection).await;
                publish(&channel, b"never waited for").await.unwrap().await.unwrap();
                std::future::pending::<()>().await;
            }
        });
        for started in 1..=3 {
            run(&world, seconds(1));
            assert_eq!(threads.0.lock().unwrap().len(), started);
            if started == 1 {
                world.kill(client)
            } else {
                world.power_off(client)
            }
            threads.assert_ended();
            world.start(client);
        }
        run(&world, seconds(1));
        drop(world);
        threads.assert_ended();
        threads.0.lock().unwrap().len()
    });
    assert_eq!(ended, Ok(4));
}

#[test]
fn a_panic_on_lapins_thread_fails_the_run() {
    let failed = run_isolated(1, || {
        let told = simulate_world(config(1), Script::default(), async |client: Client| {
            let options = Options { on_thread: Some(Arc::new(|| panic!("on purpose"))), ..client.options() };
            let _never = client.connect(options).await;
        });
        told.0.unwrap_err()
    });
    let SimError::Panic { machine, message, .. } = failed.unwrap() else { panic!("not a panic of a task") };
    assert_eq!(machine.as_deref(), Some("client"));
    assert!(message.contains("lapin's I/O thread panicked"), "{message}");
}

/// How many messages [`work`] moves.
const MESSAGES: usize = 50;

/// A publisher with confirms in one task and a consumer with acks in another, on one connection. All calls are watched.
async fn work(client: &Client, connection: &Connection) {
    let (done, finished) = tokio::sync::oneshot::channel();
    let consuming = client.clone();
    let channel = connection.watch(connection.create_channel()).await.unwrap();
    let consumer = async move {
        let mut consumer = channel
            .basic_consume("q".into(), "c".into(), BasicConsumeOptions::default(), FieldTable::default())
            .await
            .unwrap();
        for _ in 0..MESSAGES {
            let delivery = lock_step::next(&mut consumer).await.unwrap().unwrap();
            consuming.note(format!("message {}", String::from_utf8_lossy(&delivery.data)));
            delivery.ack(BasicAckOptions::default()).await.unwrap();
        }
        done.send(channel).unwrap();
    };
    client.platform.spawn("consumer", connection.watch(consumer));
    let publisher = async {
        let channel = confirming(connection).await;
        channel.queue_declare("q".into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
        for number in 0..MESSAGES {
            client.platform.sleep(Duration::from_micros(700)).await;
            let confirm = publish(&channel, format!("m{number}").as_bytes()).await.unwrap();
            let publishing = client.clone();
            client.platform.spawn("confirm", async move {
                assert!(confirm.await.unwrap().is_ack());
                publishing.note(format!("confirmed {number}"));
            });
        }
        finished.await.unwrap();
        client.platform.sleep(seconds(1)).await;
    };
    connection.watch(publisher).await;
    // A channel that is still closing makes lapin fail the close of the connection.
    client.platform.sleep(seconds(1)).await;
}

async fn confirming(connection: &Connection) -> Channel {
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    channel
}

async fn publish(channel: &Channel, body: &[u8]) -> lapin::Result<PublisherConfirm> {
    let properties = lapin::BasicProperties::default();
    channel.basic_publish("".into(), "q".into(), BasicPublishOptions::default(), body, properties).await
}

/// What happened, and at what virtual time.
type Told = Vec<(Duration, String)>;

/// What client and broker tell.
#[derive(Clone, Default)]
struct Diary(Rc<RefCell<Told>>);

impl Diary {
    fn note(&self, platform: &SimPlatform, event: String) {
        self.0.borrow_mut().push((platform.now(), event));
    }
}

/// lapin's threads so far, as `/proc` names them.
#[derive(Clone, Default)]
struct Threads(Arc<Mutex<Vec<String>>>);

impl Threads {
    /// Waits (the operating system needs some microseconds) until none of the threads is left.
    fn assert_ended(&self) {
        let threads = self.0.lock().unwrap();
        assert!(!threads.is_empty());
        let alive = || threads.iter().any(|thread| Path::new("/proc").join(thread).exists());
        assert!((0..1_000_000).any(|_| {
            std::thread::yield_now();
            !alive()
        }));
    }
}

/// The process under test.
#[derive(Clone)]
struct Client {
    platform: SimPlatform,
    cut_off: Rc<Cell<bool>>,
    diary: Diary,
    threads: Threads,
}

impl Client {
    fn new(platform: &SimPlatform, cut_off: &Rc<Cell<bool>>, diary: &Diary, threads: &Threads) -> Self {
        let (cut_off, diary, threads) = (cut_off.clone(), diary.clone(), threads.clone());
        Self { platform: platform.clone(), cut_off, diary, threads }
    }

    fn options(&self) -> Options {
        let threads = self.threads.0.clone();
        let on_thread = move || {
            let thread = fs::read_link("/proc/thread-self").unwrap();
            threads.lock().unwrap().push(thread.to_str().unwrap().to_owned());
        };
        Options { on_thread: Some(Arc::new(on_thread)), ..Options::default() }
    }

    async fn connect(&self, options: Options) -> lapin::Result<Connection> {
        let stream = self.platform.connect("broker:5672").await.unwrap();
        lock_step::connect(&self.platform, stream, options).await
    }

    fn note(&self, event: String) {
        self.diary.note(&self.platform, format!("client: {event}"));
    }

    /// From the next tick on nothing passes between client and broker.
    fn cut_off(&self) {
        self.cut_off.set(true);
    }

    /// Gives lapin time to say goodbye; then all of its threads are gone.
    async fn threads_end(&self) {
        self.platform.sleep(seconds(1)).await;
        self.threads.assert_ended();
    }
}

fn config(seed: u64) -> WorldConfig {
    WorldConfig { seed, trace: TraceMode::Record, ..WorldConfig::default() }
}

/// Streams that outlast every heartbeat.
fn patient_streams() -> ferret::sim::StreamConfig {
    let patience = seconds(1000);
    ferret::sim::StreamConfig { user_timeout: patience, keep_alive_idle: patience, ..Default::default() }
}

/// Runs `client` against a broker that follows `script` until it ends; what both told.
fn simulate(script: Script, client: impl AsyncFn(Client) + Copy + Send + 'static) -> Told {
    simulate_in(config(1), script, client)
}

fn simulate_in(config: WorldConfig, script: Script, client: impl AsyncFn(Client) + Copy + Send + 'static) -> Told {
    run_isolated(config.seed, move || simulate_world(config, script, client).0.expect("no task panics")).unwrap()
}

/// See [`simulate`], on the simulation's own thread.
fn simulate_world(
    config: WorldConfig,
    script: Script,
    main: impl AsyncFn(Client) + Copy + 'static,
) -> (Result<Told, SimError>, Vec<TraceEvent>) {
    let world = world(config);
    let (diary, threads) = (Diary::default(), Threads::default());
    let broker_diary = diary.clone();
    machine(&world, "broker", move |platform| broker::serve(platform, script.clone(), broker_diary.clone()));
    let (cut_off, client_diary) = (Rc::<Cell<bool>>::default(), diary.clone());
    let cut_asked = cut_off.clone();
    let client = machine(&world, "client", move |platform| {
        let client = Client::new(&platform, &cut_off, &client_diary, &threads);
        async move { main(client).await }
    });
    let ended = world.run_until(seconds(120), || {
        if cut_asked.take() {
            let broker = world.find("broker").unwrap();
            world.cut(client, broker);
            world.cut(broker, client);
        }
        world.has_exited(client)
    });
    let told = ended.map(|ended| {
        assert!(ended, "the client has not come to its end");
        diary.0.take()
    });
    (told, world.take_trace())
}
