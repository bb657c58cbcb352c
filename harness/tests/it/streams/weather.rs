//! Links that are slow, narrow or lossy, as streams feel them.

use super::*;

#[test]
fn added_latency_delays_one_direction_only_and_goes_away() {
    let ticker = ticker(WorldConfig::default(), millis(10));
    run(&ticker.world, seconds(1));
    ticker.world.set_extra_latency(ticker.a, ticker.b, millis(300)..millis(400));
    let before = ticker.received.len();
    run(&ticker.world, millis(290));
    assert!(ticker.received.len() <= before + 1, "what was sent since is still under way");
    run(&ticker.world, seconds(2));
    let (there, back) = (ticker.world.link(ticker.a, ticker.b), ticker.world.link(ticker.b, ticker.a));
    assert!(there.delayed > 100 && back.delayed == 0, "{there:?}");
    let mean = there.delayed_for / there.delayed as u32;
    assert!((millis(330)..millis(370)).contains(&mean), "{mean:?}");
    let arrived = ticker.received.len();
    assert!((before + 170..before + 210).contains(&arrived), "{before} {arrived}");
    ticker.world.set_extra_latency(ticker.a, ticker.b, Duration::ZERO..Duration::ZERO);
    run(&ticker.world, seconds(1));
    assert!(ticker.received.len() > before + 310, "{before} {}", ticker.received.len());
    assert_consecutive(&ticker.received);
}

#[test]
fn what_a_link_holds_up_is_lost_to_a_cut_but_not_to_its_senders_power_loss() {
    for cut in [true, false] {
        let ticker = ticker(WorldConfig::default(), millis(10));
        run(&ticker.world, seconds(1));
        ticker.world.set_extra_latency(ticker.a, ticker.b, millis(300)..millis(300));
        run(&ticker.world, millis(200));
        let before = ticker.received.len();
        if cut {
            ticker.world.cut(ticker.a, ticker.b);
        } else {
            ticker.world.power_off(ticker.a);
        }
        run(&ticker.world, millis(400));
        let arrived = ticker.received.len() - before;
        assert!(if cut { arrived == 0 } else { arrived >= 18 }, "cut: {cut}, arrived: {arrived}");
    }
}

#[test]
fn segments_that_are_held_back_are_overtaken_and_the_stream_stays_in_order() {
    let config = WorldConfig { latency: millis(1)..millis(1), ..WorldConfig::default() };
    let ticker = ticker(config, millis(10));
    run(&ticker.world, seconds(1));
    assert_eq!(ticker.world.link(ticker.a, ticker.b).overtaken, 0);
    let reorder = ferret::sim::Reorder { share: 0.3, delay: millis(20)..millis(60) };
    ticker.world.set_reorder(ticker.a, ticker.b, Some(reorder));
    run(&ticker.world, seconds(3));
    let there = ticker.world.link(ticker.a, ticker.b);
    assert!(there.held_back > 50 && there.overtaken > 40, "{there:?}");
    ticker.world.set_reorder(ticker.a, ticker.b, None);
    run(&ticker.world, seconds(1));
    assert!(ticker.received.len() > 480, "{}", ticker.received.len());
    assert_consecutive(&ticker.received);
}

#[test]
fn a_bottleneck_lets_through_what_it_can_and_drops_what_its_queue_cannot_hold() {
    use ferret::sim::Bandwidth;
    let world = world(WorldConfig::default());
    let received = Seen::new();
    let seen = received.clone();
    let b = machine(&world, "b", move |platform| {
        let seen = seen.clone();
        accept_all(platform, move |platform, mut stream| {
            let seen = seen.clone();
            async move {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    seen.push((buffer[..count].to_vec(), platform.now()));
                }
            }
        })
    });
    let a = machine(&world, "a", |platform| async move {
        platform.sleep(millis(5)).await;
        let mut stream = platform.connect("b:5000").await.unwrap();
        let bytes: Vec<u8> = (0..400_000_u32).map(|at| (at % 251) as u8).collect();
        stream.write_all(&bytes).await.unwrap();
        std::future::pending().await
    });
    world.set_bandwidth(a, b, Some(Bandwidth { bytes_per_second: 50_000, queue_bytes: 100_000 }));
    run(&world, seconds(2));
    let so_far: usize = received.all().iter().map(|(bytes, _)| bytes.len()).sum();
    assert!((30_000..100_000).contains(&so_far), "{so_far} bytes in 2 s at 50 kB/s");
    let link = world.link(a, b);
    assert!(link.queued > 0 && link.overflowed > 0, "{link:?}");
    assert_eq!(world.link(b, a).queued, 0);
    world.set_bandwidth(a, b, None);
    run(&world, seconds(20));
    let all: Vec<u8> = received.all().into_iter().flat_map(|(bytes, _)| bytes).collect();
    assert!(all.len() == 400_000 && all.iter().zip(0_u32..).all(|(byte, at)| u32::from(*byte) == at % 251));
}
