//! A platform for one node in a test: clients connect through memory, time is tokio's own and may be paused, files
//! are real ones in a temporary folder.

use std::{cell::RefCell, collections::BTreeMap, future::Future, io, path::Path, rc::Rc, time::Duration};

use tokio::{io::DuplexStream, sync::mpsc, task::AbortHandle, time::Instant};
use warren::platform::{
    Chaos, Listener, NodeId, Observation, Platform, Sabotage,
    real::{RealDisk, RealPlatform},
};

/// Bytes that a stream holds in each direction before its writer waits.
const STREAM_CAPACITY: usize = 64 * 1024;

#[derive(Clone)]
pub(crate) struct MemoryPlatform {
    real: RealPlatform,
    origin: Instant,
    ports: Rc<RefCell<BTreeMap<String, mpsc::UnboundedSender<DuplexStream>>>>,
    /// Wakes those who wait for somebody to listen.
    bound: Rc<tokio::sync::Notify>,
    last_random: Rc<RefCell<u64>>,
}

impl MemoryPlatform {
    #[expect(clippy::disallowed_methods, reason = "tokio's clock is this platform's clock")]
    pub(crate) fn new(node: NodeId, folder: &Path) -> io::Result<Self> {
        Ok(Self {
            real: RealPlatform::new(node, folder)?,
            origin: Instant::now(),
            ports: Rc::default(),
            bound: Rc::default(),
            last_random: Rc::default(),
        })
    }

    /// Connects to `address` as soon as somebody listens there.
    pub(crate) async fn connect_when_bound(&self, address: &str) -> DuplexStream {
        loop {
            let bound = self.bound.notified();
            if let Ok(stream) = self.connect(address).await {
                return stream;
            }
            bound.await;
        }
    }
}

impl Platform for MemoryPlatform {
    type Stream = DuplexStream;
    type Listener = MemoryListener;
    type Disk = RealDisk;

    fn node(&self) -> NodeId {
        self.real.node()
    }

    fn disk(&self) -> &RealDisk {
        self.real.disk()
    }

    async fn listen(&self, address: &str) -> io::Result<MemoryListener> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.ports.borrow_mut().insert(address.to_owned(), sender);
        self.bound.notify_waiters();
        Ok(MemoryListener(receiver))
    }

    async fn connect(&self, address: &str) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(STREAM_CAPACITY);
        let ports = self.ports.borrow();
        let sent = ports.get(address).is_some_and(|port| port.send(theirs).is_ok());
        if sent { Ok(ours) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wall(&self) -> Duration {
        self.real.wall()
    }

    #[expect(clippy::disallowed_methods, reason = "tokio's timer is this platform's timer")]
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }

    fn random(&self) -> u64 {
        let mut last = self.last_random.borrow_mut();
        *last += 1;
        last.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[expect(clippy::disallowed_methods, reason = "this is where Platform::spawn spawns")]
    fn spawn(&self, _name: &'static str, task: impl Future<Output = ()> + 'static) -> AbortHandle {
        tokio::task::spawn_local(task).abort_handle()
    }

    fn observe(&self, _observation: Observation) {}

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
        match self.0.recv().await {
            Some(stream) => Ok((stream, "memory".to_owned())),
            None => std::future::pending().await,
        }
    }
}
