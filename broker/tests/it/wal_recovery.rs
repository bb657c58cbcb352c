//! What the log owes its node after a power loss: everything that was synced, nothing that was never written, and of
//! what was written since, a prefix of whole batches.
//!
//! A flipped byte in synced data is refused wherever a later write vouches for that data, or a later segment exists.
//! In the last frames of the log, which nothing vouches for yet, it looks like a torn tail and is cut; see
//! `damage_that_nothing_vouches_for_is_cut_like_a_torn_tail`.

mod torn_disk;

use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use torn_disk::{SECTOR, TornDisk};
use warren::{
    platform::{Disk, GroupId, LogIndex, NodeId, Term},
    storage::{
        DiskId, EntryKind, HardState, LogEntry, Members, Record, RecoveredGroup, Snapshot, StorageError, Wal,
        WalConfig, next_start,
    },
};

type Groups = BTreeMap<GroupId, RecoveredGroup>;

const SMALL: WalConfig = WalConfig { segment_bytes: 600 };
const LARGE: WalConfig = WalConfig { segment_bytes: 1 << 20 };

/// The test disk never waits, so neither does anything on it.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the test disk answers at once"),
    }
}

fn open(disk: &TornDisk, config: WalConfig) -> Result<(Wal<TornDisk>, Groups), StorageError> {
    now(Wal::open(disk.clone(), config))
}

fn entry(index: u64, term: u64, data: &[u8]) -> LogEntry {
    let data = Bytes::copy_from_slice(data);
    LogEntry { index: LogIndex(index), term: Term(term), kind: EntryKind::Command, data }
}

fn append(index: u64) -> Record {
    Record::Append(GroupId(2), vec![entry(index, 1, b"some command of some length")])
}

fn snapshot(group: u64, index: u64, term: u64, data: &[u8]) -> Record {
    let members = Members { voters: vec![NodeId(1)], learners: Vec::new() };
    let data = Bytes::copy_from_slice(data);
    Record::Snapshot(GroupId(group), Snapshot { index: LogIndex(index), term: Term(term), members, data })
}

/// What `record` means, as plainly as it can be said.
fn apply(groups: &mut Groups, record: &Record) {
    let empty = || RecoveredGroup { hard_state: HardState::default(), snapshot: None, entries: Vec::new() };
    match record {
        Record::Append(group, entries) => {
            let group = groups.entry(*group).or_insert_with(empty);
            group.entries.retain(|entry| entry.index < entries[0].index);
            group.entries.extend(entries.iter().cloned());
        }
        Record::HardState(group, hard_state) => groups.entry(*group).or_insert_with(empty).hard_state = *hard_state,
        Record::Snapshot(group, snapshot) => {
            let group = groups.entry(*group).or_insert_with(empty);
            let present = group.snapshot.as_ref().map(|present| (present.index, present.term));
            if present.is_some_and(|(index, _)| snapshot.index < index) {
                return;
            }
            let here = (snapshot.index, snapshot.term);
            let matches = present == Some(here) || group.entries.iter().any(|entry| (entry.index, entry.term) == here);
            group.entries.retain(|entry| matches && entry.index > snapshot.index);
            group.snapshot = Some(snapshot.clone());
        }
        Record::Forget(group) => drop(groups.remove(group)),
        Record::Known(..) => {}
    }
}

/// A record that a Raft node could write in the state `groups`.
fn draw(groups: &Groups, chance: &mut Xoshiro256PlusPlus) -> Record {
    let group = GroupId(chance.random_range(1..4));
    let known = groups.get(&group);
    let base = known.and_then(|known| known.snapshot.as_ref()).map_or((0, 0), |base| (base.index.0, base.term.0));
    let entries: &[LogEntry] = known.map_or(&[], |known| &known.entries);
    let last = entries.last().map_or(base, |last| (last.index.0, last.term.0));
    match chance.random_range(0..20) {
        0..10 => {
            let first = if chance.random_bool(0.2) { chance.random_range(base.0 + 1..=last.0 + 1) } else { last.0 + 1 };
            let term = last.1 + chance.random_range(0..2);
            let data = vec![chance.random(); chance.random_range(0..90)];
            let count = chance.random_range(1..4);
            Record::Append(group, (first..first + count).map(|index| entry(index, term, &data)).collect())
        }
        10..14 => {
            let vote = chance.random_bool(0.5).then_some(NodeId(2));
            let hard_state = HardState { term: Term(last.1), vote, commit: LogIndex(last.0), whole: true };
            Record::HardState(group, hard_state)
        }
        14..16 => match entries.get(chance.random_range(0..entries.len().max(1))) {
            Some(at) => snapshot(group.0, at.index.0, at.term.0, b"taken here"),
            None => snapshot(group.0, base.0, base.1, b"taken again"),
        },
        16 => snapshot(group.0, last.0 + chance.random_range(1..5), last.1 + 1, b"from the leader"),
        // Conflicts with the log, or is outdated.
        17 => snapshot(group.0, chance.random_range(1..=last.0 + 1), last.1 + 1, b"from a newer leader"),
        18 if chance.random_bool(0.3) => Record::Forget(group),
        _ => Record::HardState(
            group,
            HardState { term: Term(last.1 + 1), vote: None, commit: LogIndex(last.0), whole: true },
        ),
    }
}

/// The log and all that it may have to answer for.
struct Bench {
    disk: TornDisk,
    chance: Xoshiro256PlusPlus,
    /// The state after each batch since the last recovery; the first is what that one found.
    states: Vec<Groups>,
    /// How many of these batches are synced.
    synced: usize,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let chance = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self { disk: TornDisk::default(), chance, states: vec![Groups::new()], synced: 0 }
    }

    /// Opens the log, through several power losses during recovery if chance has it, and checks what it found.
    fn recover(&mut self) -> Wal<TornDisk> {
        while self.chance.random_bool(0.5) {
            self.disk.cut_power_after(self.chance.random_range(0..12));
            if let Err(error) = open(&self.disk, SMALL).map(drop) {
                assert!(matches!(error, StorageError::Io { .. }), "a power loss is no corruption: {error}");
            }
            self.disk.power_loss(&mut self.chance);
        }
        let (wal, found) = open(&self.disk, SMALL).expect("a power loss never makes a log unreadable");
        let at = (self.synced..self.states.len()).rev().find(|&batch| self.states[batch] == found);
        assert!(
            at.is_some(),
            "neither synced nor any later state: {found:#?}\nsynced: {:#?}",
            self.states[self.synced]
        );
        self.states = vec![found];
        self.synced = 0;
        wal
    }

    /// Writes and syncs until the power goes.
    fn live(&mut self, mut wal: Wal<TornDisk>, steps: u64) {
        self.disk.cut_power_after(steps);
        loop {
            let mut state = self.states.last().expect("never empty").clone();
            let mut batch: Vec<Record> = Vec::new();
            if self.chance.random_bool(0.1) {
                batch.extend(wal.pinning_groups().into_iter().filter_map(|group| {
                    state[&group].snapshot.clone().map(|snapshot| Record::Snapshot(group, snapshot))
                }));
            }
            for _ in 0..self.chance.random_range(1..4) {
                let mut after = state.clone();
                batch.iter().for_each(|record| apply(&mut after, record));
                batch.push(draw(&after, &mut self.chance));
            }
            batch.iter().for_each(|record| apply(&mut state, record));
            // It may survive whether or not the write is reported as failed.
            self.states.push(state);
            if now(wal.write(&batch)).is_err() {
                break;
            }
            if self.chance.random_bool(0.4) {
                let written = self.states.len() - 1;
                if now(wal.sync()).is_err() {
                    break;
                }
                assert!(wal.is_synced());
                self.synced = written;
            }
        }
        assert!(matches!(now(wal.write(&[append(1)])), Err(StorageError::Failed)), "a failed log takes nothing more");
        assert!(matches!(now(wal.sync()), Err(StorageError::Failed)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_any_power_losses_everything_synced_is_there_and_the_rest_is_a_prefix(
        seed: u64,
        lives in proptest::collection::vec(1_u64..60, 1..6),
    ) {
        let mut bench = Bench::new(seed);
        for steps in lives {
            let wal = bench.recover();
            bench.live(wal, steps);
            bench.disk.power_loss(&mut bench.chance);
        }
        bench.recover();
    }

    #[test]
    fn what_a_killed_process_left_in_the_page_cache_is_durable_once_recovered(seed: u64, steps in 1_u64..40) {
        let mut bench = Bench::new(seed);
        let wal = bench.recover();
        bench.live(wal, steps);
        bench.disk.cut_power_after(u64::MAX);
        // The process is gone, the machine is not: nothing is lost yet, but it may be after the next power loss.
        let found = open(&bench.disk, SMALL).expect("nothing is damaged").1;
        bench.disk.power_loss(&mut bench.chance);
        prop_assert_eq!(open(&bench.disk, SMALL).expect("nothing is damaged").1, found);
    }
}

/// Three synced entries and a fourth write that vouches for them.
fn three_synced_entries() -> (TornDisk, String) {
    let disk = TornDisk::default();
    let (mut wal, _) = open(&disk, LARGE).unwrap();
    for index in 1..=3 {
        now(wal.write(&[append(index)])).unwrap();
        now(wal.sync()).unwrap();
    }
    (disk, "wal-0000000001".to_owned())
}

fn last_index(groups: &Groups) -> u64 {
    groups[&GroupId(2)].entries.last().map_or(0, |entry| entry.index.0)
}

#[test]
fn a_flipped_byte_in_vouched_data_is_refused() {
    let (disk, file) = three_synced_entries();
    let content = disk.content(&file);
    // The third frame vouches for all before it.
    let vouched = content.len() - content[40..].len() / 3;
    for at in 0..vouched - 1 {
        let mut flipped = content.clone();
        flipped[at] ^= 0x10;
        let copy = disk.copy();
        copy.damage(&file, flipped);
        let error = open(&copy, LARGE).err().unwrap_or_else(|| panic!("byte {at} was flipped and believed"));
        assert!(matches!(error, StorageError::Corrupt { .. }), "byte {at}: {error}");
    }
}

#[test]
fn a_flipped_byte_in_an_earlier_segment_is_refused() {
    let (disk, file) = three_synced_entries();
    // A restart begins a second segment.
    drop(open(&disk, LARGE).unwrap());
    let content = disk.content(&file);
    for at in 0..content.len() {
        let mut flipped = content.clone();
        flipped[at] ^= 1;
        let copy = disk.copy();
        copy.damage(&file, flipped);
        assert!(matches!(open(&copy, LARGE), Err(StorageError::Corrupt { .. })), "byte {at} was flipped and believed");
    }
    let whole_frames_missing = [Vec::new(), content[..40].to_vec()];
    for cut in whole_frames_missing {
        disk.damage(&file, cut);
        assert!(matches!(open(&disk, LARGE), Err(StorageError::Corrupt { .. })));
    }
}

#[test]
fn damage_that_nothing_vouches_for_is_cut_like_a_torn_tail() {
    let (disk, file) = three_synced_entries();
    let mut content = disk.content(&file);
    *content.last_mut().unwrap() ^= 1;
    disk.damage(&file, content);
    assert_eq!(last_index(&open(&disk, LARGE).unwrap().1), 2);
}

#[test]
fn a_missing_segment_is_refused_by_name() {
    let (disk, _) = three_synced_entries();
    drop(open(&disk, LARGE).unwrap());
    let (mut wal, _) = open(&disk, LARGE).unwrap();
    now(wal.write(&[append(4)])).unwrap();
    now(wal.sync()).unwrap();
    now(disk.remove("wal-0000000002")).unwrap();
    let error = open(&disk, LARGE).err().expect("a segment is missing").to_string();
    assert!(error.contains("wal-0000000002") && error.contains("missing"), "{error}");
}

#[test]
fn a_sound_write_behind_a_hole_is_neither_recovered_nor_taken_for_damage() {
    let (disk, file) = three_synced_entries();
    let (mut wal, _) = open(&disk, LARGE).unwrap();
    let second = "wal-0000000002";
    now(wal.write(&[append(4)])).unwrap();
    let from = disk.content(second).len().next_multiple_of(SECTOR);
    // Long enough to begin in a sector of its own.
    now(wal.write(&[append(5), append(6)])).unwrap();
    now(wal.write(&[append(7)])).unwrap();
    drop(wal);
    disk.power_loss_with_hole(second, from);
    assert!(disk.content(second).len() > from, "the writes behind the hole survived");
    assert!(!disk.content(&file).is_empty());
    let (mut wal, found) = open(&disk, LARGE).unwrap();
    assert_eq!(last_index(&found), 3);
    now(wal.write(&[append(4)])).unwrap();
    now(wal.sync()).unwrap();
    assert_eq!(last_index(&open(&disk, LARGE).unwrap().1), 4);
}

#[test]
fn a_sync_that_failed_leaves_nothing_that_is_believed_and_not_durable() {
    let (disk, _) = three_synced_entries();
    let (mut wal, _) = open(&disk, LARGE).unwrap();
    now(wal.write(&[append(4)])).unwrap();
    disk.fail_syncs(true);
    assert!(matches!(now(wal.sync()), Err(StorageError::Io { .. })));
    assert!(matches!(now(wal.write(&[append(5)])), Err(StorageError::Failed)));
    disk.fail_syncs(false);
    // The page cache still shows entry 4, as clean. Recovery may believe it only if it makes it durable.
    let found = open(&disk, LARGE).unwrap().1;
    disk.power_loss(&mut Xoshiro256PlusPlus::seed_from_u64(1));
    assert_eq!(open(&disk, LARGE).unwrap().1, found);
}

#[test]
fn a_sync_under_way_vouches_only_for_what_was_written_before_it() {
    let (disk, _) = three_synced_entries();
    let (mut wal, _) = open(&disk, LARGE).unwrap();
    now(wal.write(&[append(4)])).unwrap();
    disk.hold_syncs(true);
    let mut sync = Box::pin(wal.sync());
    let mut context = Context::from_waker(Waker::noop());
    assert!(sync.as_mut().poll(&mut context).is_pending());
    now(wal.write(&[append(5)])).unwrap();
    disk.hold_syncs(false);
    assert!(matches!(sync.as_mut().poll(&mut context), Poll::Ready(Ok(()))));
    assert!(!wal.is_synced(), "entry 5 came after");
    now(wal.sync()).unwrap();
    assert!(wal.is_synced());
    assert_eq!(last_index(&open(&disk, LARGE).unwrap().1), 5);
}

#[test]
fn a_sync_that_is_dropped_half_way_closes_the_log() {
    let (disk, _) = three_synced_entries();
    let (mut wal, _) = open(&disk, LARGE).unwrap();
    now(wal.write(&[append(4)])).unwrap();
    disk.hold_syncs(true);
    let mut sync = Box::pin(wal.sync());
    assert!(sync.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(sync);
    assert!(matches!(now(wal.write(&[append(5)])), Err(StorageError::Failed)));
}

#[test]
fn entries_that_leave_a_gap_are_refused() {
    let (disk, _) = three_synced_entries();
    let (mut wal, _) = open(&disk, LARGE).unwrap();
    let error = now(wal.write(&[append(5)])).expect_err("entry 4 is missing");
    assert!(matches!(error, StorageError::Discontinuous { group: GroupId(2), .. }), "{error}");
}

#[test]
fn an_idle_group_does_not_keep_old_segments_once_it_takes_its_snapshot_again() {
    let disk = TornDisk::default();
    let (mut wal, _) = open(&disk, SMALL).unwrap();
    now(wal.write(&[snapshot(3, 7, 1, b"idle")])).unwrap();
    for index in 1..400 {
        now(wal.write(&[append(index), snapshot(2, index, 1, b"busy")])).unwrap();
        let again: Vec<Record> = wal.pinning_groups().iter().map(|group| snapshot(group.0, 7, 1, b"idle")).collect();
        if !again.is_empty() {
            assert_eq!(again, [snapshot(3, 7, 1, b"idle")]);
            now(wal.write(&again)).unwrap();
        }
    }
    assert!(wal.bytes() < 8 * SMALL.segment_bytes, "{} bytes", wal.bytes());
    now(wal.sync()).unwrap();
    let found = open(&disk, SMALL).unwrap().1;
    assert_eq!(found[&GroupId(2)].snapshot.as_ref().unwrap().index, LogIndex(399));
    assert_eq!(found[&GroupId(3)].snapshot.as_ref().unwrap().data, "idle");
}

async fn next_incarnation(disk: &TornDisk, node: NodeId, time_of_day: Duration) -> Result<u64, StorageError> {
    Ok(next_start(disk, node, time_of_day, 7).await?.incarnation)
}

#[test]
fn a_disk_keeps_its_name_until_it_is_emptied() {
    let disk = TornDisk::default();
    let name = |random| now(next_start(&disk, NodeId(1), Duration::ZERO, random)).unwrap().disk.0;
    assert_eq!([name(7), name(8), name(9)], [7; 3]);
    now(disk.remove("incarnation")).unwrap();
    assert_eq!(name(8), 8);
}

#[test]
fn known_disks_outlive_the_segments_that_they_were_written_to() {
    let disk = TornDisk::default();
    let (mut wal, _) = open(&disk, SMALL).unwrap();
    now(wal.write(&[Record::Known(NodeId(2), DiskId(22))])).unwrap();
    for index in 1..200 {
        let data = vec![0; 100].into();
        let snapshot = Snapshot { index: LogIndex(index), term: Term(1), members: Members::default(), data };
        now(wal.write(&[Record::Snapshot(GroupId(3), snapshot)])).unwrap();
    }
    now(wal.sync()).unwrap();
    drop(wal);
    assert!(!now(disk.list()).unwrap().iter().any(|name| name.ends_with("-0000000001")), "the first segment is gone");
    let (wal, _) = open(&disk, SMALL).unwrap();
    assert_eq!(wal.known().get(&NodeId(2)), Some(&DiskId(22)));
}

#[test]
fn no_incarnation_is_given_twice_whatever_power_losses_fall_between() {
    let disk = TornDisk::default();
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(7);
    let mut last = 0;
    for round in 0..400 {
        disk.cut_power_after(chance.random_range(0..8));
        if let Ok(incarnation) = now(next_incarnation(&disk, NodeId(1), Duration::ZERO)) {
            assert!(incarnation > last, "{incarnation} after {last} in round {round}");
            last = incarnation;
        }
        disk.power_loss(&mut chance);
    }
    assert!(last > 20, "the rounds did get somewhere");
}

#[test]
fn a_new_disk_begins_with_an_incarnation_that_the_old_one_never_had() {
    let day = Duration::from_secs(86_400);
    let mut last = 0;
    for number in 0..3u32 {
        let disk = TornDisk::default();
        for start in 0..50u32 {
            let time_of_day = 20_000 * day + number * Duration::from_secs(1) + start * Duration::from_millis(3);
            let incarnation = now(next_incarnation(&disk, NodeId(1), time_of_day)).unwrap();
            assert!(incarnation > last, "{incarnation} after {last} on disk {number}");
            last = incarnation;
        }
    }
}

#[test]
fn a_folder_is_one_nodes_and_no_other_may_speak_with_its_votes() {
    let disk = TornDisk::default();
    assert_eq!(now(next_incarnation(&disk, NodeId(1), Duration::ZERO)).unwrap(), 1);
    let error = now(next_incarnation(&disk, NodeId(2), Duration::ZERO)).unwrap_err();
    assert!(matches!(error, StorageError::Foreign { node: NodeId(2), owner: NodeId(1) }), "{error}");
    assert_eq!(
        now(next_incarnation(&disk, NodeId(1), Duration::ZERO)).unwrap(),
        2,
        "nor is anything lost by the attempt"
    );
}

#[test]
fn a_log_whose_count_of_starts_is_gone_is_refused_and_an_empty_folder_is_not() {
    let disk = TornDisk::default();
    assert_eq!(now(next_incarnation(&disk, NodeId(1), Duration::ZERO)).unwrap(), 1);
    now(disk.remove("incarnation")).unwrap();
    assert_eq!(now(next_incarnation(&disk, NodeId(1), Duration::ZERO)).unwrap(), 1, "there was no log yet");
    drop(open(&disk, SMALL).unwrap());
    now(disk.remove("incarnation")).unwrap();
    let error = now(next_incarnation(&disk, NodeId(1), Duration::ZERO)).unwrap_err();
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
}
