//! What a simulated disk keeps, loses and delays.

use std::{collections::BTreeMap, time::Duration};

use ferret::sim::{
    DiskFault, MachineId, PowerLoss, SimPlatform, World, WorldConfig,
    disk::{Contents, SECTOR_BYTES},
};
use proptest::prelude::*;
use warren::platform::{Disk, File, OpenMode, Platform};

use crate::{Seen, machine, millis, run, seconds, world};

/// Every life of the process first reports the files it finds, then runs `act`.
fn disk_user<F: Future<Output = ()> + 'static>(
    config: WorldConfig,
    act: impl Fn(SimPlatform) -> F + Copy + 'static,
) -> (World, MachineId, Seen<BTreeMap<String, Vec<u8>>>) {
    let world = world(config);
    let found = Seen::new();
    let seen = found.clone();
    let id = machine(&world, "a", move |platform| {
        let seen = seen.clone();
        async move {
            let mut files = BTreeMap::new();
            for name in platform.disk().list().await.unwrap() {
                let file = platform.disk().open(&name, OpenMode::Existing).await.unwrap();
                files.insert(name, file.read_at(0, 1 << 20).await.unwrap());
            }
            seen.push(files);
            act(platform).await;
            std::future::pending().await
        }
    });
    (world, id, found)
}

fn files<const N: usize>(expected: [(&str, &[u8]); N]) -> BTreeMap<String, Vec<u8>> {
    expected.into_iter().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect()
}

/// Creates `log` with a synced "kept", then appends an unsynced "lost"; also an unsynced name.
async fn write_some(platform: SimPlatform) {
    let disk = platform.disk();
    let file = disk.open("log", OpenMode::CreateIfMissing).await.unwrap();
    file.write_at(0, b"kept").await.unwrap();
    file.sync().await.unwrap();
    disk.sync_names().await.unwrap();
    file.write_at(4, b"lost").await.unwrap();
    disk.open("new", OpenMode::CreateIfMissing).await.unwrap();
}

#[test]
fn a_power_loss_takes_what_was_not_synced_and_a_kill_does_not() {
    let (world, a, found) = disk_user(WorldConfig::default(), write_some);
    run(&world, millis(100));
    world.kill(a);
    world.start(a);
    run(&world, millis(1));
    assert_eq!(found.last().unwrap(), files([("log", b"keptlost"), ("new", b"")]));

    let (world, a, found) = disk_user(WorldConfig::default(), write_some);
    world.set_power_loss_policy(a, PowerLoss::LoseUnsynced);
    run(&world, millis(100));
    world.power_off(a);
    run(&world, seconds(1));
    world.start(a);
    run(&world, millis(1));
    assert_eq!(found.last().unwrap(), files([("log", b"kept")]));
    let counters = world.disk(a).counters();
    assert_eq!((counters.bytes_lost_last, counters.names_lost_last, counters.power_losses), (8, 1, 1));
}

#[test]
fn a_file_whose_name_was_never_synced_vanishes_and_a_rename_reverts() {
    let (world, a, found) = disk_user(WorldConfig::default(), |platform| async move {
        let disk = platform.disk();
        let old = disk.open("state", OpenMode::CreateIfMissing).await.unwrap();
        old.write_at(0, b"old").await.unwrap();
        old.sync().await.unwrap();
        disk.sync_names().await.unwrap();
        let new = disk.open("state.tmp", OpenMode::CreateIfMissing).await.unwrap();
        new.write_at(0, b"new").await.unwrap();
        new.sync().await.unwrap();
        disk.rename("state.tmp", "state").await.unwrap();
    });
    world.set_power_loss_policy(a, PowerLoss::LoseUnsynced);
    run(&world, millis(100));
    world.power_off(a);
    world.start(a);
    run(&world, millis(1));
    assert_eq!(found.last().unwrap(), files([("state", b"old")]));
    assert_eq!(world.disk(a).counters().names_lost_last, 2);
}

#[test]
fn a_torn_power_loss_keeps_the_first_few_changes_of_names() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 1..=20 {
        let (world, a, found) = disk_user(WorldConfig { seed, ..WorldConfig::default() }, |platform| async move {
            let disk = platform.disk();
            disk.open("1", OpenMode::CreateIfMissing).await.unwrap();
            disk.rename("1", "2").await.unwrap();
            disk.open("3", OpenMode::CreateIfMissing).await.unwrap();
        });
        run(&world, millis(10));
        world.power_off(a);
        world.start(a);
        run(&world, millis(1));
        outcomes.insert(found.last().unwrap().into_keys().collect::<Vec<_>>().join(" "));
    }
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), ["", "1", "2", "2 3"]);
}

/// Appends and syncs for ever, telling when each sync has ended and how.
fn syncer() -> (World, MachineId, Seen<(Duration, Option<i32>)>) {
    let world = world(WorldConfig::default());
    let synced = Seen::new();
    let seen = synced.clone();
    let a = machine(&world, "a", move |platform| {
        let seen = seen.clone();
        async move {
            let file = platform.disk().open("log", OpenMode::CreateIfMissing).await.unwrap();
            loop {
                let end = file.size().await.unwrap();
                file.write_at(end, &[1; 100]).await.unwrap();
                let outcome = file.sync().await.err().and_then(|error| error.raw_os_error());
                seen.push((platform.now(), outcome));
                platform.sleep(millis(10)).await;
            }
        }
    });
    (world, a, synced)
}

#[test]
fn a_stalled_sync_waits_until_the_stall_ends() {
    let (world, a, synced) = syncer();
    run(&world, seconds(1));
    let before = synced.len();
    world.disk(a).set_fault(DiskFault::StallSync);
    run(&world, seconds(4));
    assert!(synced.len() <= before, "nothing reaches the platter");
    assert_eq!(world.disk(a).counters().syncs_held, 1);
    world.disk(a).set_fault(DiskFault::None);
    run(&world, millis(10));
    assert_eq!(synced.len(), before + 1);
    assert_eq!(synced.last().unwrap().1, None);
    let held = world.disk(a).counters().held_for;
    assert!((seconds(3)..=seconds(4)).contains(&held), "{held:?}");
}

#[test]
fn a_slow_disk_takes_longer_for_each_sync() {
    let (world, a, synced) = syncer();
    world.disk(a).set_fault(DiskFault::Slow(millis(500)..millis(600)));
    run(&world, seconds(10));
    assert!((15..=20).contains(&synced.len()), "{}", synced.len());
    let counters = world.disk(a).counters();
    assert!(counters.syncs_slowed >= 15 && counters.slowed_for >= seconds(7));
}

#[test]
fn a_full_disk_and_a_broken_one_answer_with_their_errno() {
    let world = world(WorldConfig::default());
    let seen = Seen::new();
    let result = seen.clone();
    let a = machine(&world, "a", move |platform| {
        let result = result.clone();
        async move {
            let file = platform.disk().open("log", OpenMode::CreateIfMissing).await.unwrap();
            loop {
                let write = file.write_at(0, b"x").await.err().and_then(|error| error.raw_os_error());
                let read = file.read_at(0, 1).await.err().and_then(|error| error.raw_os_error());
                result.push((write, read));
                platform.sleep(millis(10)).await;
            }
        }
    });
    for (fault, expected) in [
        (DiskFault::None, (None, None)),
        (DiskFault::NoSpace, (Some(28), None)),
        (DiskFault::ReadError, (None, Some(5))),
    ] {
        world.disk(a).set_fault(fault);
        run(&world, millis(20));
        assert_eq!(seen.last().unwrap(), expected);
    }
}

#[test]
fn a_failed_sync_drops_its_pages_so_that_the_next_sync_succeeds_without_them() {
    let (world, a, found) = disk_user(WorldConfig::default(), |platform| async move {
        let file = platform.disk().open("log", OpenMode::CreateIfMissing).await.unwrap();
        platform.disk().sync_names().await.unwrap();
        file.write_at(0, &[1; SECTOR_BYTES]).await.unwrap();
        platform.sleep(millis(100)).await;
        assert_eq!(file.sync().await.unwrap_err().raw_os_error(), Some(5));
        platform.sleep(millis(100)).await;
        assert_eq!(file.read_at(0, 1).await.unwrap(), [1], "the page cache still shows it");
        file.write_at(SECTOR_BYTES as u64, &[2; SECTOR_BYTES]).await.unwrap();
        file.sync().await.unwrap();
    });
    run(&world, millis(50));
    world.disk(a).set_fault(DiskFault::FailSync);
    run(&world, millis(100));
    world.disk(a).set_fault(DiskFault::None);
    run(&world, millis(200));
    world.power_off(a);
    assert_eq!(world.disk(a).counters().syncs_failed, 1);
    world.start(a);
    run(&world, millis(1));
    let log = found.last().unwrap()["log"].clone();
    assert_eq!(log[..SECTOR_BYTES], [0; SECTOR_BYTES], "never reached the platter");
    assert_eq!(log[SECTOR_BYTES..], [2; SECTOR_BYTES]);
}

#[test]
fn what_is_written_during_a_sync_is_not_covered_by_it_but_does_not_undo_it_either() {
    let mut contents = Contents::default();
    contents.write(0, b"first");
    let plan = contents.begin_sync();
    contents.write(2, b"SECOND");
    contents.end_sync(plan);
    contents.lose_power(|| false);
    assert_eq!(contents.read(0, 100), b"first");
}

/// An operation on a file.
#[derive(Clone, Debug)]
enum Step {
    Write { offset: u64, byte: u8, len: usize },
    SetLen(u64),
    Sync,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..6_000, 1_u8.., 1_usize..2_000).prop_map(|(offset, byte, len)| Step::Write { offset, byte, len }),
        1 => (0_u64..6_000).prop_map(Step::SetLen),
        2 => Just(Step::Sync),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// After a power loss, each sector of the file is as it was durable, or as it was last seen; nothing in between.
    #[test]
    fn a_torn_write_keeps_or_loses_whole_sectors(
        steps in prop::collection::vec(step(), 1..20),
        coins in prop::collection::vec(any::<bool>(), 1..40),
    ) {
        let mut contents = Contents::default();
        let (mut seen, mut durable) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Write { offset, byte, len } => {
                    contents.write(offset, &vec![byte; len]);
                    let end = offset as usize + len;
                    seen.resize(seen.len().max(end), 0);
                    seen[offset as usize..end].fill(byte);
                }
                Step::SetLen(len) => {
                    contents.set_len(len);
                    seen.resize(len as usize, 0);
                }
                Step::Sync => {
                    let plan = contents.begin_sync();
                    contents.end_sync(plan);
                    durable.clone_from(&seen);
                }
            }
        }
        prop_assert_eq!(contents.read(0, usize::MAX), &seen[..]);
        let mut toss = coins.iter().cycle();
        contents.lose_power(|| *toss.next().expect("cyclic"));
        let after = contents.read(0, usize::MAX);
        prop_assert!(after.len() <= seen.len().max(durable.len()));
        prop_assert!(after.len() >= seen.len().min(durable.len()));
        let padded = |bytes: &[u8], start: usize| {
            let mut sector = [0; SECTOR_BYTES];
            let bytes = &bytes[start.min(bytes.len())..(start + SECTOR_BYTES).min(bytes.len())];
            sector[..bytes.len()].copy_from_slice(bytes);
            sector
        };
        for start in (0..after.len()).step_by(SECTOR_BYTES) {
            let len = SECTOR_BYTES.min(after.len() - start);
            let sector = &after[start..start + len];
            let (old, new) = (padded(&durable, start), padded(&seen, start));
            prop_assert!(*sector == old[..len] || *sector == new[..len], "sector at {}", start);
        }
        // And it is durable now.
        contents.lose_power(|| false);
        prop_assert_eq!(contents.read(0, usize::MAX), after);
    }
}

/// Writes a log of `count` sectors, each full of its number, and syncs it with its name.
async fn write_log(platform: &SimPlatform, count: u8) -> ferret::sim::SimFile {
    let file = platform.disk().open("log", OpenMode::CreateIfMissing).await.unwrap();
    for number in 0..count {
        file.write_at(u64::from(number) * SECTOR_BYTES as u64, &[number; SECTOR_BYTES]).await.unwrap();
    }
    file.sync().await.unwrap();
    platform.disk().sync_names().await.unwrap();
    file
}

#[test]
fn rot_flips_single_bits_of_synced_data_for_good_until_they_are_written_again() {
    let (world, a, found) = disk_user(WorldConfig::default(), |platform| async move {
        if platform.disk().list().await.unwrap().is_empty() {
            let file = write_log(&platform, 8).await;
            file.write_at(8 * SECTOR_BYTES as u64, &[8; SECTOR_BYTES]).await.unwrap();
        }
    });
    assert_eq!(world.disk(a).rot(1), 0, "nothing is synced yet");
    run(&world, millis(100));
    let clean: Vec<u8> = (0..9).flat_map(|number| [number; SECTOR_BYTES]).collect();
    assert_eq!(world.disk(a).rot(3), 3);
    let mut reads = Vec::new();
    for _ in 0..2 {
        world.kill(a);
        world.start(a);
        run(&world, millis(1));
        reads.push(found.last().unwrap()["log"].clone());
    }
    assert_eq!(reads[0], reads[1], "rot stays");
    let wrong: u32 = reads[0].iter().zip(&clean).map(|(now, then)| (now ^ then).count_ones()).sum();
    assert_eq!(wrong, 3);
    assert_eq!(reads[0][8 * SECTOR_BYTES..], clean[8 * SECTOR_BYTES..], "unsynced data does not rot");
    let counters = world.disk(a).counters();
    assert_eq!((counters.bits_rotted, counters.corrupt_bytes_read), (3, 6));
}

#[test]
fn rot_survives_a_power_loss() {
    let (world, a, found) = disk_user(WorldConfig::default(), |platform| async move {
        if platform.disk().list().await.unwrap().is_empty() {
            write_log(&platform, 4).await;
        }
    });
    run(&world, millis(100));
    world.disk(a).rot(1);
    world.power_off(a);
    world.start(a);
    run(&world, millis(1));
    let clean: Vec<u8> = (0..4).flat_map(|number| [number; SECTOR_BYTES]).collect();
    assert_eq!(found.last().unwrap()["log"].iter().zip(&clean).filter(|(now, then)| now != then).count(), 1);
}

#[test]
fn a_misdirected_write_leaves_its_own_place_stale_and_another_ones_content_gone() {
    let (world, a, found) = disk_user(WorldConfig::default(), |platform| async move {
        if platform.disk().list().await.unwrap().is_empty() {
            let file = write_log(&platform, 6).await;
            platform.sleep(millis(100)).await;
            file.write_at(2 * SECTOR_BYTES as u64, &[99; SECTOR_BYTES]).await.unwrap();
            file.sync().await.unwrap();
            file.write_at(6 * SECTOR_BYTES as u64, &[77; SECTOR_BYTES]).await.unwrap();
            file.sync().await.unwrap();
        }
    });
    run(&world, millis(50));
    world.disk(a).set_misdirections(1);
    run(&world, seconds(1));
    world.kill(a);
    world.start(a);
    run(&world, millis(1));
    let log = found.last().unwrap()["log"].clone();
    let sectors: Vec<u8> = log.chunks_exact(SECTOR_BYTES).map(|sector| sector[0]).collect();
    assert!(log.chunks_exact(SECTOR_BYTES).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
    assert_eq!(sectors[2], 2, "its own place keeps what was there: {sectors:?}");
    assert_eq!(sectors.iter().filter(|byte| **byte == 99).count(), 1, "{sectors:?}");
    assert_eq!(sectors[6], 77, "the second sync went where it should");
    let counters = world.disk(a).counters();
    assert_eq!(counters.sectors_misdirected, 1);
    assert!(counters.corrupt_bytes_read > 0);
}

#[test]
fn a_wiped_disk_is_empty_at_the_next_start() {
    let (world, a, found) = disk_user(WorldConfig::default(), |platform| async move {
        write_log(&platform, 4).await;
    });
    run(&world, millis(100));
    world.power_off(a);
    assert_eq!(world.disk(a).wipe(), 4 * SECTOR_BYTES as u64);
    world.start(a);
    run(&world, millis(100));
    assert_eq!(found.all(), [BTreeMap::new(), BTreeMap::new()]);
    assert_eq!(world.disk(a).counters().wipes, 1);
    assert!(world.disk(a).unsynced_bytes() == 0, "the new disk works");
}
