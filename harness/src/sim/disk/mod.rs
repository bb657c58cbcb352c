//! The simulated disk of one machine: a flat folder of files that a power loss may tear.
//!
//! Models: a page cache in front of a platter. Writes are seen at once and are durable only after a sync, which takes
//! time and covers what was written before it began ([`contents`]). Names are journalled: creations, renames and
//! removals become durable in order, by a sync of names; a power loss keeps the first few of those not yet synced.
//! Faults are set at run time ([`fault`]). A process kill loses nothing.
//!
//! Does not model: the time that reads and writes take, write-back by itself (what is not synced is at the mercy of
//! the draw at power loss), contention between operations, the order in which a disk writes sectors, and a sync going
//! on by itself after its process was killed. Making a file durable does not make its name durable.

mod contents;
mod fault;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::poll_fn,
    io, mem,
    ops::Range,
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};

use warren::platform::{Disk, File, OpenMode};

pub use contents::{Contents, Loss, SECTOR_BYTES, SyncPlan};
pub use fault::{DiskCounters, DiskFault, PowerLoss, SimDiskControl};

use super::{MachineId, TraceKind, dice::Dice, world::Shared};

/// A file, whatever its name is now.
struct Inode {
    number: u64,
    contents: RefCell<Contents>,
}

type Names = BTreeMap<String, Rc<Inode>>;

/// A change of names that a power loss may undo.
enum NameChange {
    Create(String, Rc<Inode>),
    Rename(String, String),
    Remove(String),
}

impl NameChange {
    fn apply(self, names: &mut Names) {
        match self {
            Self::Create(name, inode) => {
                names.insert(name, inode);
            }
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(&from) {
                    names.insert(to, inode);
                }
            }
            Self::Remove(name) => {
                names.remove(&name);
            }
        }
    }
}

pub(super) struct DiskState {
    machine: MachineId,
    world: Rc<Shared>,
    dice: RefCell<Dice>,
    sync: Range<Duration>,
    names: RefCell<Names>,
    durable_names: RefCell<Names>,
    /// Since the last sync of names, oldest first.
    name_changes: RefCell<Vec<NameChange>>,
    /// Changes that a sync of names has ever made durable: a sync under way counts from where it began.
    name_changes_synced: Cell<u64>,
    inodes: Cell<u64>,
    fault: RefCell<DiskFault>,
    waiting: RefCell<Vec<Waker>>,
    counters: Cell<DiskCounters>,
    policy: Cell<PowerLoss>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Read,
    Write,
    Name,
    Sync,
}

/// An operation that a stall holds. Counts the time also when its task is dropped.
struct Hold<'a> {
    disk: &'a DiskState,
    is_sync: bool,
    since: u64,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let held = Duration::from_nanos(self.disk.world.now() - self.since);
        self.disk.count(|counters| {
            counters.held_for += held;
            counters.operations_held_now -= 1;
            counters.syncs_held_now -= u64::from(self.is_sync);
        });
    }
}

impl DiskState {
    pub(super) fn new(machine: MachineId, world: Rc<Shared>, dice: Dice, sync: Range<Duration>) -> Self {
        Self {
            machine,
            world,
            dice: RefCell::new(dice),
            sync,
            names: RefCell::default(),
            durable_names: RefCell::default(),
            name_changes: RefCell::default(),
            name_changes_synced: Cell::new(0),
            inodes: Cell::new(0),
            fault: RefCell::default(),
            waiting: RefCell::default(),
            counters: Cell::default(),
            policy: Cell::default(),
        }
    }

    fn count(&self, change: impl FnOnce(&mut DiskCounters)) {
        let mut counters = self.counters.get();
        change(&mut counters);
        self.counters.set(counters);
    }

    fn trace(&self, kind: TraceKind, a: u64, b: u64) {
        self.world.trace(Some(self.machine), kind, a, b);
    }

    fn set_fault(&self, fault: DiskFault) {
        *self.fault.borrow_mut() = fault;
        let waiting = self.waiting.take();
        for waker in waiting {
            waker.wake();
        }
    }

    pub(super) fn set_policy(&self, policy: PowerLoss) {
        self.policy.set(policy);
    }

    fn is_held(&self, operation: Operation) -> bool {
        match *self.fault.borrow() {
            DiskFault::StallAll => true,
            DiskFault::StallSync => operation == Operation::Sync,
            _ => false,
        }
    }

    /// Waits out a stall, then fails if the disk is to fail.
    async fn admit(&self, operation: Operation) -> io::Result<()> {
        if self.is_held(operation) {
            let is_sync = operation == Operation::Sync;
            self.count(|counters| {
                counters.operations_held += 1;
                counters.syncs_held += u64::from(is_sync);
                counters.operations_held_now += 1;
                counters.syncs_held_now += u64::from(is_sync);
            });
            let _hold = Hold { disk: self, is_sync, since: self.world.now() };
            poll_fn(|context| {
                if !self.is_held(operation) {
                    return Poll::Ready(());
                }
                self.waiting.borrow_mut().push(context.waker().clone());
                Poll::Pending
            })
            .await;
        }
        let fault = self.fault.borrow();
        match (operation, &*fault) {
            (Operation::Read, DiskFault::ReadError) => {
                self.count(|counters| counters.reads_failed += 1);
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
            (Operation::Write | Operation::Name, DiskFault::NoSpace) => {
                self.count(|counters| counters.writes_failed += 1);
                Err(io::Error::from_raw_os_error(libc::ENOSPC))
            }
            _ => Ok(()),
        }
    }

    /// Takes the time of a sync; then tells whether it failed.
    async fn sync_latency(&self) -> io::Result<()> {
        self.admit(Operation::Sync).await?;
        let mut latency = self.dice.borrow_mut().duration(&self.sync);
        if let DiskFault::Slow(extra) = &*self.fault.borrow() {
            let extra = self.dice.borrow_mut().duration(extra);
            latency += extra;
            self.count(|counters| {
                counters.syncs_slowed += 1;
                counters.slowed_for += extra;
            });
        }
        if !latency.is_zero() {
            self.world.sleep(latency).await;
        }
        // The disk may have stalled meanwhile: what is not on the platter yet has to wait.
        self.admit(Operation::Sync).await?;
        self.count(|counters| counters.syncs += 1);
        if *self.fault.borrow() == DiskFault::FailSync {
            self.count(|counters| counters.syncs_failed += 1);
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        Ok(())
    }

    fn change_names(&self, operation: u64, change: NameChange) {
        let (NameChange::Create(name, _) | NameChange::Rename(_, name) | NameChange::Remove(name)) = &change;
        self.trace(TraceKind::DiskName, operation, xxhash_rust::xxh3::xxh3_64(name.as_bytes()));
        let copy = match &change {
            NameChange::Create(name, inode) => NameChange::Create(name.clone(), Rc::clone(inode)),
            NameChange::Rename(from, to) => NameChange::Rename(from.clone(), to.clone()),
            NameChange::Remove(name) => NameChange::Remove(name.clone()),
        };
        copy.apply(&mut self.names.borrow_mut());
        self.name_changes.borrow_mut().push(change);
    }

    fn unsynced_bytes(&self) -> u64 {
        self.names.borrow().values().map(|inode| inode.contents.borrow().unsynced_bytes()).sum()
    }

    /// The power goes: the folder is from now on what the platter holds.
    pub(super) fn lose_power(&self) {
        let torn = self.policy.get() == PowerLoss::Torn;
        let mut dice = self.dice.borrow_mut();
        let changes = self.name_changes.take();
        let total = changes.len() as u64;
        let kept = if torn { dice.below(total + 1) } else { 0 };
        let mut durable = self.durable_names.borrow_mut();
        for change in changes.into_iter().take(kept as usize) {
            change.apply(&mut durable);
        }
        self.name_changes_synced.set(self.name_changes_synced.get() + total);
        let mut names = self.names.borrow_mut();
        // Files that only the page cache knew are lost with all they held.
        let mut loss = Loss::default();
        for (name, inode) in names.iter() {
            if !durable.values().any(|kept| kept.number == inode.number) {
                loss.lost += inode.contents.borrow().len();
                tracing::trace!(name, "a file without a durable name is lost");
            }
        }
        for inode in durable.values() {
            let of_file = inode.contents.borrow_mut().lose_power(|| torn && dice.chance(0.5));
            loss.lost += of_file.lost;
            loss.survived += of_file.survived;
        }
        *names = durable.clone();
        self.waiting.take();
        self.count(|counters| {
            counters.power_losses += 1;
            counters.bytes_lost_last = loss.lost;
            counters.bytes_survived_last = loss.survived;
            counters.names_lost_last = total - kept;
            counters.bytes_lost += loss.lost;
        });
        self.trace(TraceKind::DiskPowerLoss, loss.lost, loss.survived);
    }
}

/// A process's view of its machine's disk.
#[derive(Clone)]
pub struct SimDisk(pub(super) Rc<DiskState>);

impl Disk for SimDisk {
    type File = SimFile;

    async fn open(&self, name: &str, mode: OpenMode) -> io::Result<SimFile> {
        let disk = &self.0;
        let found = disk.names.borrow().get(name).cloned();
        let inode = match (found, mode) {
            (Some(_), OpenMode::New) => return Err(io::ErrorKind::AlreadyExists.into()),
            (None, OpenMode::Existing) => return Err(io::ErrorKind::NotFound.into()),
            (Some(inode), _) => {
                disk.admit(Operation::Read).await?;
                inode
            }
            (None, _) => {
                disk.admit(Operation::Name).await?;
                disk.inodes.set(disk.inodes.get() + 1);
                let inode = Rc::new(Inode { number: disk.inodes.get(), contents: RefCell::default() });
                disk.change_names(1, NameChange::Create(name.to_owned(), Rc::clone(&inode)));
                inode
            }
        };
        Ok(SimFile { disk: Rc::clone(disk), inode })
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.admit(Operation::Name).await?;
        if !self.0.names.borrow().contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if from != to {
            self.0.change_names(2, NameChange::Rename(from.to_owned(), to.to_owned()));
        }
        Ok(())
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        self.0.admit(Operation::Read).await?;
        if !self.0.names.borrow().contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.0.change_names(3, NameChange::Remove(name.to_owned()));
        Ok(())
    }

    async fn list(&self) -> io::Result<Vec<String>> {
        self.0.admit(Operation::Read).await?;
        Ok(self.0.names.borrow().keys().cloned().collect())
    }

    async fn sync_names(&self) -> io::Result<()> {
        let disk = &self.0;
        // Positions in the whole history of changes, because another sync may end before this one.
        let goal = disk.name_changes_synced.get() + disk.name_changes.borrow().len() as u64;
        if let Err(error) = disk.sync_latency().await {
            disk.trace(TraceKind::DiskFailed, 0, error.raw_os_error().unwrap_or(0) as u64);
            return Err(error);
        }
        let count = goal.saturating_sub(disk.name_changes_synced.get());
        let mut changes = disk.name_changes.borrow_mut();
        let rest = changes.split_off(count as usize);
        let mut durable = disk.durable_names.borrow_mut();
        for change in mem::replace(&mut *changes, rest) {
            change.apply(&mut durable);
        }
        disk.name_changes_synced.set(disk.name_changes_synced.get() + count);
        disk.trace(TraceKind::DiskSynced, 0, count);
        Ok(())
    }
}

/// An open file of a [`SimDisk`].
pub struct SimFile {
    disk: Rc<DiskState>,
    inode: Rc<Inode>,
}

impl File for SimFile {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.disk.admit(Operation::Read).await?;
        let bytes = self.inode.contents.borrow().read(offset, len);
        self.disk.count(|counters| counters.reads += 1);
        self.disk.trace(TraceKind::DiskRead, self.inode.number, bytes.len() as u64);
        Ok(bytes)
    }

    async fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.admit(Operation::Write).await?;
        self.inode.contents.borrow_mut().write(offset, bytes);
        self.disk.count(|counters| {
            counters.writes += 1;
            counters.bytes_written += bytes.len() as u64;
        });
        self.disk.trace(TraceKind::DiskWrite, self.inode.number, offset.rotate_left(32) ^ bytes.len() as u64);
        Ok(())
    }

    async fn sync(&self) -> io::Result<()> {
        // What counts is the file at the time of the call, also when a stall holds the call.
        let plan = self.inode.contents.borrow().begin_sync();
        match self.disk.sync_latency().await {
            Ok(()) => {
                self.disk.trace(TraceKind::DiskSynced, self.inode.number, plan.bytes());
                self.inode.contents.borrow_mut().end_sync(plan);
                Ok(())
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(0);
                self.disk.trace(TraceKind::DiskFailed, self.inode.number, errno as u64);
                self.inode.contents.borrow_mut().fail_sync(&plan);
                Err(error)
            }
        }
    }

    async fn size(&self) -> io::Result<u64> {
        Ok(self.inode.contents.borrow().len())
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.admit(Operation::Write).await?;
        self.inode.contents.borrow_mut().set_len(len);
        self.disk.trace(TraceKind::DiskWrite, self.inode.number, len);
        Ok(())
    }
}
