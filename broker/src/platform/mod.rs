//! The seam between the broker and the world: network, disk, clock, chance, tasks, and who is watching.
//!
//! Two implementations exist: [`real::RealPlatform`] (sockets and files, through tokio) and Ferret's simulated one.
//! A node is single-threaded: its tasks share state through `Rc`, and nothing here is `Send`.

mod chaos;
mod observe;
pub mod real;
mod sabotage;

use std::{fmt, future::Future, io, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

pub use chaos::Chaos;
pub use observe::{GroupId, LogIndex, Observation, RecoveredState, Term};
pub use sabotage::Sabotage;

/// A broker node's number, 1 and up: also its Raft id. Node 3 is called `n3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// Everything a broker node may ask of the world around it.
#[expect(async_fn_in_trait, reason = "a node is single-threaded: no future of it needs to be Send")]
pub trait Platform: Clone + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;
    type Listener: Listener<Stream = Self::Stream>;
    type Disk: Disk;

    /// The node this platform belongs to.
    fn node(&self) -> NodeId;

    /// The node's disk.
    fn disk(&self) -> &Self::Disk;

    /// Listens on `address` (`host:port`).
    async fn listen(&self, address: &str) -> io::Result<Self::Listener>;

    /// Connects to `address` (`host:port`). A silent peer is `TimedOut`; a closed port is `ConnectionRefused`.
    async fn connect(&self, address: &str) -> io::Result<Self::Stream>;

    /// Monotonic time since an arbitrary origin in the life of this process.
    fn now(&self) -> Duration;

    /// Wall time since the Unix epoch, as this node's clock tells it. It may jump.
    fn wall(&self) -> Duration;

    /// Waits for `duration` of monotonic time.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static;

    /// 64 fresh random bits.
    fn random(&self) -> u64;

    /// Runs `task` on this node until it ends or is aborted. It ends with the node's process.
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + 'static) -> tokio::task::AbortHandle;

    /// Tells whoever watches a fact about this node. Must be cheap, and must not change behaviour.
    fn observe(&self, observation: Observation);

    /// Whether a rare but legal turn is taken here. The real platform answers `false` as a constant.
    fn chance(&self, point: Chaos) -> bool;

    /// Whether a planted bug is switched on. The real platform answers `false` as a constant.
    fn sabotaged(&self, sabotage: Sabotage) -> bool;
}

/// A bound port.
#[expect(async_fn_in_trait, reason = "a node is single-threaded: no future of it needs to be Send")]
pub trait Listener: 'static {
    type Stream;

    /// Waits for the next connection; yields it with the peer's address, for logs only.
    async fn accept(&mut self) -> io::Result<(Self::Stream, String)>;
}

/// A node's storage: one flat folder of files. Every call may fail with a real errno, and may take long.
///
/// Contents survive a power loss only after [`File::sync`]; a name (created, renamed, removed) only after
/// [`Disk::sync_names`].
#[expect(async_fn_in_trait, reason = "a node is single-threaded: no future of it needs to be Send")]
pub trait Disk: Clone + 'static {
    type File: File;

    /// Opens `name` for reading and writing.
    ///
    /// # Errors
    /// `NotFound` with [`OpenMode::Existing`] when there is no such file; `AlreadyExists` with [`OpenMode::New`].
    async fn open(&self, name: &str, mode: OpenMode) -> io::Result<Self::File>;

    /// Renames `from` to `to`, replacing `to` if it exists.
    async fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    async fn remove(&self, name: &str) -> io::Result<()>;

    /// All file names, sorted.
    async fn list(&self) -> io::Result<Vec<String>>;

    /// Makes creations, renames and removals durable (an fsync of the folder).
    async fn sync_names(&self) -> io::Result<()>;
}

/// How [`Disk::open`] treats a missing or an existing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    Existing,
    New,
    CreateIfMissing,
}

/// An open file, addressed by offset.
#[expect(async_fn_in_trait, reason = "a node is single-threaded: no future of it needs to be Send")]
pub trait File: 'static {
    /// Reads up to `len` bytes at `offset`; fewer only at the end of the file.
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>>;

    /// Writes all of `bytes` at `offset`, extending the file with zeros as needed.
    async fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything written so far durable. After an error the contents of the unsynced range are unknown.
    async fn sync(&self) -> io::Result<()>;

    /// The length in bytes.
    async fn size(&self) -> io::Result<u64>;

    /// Cuts or extends the file to `len` bytes.
    async fn set_len(&self, len: u64) -> io::Result<()>;
}
