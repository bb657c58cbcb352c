//! The real world: tokio sockets, a folder of files, the system's clock and its randomness.
//!
//! Must run inside a `tokio::task::LocalSet`: a node is single-threaded, only the disk's blocking calls leave its
//! thread.

#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "this is what stands behind the seam")]

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

use super::{Chaos, Listener, NodeId, Observation, Platform, Sabotage};

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

    async fn connect(&self, address: &str) -> io::Result<TcpStream> {
        dial(address).await
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wall(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }

    fn random(&self) -> u64 {
        self.random.borrow_mut().random()
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + 'static) -> tokio::task::AbortHandle {
        tracing::trace!(task = name, "spawn");
        tokio::task::spawn_local(task).abort_handle()
    }

    fn observe(&self, observation: Observation) {
        trace::observation(self.node, &observation);
    }

    #[inline(always)]
    fn chance(&self, _point: Chaos) -> bool {
        false
    }

    #[inline(always)]
    fn sabotaged(&self, _sabotage: Sabotage) -> bool {
        false
    }
}

/// Time and the network without a node: what `warren ctl` asks with.
pub struct RealAsker {
    origin: Instant,
}

impl RealAsker {
    #[expect(clippy::disallowed_methods, reason = "the real clock")]
    #[expect(clippy::new_without_default, reason = "no two are alike: each has its own beginning")]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl crate::operator::Asker for RealAsker {
    type Stream = TcpStream;

    async fn connect(&self, address: &str) -> io::Result<TcpStream> {
        dial(address).await
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "the real timer")]
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        tokio::time::sleep(duration)
    }
}

#[expect(clippy::disallowed_methods, reason = "the real clock")]
async fn dial(address: &str) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")))??;
    stream.set_nodelay(true)?;
    Ok(stream)
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::platform::{Disk, File, OpenMode};

    /// Runs `test` as a node would be run, on a platform with an empty folder.
    fn on_platform<F: Future<Output = ()>>(test: impl FnOnce(RealPlatform) -> F) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let platform = RealPlatform::new(NodeId(1), folder.path()).expect("the folder is free");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, test(platform));
    }

    #[test]
    fn a_data_folder_belongs_to_one_process_at_a_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("new/deep");
        let first = RealPlatform::new(NodeId(1), &path).expect("the folder is free");
        let error = RealPlatform::new(NodeId(2), &path).err().expect("the folder is taken");
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        assert!(error.to_string().contains("in use by another process"), "{error}");
        drop(first);
        assert!(RealPlatform::new(NodeId(2), &path).is_ok());
    }

    #[test]
    fn files_keep_what_is_written_to_them_under_the_names_they_are_given() {
        on_platform(async |platform| {
            let disk = platform.disk();
            let file = disk.open("a", OpenMode::New).await.expect("it is new");
            file.write_at(3, b"abcdef").await.expect("writable");
            file.set_len(6).await.expect("it can be cut");
            file.sync().await.expect("it can be synced");
            assert_eq!(file.read_at(0, 100).await.expect("readable"), b"\0\0\0abc");
            assert_eq!(file.size().await.expect("measurable"), 6);
            let again = disk.open("a", OpenMode::New).await.err().expect("it exists");
            assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
            disk.rename("a", "b").await.expect("it can be renamed");
            disk.sync_names().await.expect("the folder can be synced");
            let missing = disk.open("a", OpenMode::Existing).await.err().expect("it has another name");
            assert_eq!(missing.kind(), io::ErrorKind::NotFound);
            assert_eq!(disk.list().await.expect("listable"), ["b"]);
            disk.remove("b").await.expect("it can be removed");
            assert!(disk.list().await.expect("listable").is_empty());
        });
    }

    #[test]
    fn a_connection_carries_bytes_both_ways_at_once_and_a_closed_port_refuses() {
        on_platform(async |platform| {
            let mut listener = platform.listen("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_address().expect("it is bound").to_string();
            platform.spawn("echo", async move {
                let (mut stream, _) = listener.accept().await.expect("someone connects");
                assert!(stream.nodelay().expect("readable"));
                let mut bytes = [0; 4];
                stream.read_exact(&mut bytes).await.expect("four bytes come");
                drop(listener);
                stream.write_all(&bytes).await.expect("they can be sent back");
            });
            let mut stream = platform.connect(&address).await.expect("someone listens");
            assert!(stream.nodelay().expect("readable"));
            stream.write_all(b"ping").await.expect("connected");
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).await.expect("they come back");
            assert_eq!(&bytes, b"ping");
            let refused = platform.connect(&address).await.expect_err("nobody listens any more");
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        });
    }
}
