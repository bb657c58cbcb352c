//! What both ends of a simulated stream see, row by row of the design's table.

mod weather;

use std::{cell::RefCell, io::ErrorKind, rc::Rc, time::Duration};

use ferret::sim::{MachineId, SimPlatform, SimStream, StreamConfig, World, WorldConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use warren::platform::{Listener, Platform};

use crate::{Seen, machine, millis, run, seconds, world};

/// Accepts streams on port 5000 for ever and serves each with `serve`.
async fn accept_all<F: Future<Output = ()> + 'static>(
    platform: SimPlatform,
    serve: impl Fn(SimPlatform, SimStream) -> F + 'static,
) {
    let mut listener = platform.listen("0.0.0.0:5000").await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        platform.spawn("serve", serve(platform.clone(), stream));
    }
}

/// Sends numbered words to b for ever, one each interval; both ends tell what they see.
struct Ticker {
    world: World,
    a: MachineId,
    b: MachineId,
    /// Words that b received, with the time.
    received: Seen<(u64, Duration)>,
    failed_at_a: Seen<(ErrorKind, Duration)>,
    failed_at_b: Seen<(ErrorKind, Duration)>,
}

/// `interval` zero: a sends one word and then only waits.
fn ticker(config: WorldConfig, interval: Duration) -> Ticker {
    let world = world(config);
    let (received, failed_at_a, failed_at_b) = (Seen::new(), Seen::new(), Seen::new());
    let (seen, failed) = (received.clone(), failed_at_b.clone());
    let b = machine(&world, "b", move |platform| {
        let (seen, failed) = (seen.clone(), failed.clone());
        accept_all(platform, move |platform, mut stream| {
            let (seen, failed) = (seen.clone(), failed.clone());
            async move {
                loop {
                    match stream.read_u64().await {
                        Ok(word) => seen.push((word, platform.now())),
                        Err(error) => return failed.push((error.kind(), platform.now())),
                    }
                }
            }
        })
    });
    let failed = failed_at_a.clone();
    let a = machine(&world, "a", move |platform| {
        let failed = failed.clone();
        async move {
            // b may still be booting.
            platform.sleep(millis(5)).await;
            let mut stream = platform.connect("b:5000").await.unwrap();
            let mut word = 0;
            let error = loop {
                if let Err(error) = stream.write_u64(word).await {
                    break error;
                }
                word += 1;
                if interval.is_zero() {
                    break stream.read_u64().await.unwrap_err();
                }
                platform.sleep(interval).await;
            };
            failed.push((error.kind(), platform.now()));
            std::future::pending().await
        }
    });
    Ticker { world, a, b, received, failed_at_a, failed_at_b }
}

fn partition(world: &World, a: MachineId, b: MachineId) {
    world.cut(a, b);
    world.cut(b, a);
}

fn heal(world: &World, a: MachineId, b: MachineId) {
    world.uncut(a, b);
    world.uncut(b, a);
}

fn assert_consecutive(received: &Seen<(u64, Duration)>) {
    for (position, (word, _)) in received.all().iter().enumerate() {
        assert_eq!(*word, position as u64, "every word arrives once and in order");
    }
}

#[test]
fn a_partition_of_200_ms_delays_a_stream_by_one_retransmission_timeout_and_loses_nothing() {
    let ticker = ticker(WorldConfig::default(), millis(10));
    run(&ticker.world, seconds(1));
    let before = ticker.received.len();
    partition(&ticker.world, ticker.a, ticker.b);
    run(&ticker.world, millis(200));
    assert!(ticker.world.packets_dropped(ticker.a, ticker.b) > 0);
    assert!(ticker.received.len() <= before + 1, "nothing crosses a partition");
    heal(&ticker.world, ticker.a, ticker.b);
    // The second timeout after the cut, doubled once, is the first to find the link whole.
    run(&ticker.world, millis(450));
    assert!(ticker.received.len() >= before + 55, "{} of {before} + 64", ticker.received.len());
    assert_consecutive(&ticker.received);
    assert_eq!(ticker.failed_at_a.all(), []);
}

#[test]
fn a_partition_of_30_s_ends_a_stream_if_the_user_timeout_is_shorter() {
    let ticker = ticker(WorldConfig::default(), millis(10));
    run(&ticker.world, seconds(1));
    partition(&ticker.world, ticker.a, ticker.b);
    run(&ticker.world, seconds(30));
    let (a, b) = (ticker.failed_at_a.last().unwrap(), ticker.failed_at_b.last().unwrap());
    assert_eq!((a.0, b.0), (ErrorKind::TimedOut, ErrorKind::TimedOut));
    assert!((seconds(20)..seconds(30)).contains(&a.1), "{a:?}");
    assert!((seconds(20)..seconds(22)).contains(&b.1), "{b:?}");
    assert_consecutive(&ticker.received);
}

#[test]
fn a_stream_with_a_longer_user_timeout_resumes_after_30_s_within_the_capped_backoff() {
    let streams = StreamConfig { user_timeout: seconds(60), ..StreamConfig::default() };
    let ticker = ticker(WorldConfig { streams, ..WorldConfig::default() }, millis(10));
    run(&ticker.world, seconds(1));
    let before = ticker.received.len();
    partition(&ticker.world, ticker.a, ticker.b);
    run(&ticker.world, seconds(30));
    heal(&ticker.world, ticker.a, ticker.b);
    let resumed = ticker.world.run_until(millis(8_100), || ticker.received.len() > before + 10).unwrap();
    assert!(resumed, "the backoff is capped at 8 s");
    run(&ticker.world, millis(500));
    assert!(ticker.received.len() > before + 3_000, "what was written meanwhile follows");
    assert_consecutive(&ticker.received);
    assert_eq!(ticker.failed_at_a.all(), []);
}

#[test]
fn with_the_way_back_cut_data_still_arrives_until_the_sender_and_then_the_starved_side_time_out() {
    let ticker = ticker(WorldConfig::default(), millis(10));
    run(&ticker.world, seconds(1));
    let before = ticker.received.len();
    ticker.world.cut(ticker.b, ticker.a);
    run(&ticker.world, millis(500));
    assert!(ticker.received.len() > before + 40, "data still arrives");
    run(&ticker.world, seconds(50));
    let (a, b) = (ticker.failed_at_a.last().unwrap(), ticker.failed_at_b.last().unwrap());
    assert_eq!((a.0, b.0), (ErrorKind::TimedOut, ErrorKind::TimedOut));
    assert!((seconds(20)..seconds(30)).contains(&a.1), "{a:?}");
    assert!(b.1 > a.1, "the starved side hears the retransmissions of the other until that one gives up");
    assert_consecutive(&ticker.received);
}

#[test]
fn a_side_that_only_waits_notices_a_cut_by_its_keep_alive() {
    let ticker = ticker(WorldConfig::default(), Duration::ZERO);
    run(&ticker.world, seconds(60));
    assert_eq!(ticker.failed_at_a.all(), [], "an idle stream lives on");
    ticker.world.cut(ticker.b, ticker.a);
    run(&ticker.world, seconds(22));
    assert_eq!(ticker.failed_at_a.last().unwrap().0, ErrorKind::TimedOut);
}

#[test]
fn a_cut_drops_what_is_under_way_as_well_and_counts_it() {
    let config = WorldConfig { latency: millis(100)..millis(100), ..WorldConfig::default() };
    let ticker = ticker(config, millis(10));
    run(&ticker.world, seconds(2));
    let (before, link) = (ticker.received.len(), ticker.world.link(ticker.a, ticker.b));
    ticker.world.cut(ticker.a, ticker.b);
    run(&ticker.world, millis(150));
    assert_eq!(ticker.received.len(), before);
    let dropped = ticker.world.packets_dropped(ticker.a, ticker.b);
    assert!(dropped >= 20, "about ten were under way and fifteen follow: {dropped}");
    assert_eq!(ticker.world.link(ticker.a, ticker.b).delivered, link.delivered);
    heal(&ticker.world, ticker.a, ticker.b);
    run(&ticker.world, seconds(2));
    assert!(ticker.received.len() > before + 100);
    assert_consecutive(&ticker.received);
}

#[test]
fn loss_works_in_one_direction_and_is_counted_apart_from_cuts() {
    let ticker = ticker(WorldConfig::default(), millis(10));
    run(&ticker.world, seconds(1));
    ticker.world.set_loss(ticker.a, ticker.b, 0.2);
    ticker.world.set_duplicate(ticker.b, ticker.a, 0.5);
    run(&ticker.world, seconds(5));
    let (there, back) = (ticker.world.link(ticker.a, ticker.b), ticker.world.link(ticker.b, ticker.a));
    assert!(there.lost > 20 && there.cut == 0 && there.duplicated == 0, "{there:?}");
    assert!(back.lost == 0 && back.duplicated > 20, "{back:?}");
    ticker.world.set_loss(ticker.a, ticker.b, 0.0);
    run(&ticker.world, seconds(2));
    assert!(ticker.received.len() > 700);
    assert_consecutive(&ticker.received);
}

#[test]
fn what_an_earlier_life_sent_never_reaches_a_stream_of_the_next() {
    // Latency long enough that segments of the first life arrive during the second.
    let config = WorldConfig { latency: millis(50)..millis(400), ..WorldConfig::default() };
    let ticker = ticker(config, millis(10));
    for _ in 0..20 {
        run(&ticker.world, millis(1_700));
        ticker.world.kill(ticker.a);
        ticker.world.start(ticker.a);
    }
    run(&ticker.world, seconds(5));
    let words: Vec<u64> = ticker.received.all().into_iter().map(|(word, _)| word).collect();
    let lives = words.split(|word| *word == 0).skip(1).collect::<Vec<_>>();
    assert!(lives.len() >= 15, "{} lives were heard of", lives.len());
    // Two lives may overlap at the receiver, each with its own stream: each is heard in order.
    let mut tails: Vec<u64> = Vec::new();
    for word in words {
        match tails.iter_mut().find(|tail| word > 0 && **tail + 1 == word) {
            Some(tail) => *tail = word,
            None => {
                assert_eq!(word, 0, "a stream begins with its first word");
                tails.push(0);
            }
        }
    }
}

/// Sends `length` bytes both ways under `config`, with `disturb` called every 50 ms, until both have arrived whole.
fn exchange(config: WorldConfig, length: usize, disturb: impl Fn(&World, MachineId, MachineId)) {
    let world = world(config);
    let pattern = Rc::new((0..length).map(|at| (at * 31 + at / 251) as u8).collect::<Vec<u8>>());
    let intact = Seen::new();
    let both = {
        let (pattern, intact) = (Rc::clone(&pattern), intact.clone());
        move |platform: SimPlatform, stream: SimStream| {
            let (pattern, intact) = (Rc::clone(&pattern), intact.clone());
            async move {
                let (mut read, mut write) = tokio::io::split(stream);
                let sent = Rc::clone(&pattern);
                platform.spawn("write", async move {
                    for chunk in sent.chunks(1_111) {
                        write.write_all(chunk).await.unwrap();
                    }
                    write.shutdown().await.unwrap();
                });
                let mut received = Vec::new();
                read.read_to_end(&mut received).await.unwrap();
                intact.push(received == *pattern);
            }
        }
    };
    let serve = both.clone();
    let b = machine(&world, "b", move |platform| accept_all(platform, serve.clone()));
    let a = machine(&world, "a", move |platform| {
        let both = both.clone();
        async move {
            platform.sleep(millis(5)).await;
            let stream = platform.connect("b:5000").await.unwrap();
            both(platform, stream).await;
            std::future::pending().await
        }
    });
    while intact.len() < 2 {
        assert!(world.now().0 < 120_000_000_000, "both directions arrive");
        disturb(&world, a, b);
        run(&world, millis(50));
    }
    assert_eq!(intact.all(), [true, true], "the bytes arrive as they were sent");
}

#[test]
fn loss_duplicates_and_reordering_leave_the_byte_stream_intact() {
    for seed in 1..=5 {
        let latency = millis(1)..millis(15);
        let config = WorldConfig { seed, loss: 0.05, duplicate: 0.05, latency, ..WorldConfig::default() };
        exchange(config, 2 << 20, |_, _, _| {});
    }
}

#[test]
fn short_cuts_in_either_direction_at_any_time_leave_the_byte_stream_intact() {
    for seed in 1..=10 {
        let latency = millis(1)..millis(15);
        let config = WorldConfig { seed, loss: 0.02, duplicate: 0.02, latency, ..WorldConfig::default() };
        let draws = RefCell::new(seed);
        let draw = |below: u64| {
            let mut state = draws.borrow_mut();
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*state >> 33) % below
        };
        exchange(config, 2 << 20, |world, a, b| match draw(8) {
            0 => world.cut(a, b),
            1 => world.cut(b, a),
            _ => {
                world.uncut(a, b);
                world.uncut(b, a);
            }
        });
    }
}

#[test]
fn a_killed_peer_says_goodbye_at_once() {
    let ticker = ticker(WorldConfig::default(), millis(10));
    run(&ticker.world, seconds(1));
    ticker.world.kill(ticker.a);
    run(&ticker.world, millis(20));
    assert_eq!(ticker.failed_at_b.last().unwrap().0, ErrorKind::UnexpectedEof, "a FIN, as nothing was unread");
    let ticker = self::ticker(WorldConfig::default(), millis(10));
    run(&ticker.world, seconds(1));
    ticker.world.kill(ticker.b);
    run(&ticker.world, millis(50));
    let error = ticker.failed_at_a.last().unwrap().0;
    assert_eq!(error, ErrorKind::ConnectionReset, "data for a closed end is answered with a reset");
}

#[test]
fn a_peer_without_power_is_silent_until_a_timeout() {
    let ticker = ticker(WorldConfig::default(), millis(10));
    run(&ticker.world, seconds(1));
    ticker.world.power_off(ticker.b);
    run(&ticker.world, seconds(15));
    assert_eq!(ticker.failed_at_a.all(), []);
    run(&ticker.world, seconds(15));
    assert_eq!(ticker.failed_at_a.last().unwrap().0, ErrorKind::TimedOut);
}

#[test]
fn a_restarted_machine_resets_a_stale_stream_at_its_next_segment() {
    let ticker = ticker(WorldConfig::default(), millis(10));
    run(&ticker.world, seconds(1));
    ticker.world.power_off(ticker.b);
    run(&ticker.world, seconds(1));
    assert_eq!(ticker.failed_at_a.all(), []);
    ticker.world.start(ticker.b);
    run(&ticker.world, millis(1_500));
    assert_eq!(ticker.failed_at_a.last().unwrap().0, ErrorKind::ConnectionReset);
}

/// Dials `address` from a; what came of it, and how long it took.
fn dial(address: &'static str, prepare: impl Fn(&World, MachineId, MachineId)) -> (ErrorKind, Duration) {
    let world = world(WorldConfig::default());
    let seen = Seen::new();
    let b = machine(&world, "b", |_| std::future::pending());
    let result = seen.clone();
    let a = machine(&world, "a", move |platform| {
        let result = result.clone();
        async move {
            platform.sleep(millis(100)).await;
            let began = platform.now();
            let error = platform.connect(address).await.map(|_| ()).unwrap_err();
            result.push((error.kind(), platform.now() - began));
        }
    });
    run(&world, millis(50));
    prepare(&world, a, b);
    run(&world, seconds(15));
    seen.last().expect("the dial has an outcome")
}

#[test]
fn a_dial_to_a_closed_port_is_refused_at_once() {
    let (error, took) = dial("b:5000", |_, _, _| {});
    assert_eq!(error, ErrorKind::ConnectionRefused);
    assert!(took < millis(20), "{took:?}");
}

#[test]
fn a_dial_to_a_dead_or_cut_machine_hangs_until_the_connect_timeout() {
    let dead = dial("b:5000", |world, _, b| world.power_off(b));
    let cut = dial("b:5000", |world, a, b| world.cut(b, a));
    for (error, took) in [dead, cut] {
        assert_eq!(error, ErrorKind::TimedOut);
        assert!((seconds(10)..millis(10_100)).contains(&took), "{took:?}");
    }
}

#[test]
fn a_slow_reader_stops_its_writer_with_bounded_memory_and_loses_nothing() {
    let world = world(WorldConfig::default());
    let (written, read) = (Seen::new(), Seen::new());
    let go = Rc::new(tokio::sync::Notify::new());
    let (seen, wait) = (read.clone(), Rc::clone(&go));
    machine(&world, "b", move |platform| {
        let (seen, wait) = (seen.clone(), Rc::clone(&wait));
        accept_all(platform, move |_, mut stream| {
            let (seen, wait) = (seen.clone(), Rc::clone(&wait));
            async move {
                wait.notified().await;
                let mut buffer = vec![0; 50_000];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    seen.push(count);
                }
            }
        })
    });
    let seen = written.clone();
    machine(&world, "a", move |platform| {
        let seen = seen.clone();
        async move {
            platform.sleep(millis(5)).await;
            let mut stream = platform.connect("b:5000").await.unwrap();
            for _ in 0..400 {
                stream.write_all(&[7; 10_000]).await.unwrap();
                seen.push(10_000);
            }
            stream.shutdown().await.unwrap();
            std::future::pending().await
        }
    });
    // Longer than the user timeout: a reader that takes its time is not a dead one.
    run(&world, seconds(60));
    let held: usize = written.all().iter().sum();
    assert!((256 << 10..=512 << 10).contains(&held), "the writer waits after {held} bytes");
    go.notify_one();
    run(&world, seconds(10));
    assert_eq!(read.all().iter().sum::<usize>(), 4_000_000);
}

#[test]
fn a_deliberate_reset_is_seen_at_both_ends() {
    let ticker = ticker(WorldConfig::default(), millis(10));
    run(&ticker.world, seconds(1));
    assert_eq!(ticker.world.reset_streams(ticker.a, ticker.b), 1);
    run(&ticker.world, millis(20));
    assert_eq!(ticker.failed_at_a.last().unwrap().0, ErrorKind::ConnectionReset);
    assert_eq!(ticker.failed_at_b.last().unwrap().0, ErrorKind::ConnectionReset);
    assert_eq!(ticker.world.reset_streams(ticker.a, ticker.b), 0);
}

#[test]
fn a_half_closed_stream_still_carries_data_the_other_way_and_refuses_writes() {
    let world = world(WorldConfig::default());
    let seen = Rc::new(RefCell::new(None));
    machine(&world, "b", |platform| {
        accept_all(platform, |platform, mut stream| async move {
            let mut question = Vec::new();
            stream.read_to_end(&mut question).await.unwrap();
            platform.sleep(seconds(1)).await;
            question.reverse();
            stream.write_all(&question).await.unwrap();
        })
    });
    let result = Rc::clone(&seen);
    machine(&world, "a", move |platform| {
        let result = Rc::clone(&result);
        async move {
            platform.sleep(millis(5)).await;
            let mut stream = platform.connect("b:5000").await.unwrap();
            stream.write_all(b"warren").await.unwrap();
            stream.shutdown().await.unwrap();
            let refused = stream.write_all(b"more").await.unwrap_err().kind();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            *result.borrow_mut() = Some((answer, refused));
        }
    });
    run(&world, seconds(2));
    assert_eq!(seen.take(), Some((b"nerraw".to_vec(), ErrorKind::BrokenPipe)));
}

#[test]
fn a_process_can_dial_its_own_machine() {
    let world = world(WorldConfig::default());
    let seen = Seen::new();
    let result = seen.clone();
    machine(&world, "a", move |platform| {
        let result = result.clone();
        async move {
            let mut listener = platform.listen("a:0").await.unwrap();
            let address = format!("a:{}", listener.port());
            let mut near = platform.connect(&address).await.unwrap();
            let (mut far, _) = listener.accept().await.unwrap();
            near.write_all(b"hello").await.unwrap();
            let mut word = [0; 5];
            far.read_exact(&mut word).await.unwrap();
            result.push(word);
        }
    });
    run(&world, millis(5));
    assert_eq!(seen.all(), [*b"hello"]);
}
