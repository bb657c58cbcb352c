//! Same seed, same run: clocks, chance and trace.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    time::{Instant, SystemTime},
};

use ferret::sim::{
    Bandwidth, ClockRate, Reorder, SimError, SimPlatform, TraceEvent, TraceMode, World, WorldConfig, entropy,
    first_difference, run_isolated,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use warren::platform::{Disk, File, Listener, OpenMode, Platform};

use crate::{machine, millis, seconds, world};

/// What a program can learn from the C library about chance and time.
#[expect(clippy::disallowed_methods, reason = "the point is what these answer inside a simulation")]
fn ask_the_kernel() -> (u64, SystemTime, Instant) {
    (RandomState::new().hash_one(1), SystemTime::now(), Instant::now())
}

#[test]
fn chance_and_clocks_are_the_same_in_two_isolated_runs_and_not_the_real_ones() {
    let first = run_isolated(7, ask_the_kernel).unwrap();
    let second = run_isolated(7, ask_the_kernel).unwrap();
    assert_eq!(first, second);
    assert_eq!(first.1, SystemTime::UNIX_EPOCH + entropy::EPOCH);
    assert_ne!(run_isolated(8, ask_the_kernel).unwrap().0, first.0, "another seed, another chance");
    let real = ask_the_kernel();
    assert_ne!((real.0, real.1), (first.0, first.1));
    assert!(ask_the_kernel().2 >= real.2, "outside, real time goes on");
}

#[test]
fn the_clocks_of_the_c_library_follow_virtual_time() {
    let elapsed = run_isolated(1, || {
        let world = world(WorldConfig::default());
        let (_, wall, instant) = ask_the_kernel();
        world.run_for(seconds(3)).unwrap();
        let (_, wall_after, instant_after) = ask_the_kernel();
        (wall_after.duration_since(wall).unwrap(), instant_after - instant)
    });
    assert_eq!(elapsed.unwrap(), (seconds(3), seconds(3)));
}

#[test]
fn a_thread_with_a_ticket_shares_the_clock_of_its_simulation() {
    let shared = run_isolated(1, || {
        let ticket = entropy::ticket().expect("inside a simulation");
        let world = world(WorldConfig::default());
        world.run_for(seconds(2)).unwrap();
        let (_, wall, instant) = ask_the_kernel();
        std::thread::scope(|scope| {
            let other = scope.spawn(move || {
                let _entered = ticket.enter();
                ask_the_kernel()
            });
            let other = other.join().unwrap();
            (other.1, other.2) == (wall, instant)
        })
    });
    assert_eq!(shared, Ok(true));
    assert!(entropy::ticket().is_none());
}

#[test]
fn a_panic_in_an_isolated_run_is_an_error_with_its_message() {
    let result: Result<(), SimError> = run_isolated(1, || panic!("no such {}", "luck"));
    assert_eq!(result.unwrap_err().to_string(), "the simulation panicked in task `simulation`: no such luck");
}

/// Echoes, and writes what it echoes to disk.
async fn echo(platform: SimPlatform) {
    let mut listener = platform.listen("server:1").await.unwrap();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let node = platform.clone();
        platform.spawn("echo", async move {
            let file = node.disk().open("echo", OpenMode::CreateIfMissing).await.unwrap();
            let mut buffer = vec![0; 3_000];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                file.write_at(node.random() % 10_000, &buffer[..count]).await.unwrap();
                if file.sync().await.is_err() || stream.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Talks to the echo for ever, and dials again whenever that fails. A select and a hash map bring in chance that is
/// not ours.
async fn chat(platform: SimPlatform) {
    loop {
        platform.sleep(millis(20)).await;
        let Ok(mut stream) = platform.connect("server:1").await else { continue };
        let mut buffer = vec![0; 3_000];
        loop {
            let count = (RandomState::new().hash_one(platform.random()) % 2_900 + 1) as usize;
            let both = async {
                stream.write_all(&buffer[..count]).await?;
                stream.read(&mut buffer).await
            };
            let answered = tokio::select! {
                result = both => result.is_ok_and(|count| count > 0),
                () = platform.sleep(millis(500)) => false,
            };
            platform.trace(count as u64, answered.into());
            if !answered {
                break;
            }
        }
    }
}

/// A busy exchange under everything that can go wrong: its trace hash and event count, and the events.
fn busy(seed: u64, trace: TraceMode) -> ((u64, u64), Vec<TraceEvent>) {
    let run = move || {
        let latency = millis(1)..millis(12);
        let config = WorldConfig { seed, loss: 0.03, duplicate: 0.03, latency, trace, ..WorldConfig::default() };
        let world = world(config);
        let server = machine(&world, "server", echo);
        let clients: Vec<_> = ["c1", "c2", "c3"].into_iter().map(|name| machine(&world, name, chat)).collect();
        world.run_for(seconds(3)).unwrap();
        world.set_extra_latency(server, clients[0], millis(5)..millis(80));
        world.set_reorder(clients[1], server, Some(Reorder { share: 0.2, delay: millis(10)..millis(50) }));
        let bandwidth = Bandwidth { bytes_per_second: 100_000, queue_bytes: 20_000 };
        world.set_bandwidth(server, clients[2], Some(bandwidth));
        world.set_poll_cost(server, std::time::Duration::from_micros(700));
        world.set_clock_rate(clients[2], ClockRate::Drift(-200_000));
        world.disk(server).set_misdirections(3);
        world.disk(server).rot(2);
        world.run_for(seconds(2)).unwrap();
        world.set_poll_cost(server, std::time::Duration::ZERO);
        world.set_clock_rate(clients[2], ClockRate::Frozen);
        world.jump_wall_clock(clients[0], 1_000_000_000);
        world.cut(server, clients[0]);
        world.pause(clients[1]);
        world.run_for(seconds(2)).unwrap();
        world.uncut(server, clients[0]);
        world.resume(clients[1]);
        world.power_off(server);
        world.run_for(seconds(1)).unwrap();
        world.disk(server).wipe();
        world.set_clock_rate(clients[2], ClockRate::Drift(0));
        world.start(server);
        world.kill(clients[2]);
        world.run_for(seconds(1)).unwrap();
        world.start(clients[2]);
        world.reset_streams(server, clients[2]);
        world.run_for(seconds(3)).unwrap();
        (world.trace_hash(), world.take_trace())
    };
    run_isolated(seed, run).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_trace_hash_and_another_seed_another() {
    let (first, _) = busy(1, TraceMode::HashOnly);
    assert!(first.1 > 3_000, "{} events", first.1);
    for _ in 0..3 {
        assert_eq!(busy(1, TraceMode::HashOnly).0, first);
    }
    assert_ne!(busy(2, TraceMode::HashOnly).0.0, first.0);
}

#[test]
fn recording_changes_nothing_and_shows_the_first_event_that_differs() {
    let (hash, first) = busy(1, TraceMode::Record);
    assert_eq!(hash, busy(1, TraceMode::HashOnly).0);
    assert_eq!(hash.1, first.len() as u64);
    let (_, second) = busy(1, TraceMode::Record);
    assert_eq!(first_difference(&first, &second), None);
    let mut changed = second.clone();
    changed[100].b ^= 1;
    let divergence = first_difference(&first, &changed).unwrap();
    assert_eq!((divergence.position, divergence.first), (100, Some(first[100])));
    assert!(divergence.to_string().starts_with("event 100: first run 0.0"), "{divergence}");
    let divergence = first_difference(&first, &first[..50]).unwrap();
    assert_eq!((divergence.position, divergence.second), (50, None));
}

#[test]
fn a_world_that_is_dropped_takes_everything_along() {
    let seen = std::rc::Rc::new(());
    let (by_sink, by_process) = (seen.clone(), seen.clone());
    let world = World::new(WorldConfig::default(), std::rc::Rc::new(move |_, _, _| drop(by_sink.clone())));
    let server = machine(&world, "server", echo);
    machine(&world, "c1", move |platform| {
        let held = by_process.clone();
        async move {
            chat(platform).await;
            drop(held);
        }
    });
    world.run_for(seconds(1)).unwrap();
    world.disk(server).set_fault(ferret::sim::DiskFault::StallSync);
    world.run_for(seconds(1)).unwrap();
    drop(world);
    assert_eq!(std::rc::Rc::strong_count(&seen), 1, "a sweep of many seeds must not grow");
}
