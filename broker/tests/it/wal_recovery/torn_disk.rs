//! A disk in memory that loses power.
//!
//! Models: sectors ([`SECTOR`] bytes, tiny, so that a small frame spans many), of which any subset of those written
//! since the last sync survives a power loss; a length that survives or not, or half; names that survive or not, each
//! by itself, unless they were synced; a sync that fails and leaves the kernel believing that its pages are clean;
//! power that goes away in the middle of any call sequence.
//!
//! Does not model: latency, sectors that are half old and half new, bit rot (tests flip bytes themselves), a full disk.

use std::{
    cell::{RefCell, RefMut},
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    io,
    rc::Rc,
    task::Poll,
};

use rand::{RngExt, rngs::Xoshiro256PlusPlus};
use warren::platform::{Disk, File, OpenMode};

pub(super) const SECTOR: usize = 16;

#[derive(Clone, Default)]
pub(super) struct TornDisk {
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    names_durable: BTreeMap<String, usize>,
    /// How many more calls that change something succeed before power goes away.
    fuel: Option<u64>,
    fail_syncs: bool,
    /// A sync does not end before this is off again.
    hold_syncs: bool,
}

#[derive(Default)]
struct Inode {
    volatile: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that the next sync will write.
    dirty: BTreeSet<usize>,
}

pub(super) struct TornFile {
    disk: TornDisk,
    inode: usize,
}

impl TornDisk {
    /// Power goes away after `calls` further changes.
    pub(super) fn cut_power_after(&self, calls: u64) {
        self.state.borrow_mut().fuel = Some(calls);
    }

    pub(super) fn fail_syncs(&self, fail: bool) {
        self.state.borrow_mut().fail_syncs = fail;
    }

    pub(super) fn hold_syncs(&self, hold: bool) {
        self.state.borrow_mut().hold_syncs = hold;
    }

    /// Power goes away now and comes back: what was not synced survives in part, as `chance` has it.
    pub(super) fn power_loss(&self, chance: &mut Xoshiro256PlusPlus) {
        let state = &mut *self.state.borrow_mut();
        state.fuel = None;
        let names: BTreeSet<String> = state.names.keys().chain(state.names_durable.keys()).cloned().collect();
        for name in names {
            let survivor = if chance.random() { &state.names } else { &state.names_durable };
            match survivor.get(&name).copied() {
                Some(inode) => state.names_durable.insert(name, inode),
                None => state.names_durable.remove(&name),
            };
        }
        state.names = state.names_durable.clone();
        for inode in &mut state.inodes {
            inode.power_loss(chance);
        }
    }

    /// Power goes away and comes back, and of what was not synced in `file` just what lies at or after `from` survives.
    pub(super) fn power_loss_with_hole(&self, file: &str, from: usize) {
        let state = &mut *self.state.borrow_mut();
        let inode = &mut state.inodes[state.names[file]];
        inode.dirty.retain(|sector| sector * SECTOR >= from);
        inode.write_back();
        inode.volatile = inode.durable.clone();
    }

    pub(super) fn content(&self, name: &str) -> Vec<u8> {
        let state = self.state.borrow();
        state.inodes[state.names[name]].volatile.clone()
    }

    /// Replaces a file's content on the medium itself.
    pub(super) fn damage(&self, name: &str, content: Vec<u8>) {
        let mut state = self.state.borrow_mut();
        let inode = state.names[name];
        state.inodes[inode] = Inode { volatile: content.clone(), durable: content, dirty: BTreeSet::new() };
    }

    /// The same contents on a second disk.
    pub(super) fn copy(&self) -> Self {
        let copy = Self::default();
        let names: Vec<String> = self.state.borrow().names.keys().cloned().collect();
        for (inode, name) in names.iter().enumerate() {
            let content = self.content(name);
            let mut state = copy.state.borrow_mut();
            state.inodes.push(Inode { volatile: content.clone(), durable: content, dirty: BTreeSet::new() });
            state.names.insert(name.clone(), inode);
            state.names_durable.insert(name.clone(), inode);
        }
        copy
    }

    /// The disk's state, if there is still power for one more change.
    fn change(&self) -> io::Result<RefMut<'_, State>> {
        let mut state = self.state.borrow_mut();
        match &mut state.fuel {
            Some(0) => return Err(io::Error::other("no power")),
            Some(fuel) => *fuel -= 1,
            None => {}
        }
        Ok(state)
    }
}

impl Inode {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.volatile.len() < end {
            self.volatile.resize(end, 0);
        }
        self.volatile[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR..end.div_ceil(SECTOR));
    }

    /// Makes the dirty sectors durable.
    fn write_back(&mut self) {
        self.durable.resize(self.volatile.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let end = ((sector + 1) * SECTOR).min(self.volatile.len());
            let range = (sector * SECTOR).min(end)..end;
            self.durable[range.clone()].copy_from_slice(&self.volatile[range]);
        }
    }

    fn power_loss(&mut self, chance: &mut Xoshiro256PlusPlus) {
        let survive = chance.random_range(0.0..=1.0);
        self.dirty.retain(|_| chance.random_bool(survive));
        let (old, new) = (self.durable.len(), self.volatile.len());
        self.write_back();
        let len = match chance.random_range(0..4) {
            0 => old,
            1 => chance.random_range(old.min(new)..=old.max(new)),
            _ => new,
        };
        self.durable.resize(len, 0);
        self.volatile = self.durable.clone();
    }
}

impl Disk for TornDisk {
    type File = TornFile;

    async fn open(&self, name: &str, mode: OpenMode) -> io::Result<TornFile> {
        let found = self.state.borrow().names.get(name).copied();
        let inode = match (found, mode) {
            (Some(_), OpenMode::New) => return Err(io::ErrorKind::AlreadyExists.into()),
            (None, OpenMode::Existing) => return Err(io::ErrorKind::NotFound.into()),
            (Some(inode), _) => inode,
            (None, _) => {
                let mut state = self.change()?;
                state.inodes.push(Inode::default());
                let inode = state.inodes.len() - 1;
                state.names.insert(name.to_owned(), inode);
                inode
            }
        };
        Ok(TornFile { disk: self.clone(), inode })
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.change()?;
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        self.change()?.names.remove(name).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    async fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state.borrow().names.keys().cloned().collect())
    }

    async fn sync_names(&self) -> io::Result<()> {
        let mut state = self.change()?;
        state.names_durable = state.names.clone();
        Ok(())
    }
}

impl File for TornFile {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let state = self.disk.state.borrow();
        let content = &state.inodes[self.inode].volatile;
        let from = content.len().min(offset as usize);
        Ok(content[from..content.len().min(from + len)].to_vec())
    }

    async fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // A write that meets the end of the power still reaches the cache, so that part of it may survive.
        let powered = self.disk.change().map(drop);
        self.disk.state.borrow_mut().inodes[self.inode].write(offset as usize, bytes);
        powered
    }

    async fn sync(&self) -> io::Result<()> {
        let held = || self.disk.state.borrow().hold_syncs;
        // Whoever tests this polls again without being woken.
        poll_fn(|_| if held() { Poll::Pending } else { Poll::Ready(()) }).await;
        let mut state = self.disk.change()?;
        if state.fail_syncs {
            state.inodes[self.inode].dirty.clear();
            return Err(io::Error::other("the medium refused the write"));
        }
        state.inodes[self.inode].write_back();
        Ok(())
    }

    async fn size(&self) -> io::Result<u64> {
        Ok(self.disk.state.borrow().inodes[self.inode].volatile.len() as u64)
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.change()?;
        let inode = &mut state.inodes[self.inode];
        inode.volatile.resize(len as usize, 0);
        inode.dirty.retain(|sector| sector * SECTOR < len as usize);
        Ok(())
    }
}
