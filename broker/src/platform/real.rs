//! The real world: tokio sockets, a folder of files, the system's clock and its randomness.
//!
//! Must run inside a `tokio::task::LocalSet`: a node is single-threaded, only the disk's blocking calls leave its
//! thread.

mod disk;
mod trace;

use std::{
    cell::RefCell,
    future::Future,
    io,
    path::Path,
    rc::Rc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rand::{
    RngExt, SeedableRng,
    rngs::{SysRng, Xoshiro256PlusPlus},
};
use tokio::net::{TcpListener, TcpStream};

pub use disk::{RealDisk, RealFile};

use super::{Listener, NodeId, Observation, Platform, Sabotage};

/// A dial that is not answered counts as timed out after this long; the kernel alone would try for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The platform of `warren serve`.
#[derive(Clone)]
pub struct RealPlatform {
    node: NodeId,
    disk: RealDisk,
    origin: Instant,
    // Spreads timers and names; nothing secret is drawn from it.
    random: Rc<RefCell<Xoshiro256PlusPlus>>,
}

impl RealPlatform {
    /// A platform for `node` with its files in `data_dir`, which is created if it is missing.
    ///
    /// # Errors
    /// `ResourceBusy` when another process uses the folder; whatever the file system says.
    #[expect(clippy::disallowed_methods, reason = "this is the real clock that Platform::now stands for")]
    pub fn new(node: NodeId, data_dir: &Path) -> io::Result<Self> {
        let random = Xoshiro256PlusPlus::try_from_rng(&mut SysRng).map_err(io::Error::other)?;
        Ok(Self {
            node,
            disk: RealDisk::open(data_dir)?,
            origin: Instant::now(),
            random: Rc::new(RefCell::new(random)),
        })
    }
}

impl Platform for RealPlatform {
    type Stream = TcpStream;
    type Listener = RealListener;
    type Disk = RealDisk;

    fn node(&self) -> NodeId {
        self.node
    }

    fn disk(&self) -> &RealDisk {
        &self.disk
    }

    async fn listen(&self, address: &str) -> io::Result<RealListener> {
        Ok(RealListener(TcpListener::bind(address).await?))
    }

    #[expect(clippy::disallowed_methods, reason = "the real clock")]
    async fn connect(&self, address: &str) -> io::Result<TcpStream> {
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")))??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the real clock that Platform::wall stands for")]
    fn wall(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the real timer that Platform::sleep stands for")]
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }

    fn random(&self) -> u64 {
        self.random.borrow_mut().random()
    }

    #[expect(clippy::disallowed_methods, reason = "this is where Platform::spawn spawns")]
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + 'static) -> tokio::task::AbortHandle {
        tracing::trace!(task = name, "spawn");
        tokio::task::spawn_local(task).abort_handle()
    }

    fn observe(&self, observation: Observation) {
        trace::observation(self.node, &observation);
    }

    #[inline(always)]
    fn sabotaged(&self, _sabotage: Sabotage) -> bool {
        false
    }
}

/// A bound TCP port.
pub struct RealListener(TcpListener);

impl RealListener {
    /// The address it is bound to: of use after binding to port 0.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_address(&self) -> io::Result<std::net::SocketAddr> {
        self.0.local_addr()
    }
}

impl Listener for RealListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, String)> {
        let (stream, peer) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, peer.to_string()))
    }
}
