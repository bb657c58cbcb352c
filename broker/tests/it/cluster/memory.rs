//! A world in memory for one thread: streams are pipes, disks are maps, time is tokio's paused clock.
//!
//! Models: refused connections, a killed process (its tasks stop at once, its streams break, its disk keeps all that
//! was written), a disk that does not answer. Does not model: latency, loss, partitions, power loss, disks that fail.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::Future,
    io,
    rc::Rc,
    time::Duration,
};

use tokio::{
    io::DuplexStream,
    sync::{Notify, mpsc},
    task::AbortHandle,
    time::Instant,
};
use warren::platform::{Chaos, Disk, File, Listener, NodeId, Observation, OpenMode, Platform, Sabotage};

const PIPE_BYTES: usize = 64 * 1024;

/// What the nodes share: who listens where.
#[derive(Clone, Default)]
pub(crate) struct World {
    ports: Rc<RefCell<BTreeMap<String, mpsc::UnboundedSender<DuplexStream>>>>,
}

/// One run of one node's process.
#[derive(Clone)]
pub(crate) struct MemoryPlatform {
    node: NodeId,
    world: World,
    disk: MemoryDisk,
    origin: Instant,
    random: Rc<Cell<u64>>,
    tasks: Rc<RefCell<Vec<AbortHandle>>>,
    pub(crate) observed: Rc<RefCell<Vec<Observation>>>,
}

impl MemoryPlatform {
    /// Starts a process of `node` over `disk`.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that Platform::now stands for")]
    pub(crate) fn new(node: NodeId, world: World, disk: MemoryDisk) -> Self {
        let random = Rc::new(Cell::new(node.0));
        Self { node, world, disk, origin: Instant::now(), random, tasks: Rc::default(), observed: Rc::default() }
    }

    /// Ends the process at once.
    pub(crate) fn kill(&self) {
        for task in self.tasks.borrow().iter() {
            task.abort();
        }
    }
}

impl Platform for MemoryPlatform {
    type Stream = DuplexStream;
    type Listener = MemoryListener;
    type Disk = MemoryDisk;

    fn node(&self) -> NodeId {
        self.node
    }

    fn disk(&self) -> &MemoryDisk {
        &self.disk
    }

    async fn listen(&self, address: &str) -> io::Result<MemoryListener> {
        let (sender, streams) = mpsc::unbounded_channel();
        self.world.ports.borrow_mut().insert(address.to_owned(), sender);
        Ok(MemoryListener(streams))
    }

    async fn connect(&self, address: &str) -> io::Result<DuplexStream> {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let ports = self.world.ports.borrow();
        let accepted = ports.get(address).is_some_and(|port| port.send(far).is_ok());
        if accepted { Ok(near) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock that Platform::now stands for")]
    fn now(&self) -> Duration {
        Instant::now() - self.origin
    }

    fn wall(&self) -> Duration {
        self.now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is what Platform::sleep stands for")]
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }

    fn random(&self) -> u64 {
        // SplitMix64.
        self.random.set(self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mixed = (self.random.get() ^ (self.random.get() >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    #[expect(clippy::disallowed_methods, reason = "this is what Platform::spawn stands for")]
    fn spawn(&self, _name: &'static str, task: impl Future<Output = ()> + 'static) -> AbortHandle {
        let handle = tokio::task::spawn_local(task).abort_handle();
        self.tasks.borrow_mut().push(handle.clone());
        handle
    }

    fn observe(&self, observation: Observation) {
        self.observed.borrow_mut().push(observation);
    }

    fn chance(&self, _point: Chaos) -> bool {
        false
    }

    fn sabotaged(&self, _sabotage: Sabotage) -> bool {
        false
    }
}

pub(crate) struct MemoryListener(mpsc::UnboundedReceiver<DuplexStream>);

impl Listener for MemoryListener {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, String)> {
        let stream = self.0.recv().await.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok((stream, "memory".to_owned()))
    }
}

type Contents = Rc<RefCell<Vec<u8>>>;

#[derive(Clone, Default)]
pub(crate) struct MemoryDisk {
    files: Rc<RefCell<BTreeMap<String, Contents>>>,
    stall: Rc<Stall>,
}

/// Whether syncs wait, and how they learn that they need not any more.
#[derive(Default)]
struct Stall {
    on: Cell<bool>,
    over: Notify,
}

impl MemoryDisk {
    /// From now on no sync ends.
    pub(crate) fn stall(&self) {
        self.stall.on.set(true);
    }

    /// Syncs end again, also those that wait.
    pub(crate) fn resume(&self) {
        self.stall.on.set(false);
        self.stall.over.notify_waiters();
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    async fn open(&self, name: &str, mode: OpenMode) -> io::Result<MemoryFile> {
        let mut files = self.files.borrow_mut();
        match (mode, files.contains_key(name)) {
            (OpenMode::Existing, false) => Err(io::ErrorKind::NotFound.into()),
            (OpenMode::New, true) => Err(io::ErrorKind::AlreadyExists.into()),
            _ => Ok(MemoryFile {
                contents: Rc::clone(files.entry(name.to_owned()).or_default()),
                stall: Rc::clone(&self.stall),
            }),
        }
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let contents = self.files.borrow_mut().remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.files.borrow_mut().insert(to.to_owned(), contents);
        Ok(())
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        self.files.borrow_mut().remove(name).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    async fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.borrow().keys().cloned().collect())
    }

    async fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) struct MemoryFile {
    contents: Contents,
    stall: Rc<Stall>,
}

impl File for MemoryFile {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let contents = self.contents.borrow();
        let from = contents.len().min(offset as usize);
        let to = contents.len().min(from + len);
        Ok(contents[from..to].to_vec())
    }

    async fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut contents = self.contents.borrow_mut();
        let end = offset as usize + bytes.len();
        if contents.len() < end {
            contents.resize(end, 0);
        }
        contents[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    async fn sync(&self) -> io::Result<()> {
        // A sync takes its time, during which the node must go on.
        tokio::task::yield_now().await;
        while self.stall.on.get() {
            self.stall.over.notified().await;
        }
        Ok(())
    }

    async fn size(&self) -> io::Result<u64> {
        Ok(self.contents.borrow().len() as u64)
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        self.contents.borrow_mut().resize(len as usize, 0);
        Ok(())
    }
}
