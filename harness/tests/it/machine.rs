//! Start, exit, kill, power loss and pause of a machine's process.

use std::{cell::Cell, io::ErrorKind, rc::Rc, time::Duration};

use ferret::sim::{ClockRate, MachineId, SimError, World, WorldConfig, entropy::EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use warren::platform::{Disk, File, Listener, Observation, OpenMode, Platform};

use crate::{Seen, machine, millis, run, seconds, world};

#[test]
fn a_pause_holds_every_poll_and_lets_timers_fire_late() {
    let world = world(WorldConfig::default());
    let ticks = Seen::new();
    let seen = ticks.clone();
    let a = machine(&world, "a", move |platform| {
        let seen = seen.clone();
        async move {
            loop {
                platform.sleep(millis(100)).await;
                seen.push(platform.now());
            }
        }
    });
    run(&world, millis(450));
    assert_eq!(ticks.len(), 4);
    world.pause(a);
    run(&world, seconds(5));
    assert_eq!(ticks.len(), 4);
    assert_eq!(world.machine_counters(a).polls_held, 1, "the one task wanted to run once");
    world.resume(a);
    run(&world, millis(50));
    assert_eq!(ticks.len(), 5, "the timer fires once, late");
    assert!(ticks.last().unwrap() >= millis(5_450));
    run(&world, millis(500));
    assert!((9..=10).contains(&ticks.len()));
}

#[test]
fn the_kernel_of_a_paused_process_goes_on_acknowledging_until_its_window_is_full() {
    let world = world(WorldConfig::default());
    let (written, received) = (Seen::new(), Seen::new());
    let seen = received.clone();
    let b = machine(&world, "b", move |platform| {
        let seen = seen.clone();
        async move {
            let mut listener = platform.listen("b:5000").await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1_000];
            while stream.read_exact(&mut buffer).await.is_ok() {
                seen.push(());
            }
        }
    });
    let seen = written.clone();
    machine(&world, "a", move |platform| {
        let seen = seen.clone();
        async move {
            platform.sleep(millis(5)).await;
            let mut stream = platform.connect("b:5000").await.unwrap();
            for _ in 0..1_000 {
                stream.write_all(&[1; 1_000]).await.unwrap();
                seen.push(());
                platform.sleep(millis(1)).await;
            }
            std::future::pending().await
        }
    });
    run(&world, millis(100));
    world.pause(b);
    run(&world, seconds(40));
    // What b had read before, b's window of 256 KiB, and a's own send buffer of the same size.
    assert!((524..650).contains(&written.len()), "{}", written.len());
    world.resume(b);
    run(&world, seconds(3));
    assert_eq!(received.len(), 1_000, "the stream has outlived the pause");
}

#[test]
fn a_kill_drops_the_process_at_once_and_a_start_boots_a_fresh_one() {
    struct Alive(Rc<Cell<i32>>);
    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }
    let world = world(WorldConfig::default());
    let alive = Rc::new(Cell::new(0));
    let count = Rc::clone(&alive);
    let a = machine(&world, "a", move |platform| {
        let count = Rc::clone(&count);
        async move {
            for _ in 0..3 {
                count.set(count.get() + 1);
                let guard = Alive(Rc::clone(&count));
                platform.spawn("child", async move {
                    std::future::pending::<()>().await;
                    drop(guard);
                });
            }
            std::future::pending().await
        }
    });
    run(&world, millis(10));
    assert_eq!(alive.get(), 3);
    world.kill(a);
    assert_eq!(alive.get(), 0, "all tasks are gone when kill returns");
    assert!(!world.is_running(a) && !world.has_exited(a));
    run(&world, millis(10));
    world.start(a);
    assert!(world.is_running(a));
    run(&world, millis(10));
    assert_eq!((alive.get(), world.machine_counters(a).starts), (3, 2));
}

#[test]
fn a_process_that_ends_by_itself_has_exited_and_takes_its_tasks_and_ports_along() {
    let world = world(WorldConfig::default());
    let ticks = Seen::new();
    let seen = ticks.clone();
    let a = machine(&world, "a", move |platform| {
        let seen = seen.clone();
        async move {
            let child = platform.clone();
            platform.spawn("child", async move {
                let _listener = child.listen("a:5000").await.unwrap();
                loop {
                    seen.push(());
                    child.sleep(millis(10)).await;
                }
            });
            platform.sleep(millis(55)).await;
        }
    });
    run(&world, seconds(1));
    assert!(world.has_exited(a) && !world.is_running(a));
    assert_eq!(ticks.len(), 6);
    world.start(a);
    run(&world, seconds(1));
    assert_eq!(ticks.len(), 12, "the port is free again");
}

#[test]
fn a_killed_reader_with_unread_data_resets_its_peer() {
    let world = world(WorldConfig::default());
    let failed = Seen::new();
    let b = machine(&world, "b", |platform| async move {
        let mut listener = platform.listen("b:5000").await.unwrap();
        let _held = listener.accept().await.unwrap();
        std::future::pending().await
    });
    let seen = failed.clone();
    machine(&world, "a", move |platform| {
        let seen = seen.clone();
        async move {
            platform.sleep(millis(5)).await;
            let mut stream = platform.connect("b:5000").await.unwrap();
            stream.write_all(b"never read").await.unwrap();
            seen.push((stream.read_u8().await.unwrap_err().kind(), platform.now()));
        }
    });
    run(&world, millis(100));
    world.kill(b);
    run(&world, millis(20));
    let (error, at) = failed.last().expect("the reset arrives within the latency of the link");
    assert_eq!(error, ErrorKind::ConnectionReset);
    assert!(at <= millis(110), "{at:?}");
}

#[test]
fn a_power_loss_sends_nothing_not_even_from_destructors() {
    let world = world(WorldConfig::default());
    let b = machine(&world, "b", |platform| async move {
        let mut listener = platform.listen("b:5000").await.unwrap();
        let _held = listener.accept().await.unwrap();
        std::future::pending().await
    });
    let a = machine(&world, "a", |platform| async move {
        platform.sleep(millis(5)).await;
        let _stream = platform.connect("b:5000").await.unwrap();
        std::future::pending().await
    });
    run(&world, seconds(1));
    let before = world.link(b, a).sent;
    world.power_off(b);
    run(&world, seconds(60));
    assert_eq!(world.link(b, a).sent, before);
    assert!(world.link(a, b).sent > world.link(a, b).delivered, "a's probes reach nobody");
}

#[test]
fn a_process_restarted_after_a_kill_finds_its_unsynced_data() {
    let world = world(WorldConfig::default());
    let found = Seen::new();
    let seen = found.clone();
    let a = machine(&world, "a", move |platform| {
        let seen = seen.clone();
        async move {
            let file = platform.disk().open("log", OpenMode::CreateIfMissing).await.unwrap();
            seen.push(file.read_at(0, 100).await.unwrap());
            file.write_at(0, b"unsynced").await.unwrap();
            std::future::pending().await
        }
    });
    run(&world, millis(10));
    world.kill(a);
    world.start(a);
    run(&world, millis(10));
    assert_eq!(found.all(), [b"".to_vec(), b"unsynced".to_vec()]);
}

#[test]
fn a_panic_in_any_task_ends_the_simulation_with_its_message_and_machine() {
    let world = world(WorldConfig::default());
    machine(&world, "n1", |platform| async move {
        let child = platform.clone();
        platform.spawn("doomed", async move {
            child.sleep(millis(20)).await;
            panic!("the index {} is out of order", 7);
        });
        std::future::pending().await
    });
    run(&world, millis(15));
    let error = world.run_for(millis(15)).unwrap_err();
    let message = "the index 7 is out of order".to_owned();
    assert_eq!(error, SimError::Panic { machine: Some("n1".to_owned()), task: "doomed", message });
    assert_eq!(error.to_string(), "n1 panicked in task `doomed`: the index 7 is out of order");
}

#[test]
fn observations_reach_the_sink_with_time_and_node() {
    let seen = Seen::new();
    let sink = seen.clone();
    let world = World::new(WorldConfig::default(), Rc::new(move |at, node, fact| sink.push((at.0, node.0, fact))));
    world.add_machine("n3", warren::platform::NodeId(3), |platform| {
        Box::pin(async move {
            platform.sleep(millis(7)).await;
            platform.observe(Observation::Started { incarnation: 1 });
        })
    });
    run(&world, millis(20));
    let all = seen.all();
    assert_eq!(all.len(), 1);
    let (at, node, fact) = &all[0];
    assert!((7..=8).contains(&(Duration::from_nanos(*at).as_millis())), "{at}");
    assert_eq!((*node, fact), (3, &Observation::Started { incarnation: 1 }));
}

/// A process with a task that yields ten times for each piece of work, and one that ticks every 10 ms.
fn worker_and_ticker(world: &World) -> (MachineId, Seen<Duration>, Seen<Duration>) {
    let (worked, ticked) = (Seen::new(), Seen::new());
    let (work, ticks) = (worked.clone(), ticked.clone());
    let id = machine(world, "a", move |platform| {
        let (work, ticks) = (work.clone(), ticks.clone());
        async move {
            let worker = platform.clone();
            platform.spawn("worker", async move {
                loop {
                    for _ in 0..10 {
                        tokio::task::yield_now().await;
                    }
                    work.push(worker.now());
                    worker.sleep(millis(10)).await;
                }
            });
            loop {
                platform.sleep(millis(10)).await;
                ticks.push(platform.now());
            }
        }
    });
    (id, worked, ticked)
}

#[test]
fn on_a_slow_processor_polls_take_time_and_wait_for_each_other() {
    let world = world(WorldConfig::default());
    let (a, worked, ticked) = worker_and_ticker(&world);
    run(&world, seconds(1));
    let fast = (worked.len(), ticked.len());
    assert!(fast.0 >= 80 && fast.1 >= 80, "{fast:?}");
    assert_eq!(world.machine_counters(a).processor.polls_delayed, 0);
    world.set_poll_cost(a, millis(5));
    let polls_before = world.machine_counters(a).polls;
    run(&world, seconds(10));
    let counters = world.machine_counters(a);
    let polls = counters.polls - polls_before;
    assert!((1_900..=2_001).contains(&polls), "{polls} polls at 200 per second");
    assert!(counters.processor.polls_delayed > 1_500, "{counters:?}");
    let slow = (worked.len() - fast.0, ticked.len() - fast.1);
    assert!((100..=200).contains(&slow.0), "eleven polls and a wait for each: {slow:?}");
    assert!(slow.1 > 300, "the other task gets its turns: {slow:?}");
    world.set_poll_cost(a, Duration::ZERO);
    let before = worked.len();
    run(&world, seconds(1));
    assert!(worked.len() - before >= 80, "it is fast again");
}

#[test]
fn polls_cheaper_than_the_engines_timers_still_add_up() {
    let world = world(WorldConfig::default());
    let a = machine(&world, "a", |_| async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    world.set_poll_cost(a, Duration::from_micros(100));
    run(&world, seconds(2));
    let polls = world.machine_counters(a).polls;
    assert!((19_000..=20_100).contains(&polls), "{polls} polls at 10,000 per second");
}

#[test]
fn a_process_killed_on_a_slow_processor_starts_again_slowly() {
    let world = world(WorldConfig::default());
    let (a, worked, _) = worker_and_ticker(&world);
    world.set_poll_cost(a, millis(20));
    run(&world, seconds(2));
    world.kill(a);
    world.start(a);
    let before = worked.len();
    run(&world, seconds(5));
    assert!((5..30).contains(&(worked.len() - before)), "{}", worked.len() - before);
}

/// A process that tells its monotonic and its wall clock every 100 ms by its own timer.
fn clock_watcher(world: &World) -> (MachineId, Seen<(Duration, Duration)>) {
    let told = Seen::new();
    let seen = told.clone();
    let id = machine(world, "a", move |platform| {
        let seen = seen.clone();
        async move {
            loop {
                seen.push((platform.now(), platform.wall()));
                platform.sleep(millis(100)).await;
            }
        }
    });
    (id, told)
}

#[test]
fn a_clock_that_drifts_takes_its_timers_along() {
    let world = world(WorldConfig::default());
    let (a, told) = clock_watcher(&world);
    run(&world, seconds(10));
    let before = told.len();
    world.set_clock_rate(a, ClockRate::Drift(500_000));
    run(&world, seconds(10));
    let fast = told.len() - before;
    assert!((140..=150).contains(&fast), "{fast}");
    assert!((millis(24_800)..millis(25_100)).contains(&told.last().unwrap().0), "{:?}", told.last());
    world.set_clock_rate(a, ClockRate::Drift(-500_000));
    run(&world, seconds(10));
    let slow = told.len() - before - fast;
    assert!((48..=51).contains(&slow), "{slow}");
    let counters = world.machine_counters(a).clock;
    assert!(counters.monotonic_skewed > 190 && counters.timers_skewed > 190, "{counters:?}");
    assert!(told.all().windows(2).all(|pair| pair[0].0 < pair[1].0), "monotonic time never goes back");
}

#[test]
fn a_change_of_rate_reaches_a_timer_that_was_already_set() {
    for (gain, expected) in [(1_000_000, 5_500), (-500_000, 19_000)] {
        let world = world(WorldConfig::default());
        let woke = Seen::new();
        let seen = woke.clone();
        let a = machine(&world, "a", move |platform| {
            let seen = seen.clone();
            async move {
                platform.sleep(seconds(10)).await;
                seen.push(Duration::from_nanos(platform.nanos().0));
            }
        });
        run(&world, seconds(1));
        world.set_clock_rate(a, ClockRate::Drift(gain));
        run(&world, seconds(30));
        // One second at the true rate, nine more by the wrong clock.
        let woke = woke.last().unwrap();
        assert!((millis(expected)..=millis(expected + 2)).contains(&woke), "{gain}: {woke:?}");
    }
}

#[test]
fn a_frozen_clock_holds_its_timers_until_it_goes_on() {
    let world = world(WorldConfig::default());
    let (a, told) = clock_watcher(&world);
    run(&world, millis(1_050));
    world.set_clock_rate(a, ClockRate::Frozen);
    let before = told.len();
    run(&world, seconds(30));
    assert_eq!(told.len(), before);
    world.set_clock_rate(a, ClockRate::Drift(0));
    run(&world, seconds(1));
    assert!((9..=11).contains(&(told.len() - before)), "{}", told.len() - before);
    assert!(told.last().unwrap().0 < seconds(3), "the time of the freeze is missing from then on");
}

#[test]
fn a_wall_clock_jumps_and_stands_still_without_the_monotonic_one() {
    let world = world(WorldConfig::default());
    let (a, told) = clock_watcher(&world);
    run(&world, millis(1_050));
    assert_eq!(world.machine_counters(a).clock.wall_skewed, 0);
    world.jump_wall_clock(a, -300_000_000_000);
    run(&world, seconds(1));
    let (monotonic, wall) = told.last().unwrap();
    assert_eq!(wall + seconds(300), EPOCH + monotonic, "five minutes back");
    world.set_wall_clock_right(a);
    world.freeze_wall_clock(a, true);
    run(&world, seconds(1));
    let (monotonic, wall) = told.last().unwrap();
    assert!(monotonic > seconds(3) - millis(100) && (millis(2_040)..millis(2_060)).contains(&(wall - EPOCH)));
    assert!((18..=21).contains(&world.machine_counters(a).clock.wall_skewed));
}
