//! The unmodified `lapin` crate inside the simulation, in lock-step with its simulated host.
//!
//! lapin runs its I/O loop on an operating-system thread of its own. A free-running thread would make every run
//! different. Here it never runs freely: at any time exactly one of the two threads runs, and they take turns at
//! points that depend on the simulation alone. So whatever lapin does is a function of the simulation.
//!
//! ```text
//! simulation's thread                                     lapin's I/O thread
//!   application ── lapin's API ──▶ (lapin's own queues) ──────▶ loop: write, read, handle frames
//!   kit: lapin's tasks and timers on the platform               │ socket: waits for its turn
//!   pump: stream ◀──bytes──▶ link ◀───────────bytes─────────────┘
//!         grants a turn, and blocks until it is given back
//! ```
//!
//! - The stream stays on the simulation's thread. The `pump`, a task of the host, moves bytes between it and the
//!   `link`, a pipe in memory, and grants turns. lapin's thread finds a `socket` over the link and gives its turn
//!   back when it has read, handled and written all there is. All wake-ups of tasks that lapin causes happen
//!   while the simulation is blocked in the pump, in one order.
//! - lapin's tasks and timers go through our runtime `kit` to [`Platform::spawn`] and [`Platform::sleep`].
//! - A turn is granted when bytes arrived, when there is room again for those that did not fit, and when lapin's tasks
//!   or a [watched](Connection::watch) future ran. lapin's queues cannot be observed, so calls that nobody announces
//!   are found by asking: after each turn that moved bytes, and every [`Options::poll_every`].
//! - The thread ends when lapin's loop ends (close, error, end of stream), when the connection is
//!   [aborted](Connection::abort), when [`connect`] is cancelled, or when the host's tasks are dropped; the pump's
//!   destructor waits for it. The simulation hears of the end from the destructor of a thread-local, after
//!   all of lapin's code has run; the operating system may list the thread for some microseconds more.
//!
//! # Chance and time in lapin 4.12
//! lapin's thread joins the [simulation](crate::sim::entropy) of the thread that connects: its chance, its clocks.
//! - `RandomState`: the maps of channels, expected replies, consumers and pending confirms. A confirm with `multiple`,
//!   a lost connection and a recovery walk them in the order of their keys' hashes. Keys are drawn on the
//!   simulation's thread and (after `multiple` with tag 0) on lapin's.
//! - `Instant`: only the heartbeat, which notes on lapin's thread when it last read and wrote, and compares on the
//!   simulation's.
//! - Sleeps: the heartbeat's and the secret refresh's go through the kit. The one real sleep, before a reconnection,
//!   belongs to automatic recovery, which is off; a second connect by one connection is refused.
//! - `backon` draws no jitter unless asked; nothing else draws chance.
//!
//! # What is not modelled
//! - Time that the client's processor takes: a turn takes no virtual time. A slow client is a slow application.
//! - The race between the application and lapin's thread within one process: each turn runs until nothing is left.
//! - Automatic recovery, TLS, name lookup, `Connection::run` (it would wait for a thread that waits for its caller).
//! - A frame larger than lapin's receive buffer (32 times the frame size) stops its loop for ever, here as in reality;
//!   here the run fails after [`Options::patience`].

mod kit;
mod link;
mod pump;
mod thread;
mod turn;
mod watch;

use std::{fmt, ops::Deref, pin::pin, sync::Arc, task::Poll, time::Duration};

use ::lapin::{
    ConnectionProperties, Consumer, Result, message::Delivery, tcp::AsyncTcpStream, types::LongString, uri::AMQPUri,
};
use async_rs::Runtime;
use futures_core::Stream;
use warren::platform::Platform;

pub use thread::OnThread;

use self::{kit::Kit, link::Link, pump::Pump, thread::Entrance, watch::watched};

/// How to connect.
#[derive(Clone)]
pub struct Options {
    /// Virtual host, user, password, and in its query heartbeat, frame and channel limits. Host and port are not used:
    /// the stream is already connected. By default user `guest`, virtual host `/`, what the server proposes.
    ///
    /// lapin holds two buffers of 32 frames per connection: 8 MiB at the usual frame size of 128 KiB. Many clients
    /// fit better with `frame_max=8192`.
    pub uri: AMQPUri,
    /// The connection's name, as the broker's management shows it.
    pub name: Option<String>,
    /// How often (virtual time) lapin is asked whether it has something to do when nothing hints at it: the longest
    /// that a call of lapin's API outside [`Connection::watch`] waits before it is sent.
    ///
    /// `None` is a promise that every such call is watched: about half as many turns per message, and none while the
    /// connection is idle. A call that breaks the promise waits until something else wakes lapin, perhaps for ever.
    /// Dropping lapin's objects is no call.
    pub poll_every: Option<Duration>,
    /// How long (real time) lapin may keep a turn before the run fails.
    pub patience: Duration,
    /// Called first on lapin's thread, to name it in a log or find it in a debugger.
    pub on_thread: Option<Arc<OnThread>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            uri: AMQPUri::default(),
            name: None,
            poll_every: Some(Duration::from_millis(1)),
            patience: Duration::from_secs(30),
            on_thread: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("uri", &self.uri).field("name", &self.name).finish_non_exhaustive()
    }
}

/// Connects lapin over `stream`, in lock-step with the caller's simulated host. Cancelling it cuts the stream.
///
/// # Errors
/// Whatever lapin makes of the handshake; an I/O error also when the process is out of threads.
pub async fn connect<P: Platform>(platform: &P, stream: P::Stream, options: Options) -> Result<Connection> {
    let Options { uri, name, poll_every, patience, on_thread } = options;
    let mut properties = ConnectionProperties::default();
    if let Some(name) = name {
        properties = properties.with_connection_name(LongString::from(name));
    }
    let link = Arc::new(Link::default());
    let (grants, turns) = turn::exchange(patience);
    let (kit, requests) = Kit::new();
    platform.spawn("lapin-kit", kit::serve(platform.clone(), link.clone(), requests));
    let entrance = Entrance::new(turns, link.clone(), on_thread);
    let enter = async move |_uri, _runtime| Ok(AsyncTcpStream::Plain(entrance.enter()?));
    let mut handshake = pin!(::lapin::Connection::connector(uri, Runtime::new(kit), enter, properties));

    // The first poll starts the thread, which waits in its entrance. Turns can be granted from then on, not before.
    let first = std::future::poll_fn(|cx| Poll::Ready(handshake.as_mut().poll(cx))).await;
    let pump = Pump::new(platform.clone(), link.clone(), grants, stream, poll_every);
    platform.spawn("lapin-pump", pump.run());

    let mut cancelled = AbortOnDrop(Some(link.clone()));
    let connected = match first {
        Poll::Ready(connected) => connected,
        Poll::Pending => handshake.await,
    };
    cancelled.0 = None;
    Ok(Connection { inner: connected?, link })
}

/// Cuts the connection unless it was disarmed.
struct AbortOnDrop(Option<Arc<Link>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(link) = self.0.take() {
            link.abort();
        }
    }
}

/// A connection of lapin's in lock-step: use it as the [`::lapin::Connection`] that it derefs to.
///
/// Dropping it together with its channels closes it, as with lapin itself.
pub struct Connection {
    inner: ::lapin::Connection,
    link: Arc<Link>,
}

impl Connection {
    /// Runs `future` and grants lapin a turn after each of its steps, so that what it asked of lapin's API is sent
    /// without delay. Wrap one call of lapin's, or a whole client.
    pub fn watch<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        watched(self.link.clone(), future)
    }

    /// Cuts the connection: no close is sent, what was not yet sent is lost, and lapin's thread ends as soon as the
    /// host runs. What a crashed client does.
    pub fn abort(&self) {
        self.link.abort();
    }
}

impl Deref for Connection {
    type Target = ::lapin::Connection;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// The next delivery of `consumer`; `None` when the consumer was cancelled.
pub async fn next(consumer: &mut Consumer) -> Option<Result<Delivery>> {
    std::future::poll_fn(|cx| std::pin::Pin::new(&mut *consumer).poll_next(cx)).await
}
