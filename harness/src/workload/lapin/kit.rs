//! The runtime that lapin runs on: its tasks and timers live on the simulated host.

use std::{
    fmt, future, io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use async_rs::{
    traits::{Executor, Reactor, RuntimeKit},
    util::{Task, TaskImpl},
};
use futures_core::Stream;
use futures_io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use warren::platform::Platform;

use super::{link::Link, thread::Socket, watch::watched};

/// What lapin asks of its runtime, on its way to the simulated host: the kit itself must be `Send`, a platform is not.
pub(super) enum Request {
    Spawn(Pin<Box<dyn Future<Output = ()> + Send>>),
    Sleep(Duration, oneshot::Sender<()>),
}

/// Runs lapin's tasks and timers on `platform`, until lapin has let go of its runtime.
pub(super) async fn serve<P: Platform>(platform: P, link: Arc<Link>, mut requests: mpsc::UnboundedReceiver<Request>) {
    while let Some(request) = requests.recv().await {
        match request {
            Request::Spawn(task) => {
                platform.spawn("lapin-task", watched(link.clone(), task));
            }
            Request::Sleep(duration, done) => {
                let sleep = platform.sleep(duration);
                platform.spawn("lapin-timer", ring(sleep, done));
            }
        }
    }
}

/// Tells `done` when `sleep` is over, unless nobody waits any more.
async fn ring(sleep: impl Future<Output = ()>, mut done: oneshot::Sender<()>) {
    tokio::select! {
        biased;
        () = done.closed() => return,
        () = sleep => {}
    }
    let _nobody_waits = done.send(());
}

/// See the [module](self).
#[derive(Clone)]
pub(super) struct Kit {
    requests: mpsc::UnboundedSender<Request>,
}

impl Kit {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Request>) {
        let (requests, received) = mpsc::unbounded_channel();
        (Self { requests }, received)
    }
}

impl fmt::Debug for Kit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kit")
    }
}

impl RuntimeKit for Kit {}

impl Executor for Kit {
    type Task<T: Send + 'static> = Spawned<T>;

    /// lapin blocks on two futures only, both on its I/O thread: our connect and our close. Neither ever waits.
    fn block_on<T, F: Future<Output = T>>(&self, f: F) -> T {
        match pin!(f).poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("lapin blocks on a future that has to wait: the lock-step does not provide for it"),
        }
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(&self, f: F) -> Task<Self::Task<T>> {
        let (done, output) = oneshot::channel();
        let task = async move {
            let _nobody_waits = done.send(f.await);
        };
        // After the host is gone the task is dropped unrun, as all others were.
        let _host_is_gone = self.requests.send(Request::Spawn(Box::pin(task)));
        Spawned { output }.into()
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(&self, _f: F) -> Task<Self::Task<T>> {
        panic!("lapin asks for a blocking thread: the lock-step has none (a name lookup? connect by `connect` only)")
    }
}

impl Reactor for Kit {
    type TcpStream = Socket;
    type Sleep = Sleep;

    fn register<H: io::Read + io::Write + Send + 'static>(
        &self,
        _socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<Socket, _>(no_sockets())
    }

    fn sleep(&self, dur: Duration) -> Sleep {
        let (done, rings) = oneshot::channel();
        let _host_is_gone = self.requests.send(Request::Sleep(dur, done));
        Sleep { rings }
    }

    fn interval(&self, _dur: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        NoInterval
    }

    fn tcp_connect_addr(&self, _addr: SocketAddr) -> impl Future<Output = io::Result<Socket>> + Send + 'static {
        future::ready(Err(no_sockets()))
    }
}

fn no_sockets() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "no real sockets in a simulation: connect through the platform")
}

/// A task of lapin's on the simulated host.
pub(super) struct Spawned<T> {
    output: oneshot::Receiver<T>,
}

impl<T: Send + 'static> TaskImpl for Spawned<T> {}

impl<T: Send + 'static> Future for Spawned<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        unless_gone(Pin::new(&mut self.output).poll(cx))
    }
}

/// A timer of lapin's, in virtual time.
pub(super) struct Sleep {
    rings: oneshot::Receiver<()>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        unless_gone(Pin::new(&mut self.rings).poll(cx))
    }
}

/// What was dropped with its host never completes.
fn unless_gone<T>(answer: Poll<Result<T, oneshot::error::RecvError>>) -> Poll<T> {
    match answer {
        Poll::Ready(Ok(output)) => Poll::Ready(output),
        Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
    }
}

/// An interval timer, which lapin has no use for.
struct NoInterval;

impl Stream for NoInterval {
    type Item = Instant;

    fn poll_next(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        panic!("lapin waits for an interval timer: the lock-step has none")
    }
}
