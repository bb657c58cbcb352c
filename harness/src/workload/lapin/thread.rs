//! lapin's side: what its I/O thread finds where it expects a socket.

use std::{
    cell::RefCell,
    io::{self, ErrorKind},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures_io::{AsyncRead, AsyncWrite};

use super::{link::Link, turn::Turns};
use crate::sim::entropy::{self, Entered, Ticket};

/// Runs first on lapin's thread.
pub type OnThread = dyn Fn() + Send + Sync;

thread_local! {
    /// The thread's end of the exchange of turns. Thread-local, so that the operating system drops it after all of
    /// lapin's own code on this thread has run: that is how the simulation learns that the thread has ended.
    static TURNS: RefCell<Option<Turns>> = const { RefCell::new(None) };

    /// Keeps the thread in the simulation.
    static ENTERED: RefCell<Option<Entered>> = const { RefCell::new(None) };
}

/// Where lapin's I/O thread comes in: hands it its socket, once.
pub(super) struct Entrance {
    turns: Mutex<Option<Turns>>,
    link: Arc<Link>,
    simulation: Option<Ticket>,
    on_thread: Option<Arc<OnThread>>,
}

impl Entrance {
    /// lapin's thread is to join the simulation of the calling one.
    pub(super) fn new(turns: Turns, link: Arc<Link>, on_thread: Option<Arc<OnThread>>) -> Self {
        Self { turns: Mutex::new(Some(turns)), link, simulation: entropy::ticket(), on_thread }
    }

    /// Blocks until the first turn is granted.
    ///
    /// # Errors
    /// On the second call: lapin would have slept in real time before it.
    pub(super) fn enter(&self) -> io::Result<Socket> {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut turns) = turns else {
            return Err(io::Error::new(ErrorKind::Unsupported, "reconnecting needs a new connection in lock-step"));
        };
        turns.take();
        TURNS.set(Some(turns));
        let socket = Socket { link: self.link.clone(), idle: false };
        // Nothing of lapin's has drawn chance or read the clock on this thread so far.
        ENTERED.set(self.simulation.clone().map(Ticket::enter));
        if let Some(on_thread) = &self.on_thread {
            on_thread();
        }
        Ok(socket)
    }
}

/// What lapin takes for its TCP stream. Gives the turn back when lapin has nothing left to do.
///
/// lapin's loop would go to sleep on a channel of its own once its socket neither reads nor writes. It must not: the
/// only place where it may wait is here. So each "not now" wakes the loop at once, it comes round again, and what
/// makes it wait is the second read in a row that finds nothing: by then, whatever the first turn brought has been
/// read, handled and answered.
pub(super) struct Socket {
    link: Arc<Link>,
    /// The latest read found nothing.
    idle: bool,
}

impl Socket {
    fn give_turn_back(&self) {
        // A severed link ends in this very turn.
        if self.link.severed() {
            return;
        }
        TURNS.with_borrow_mut(|turns| {
            turns.as_mut().expect("the socket stays on the thread that entered").give_back();
        });
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.idle && !self.link.has_inbound() {
            self.give_turn_back();
        }
        // The end of the stream counts as nothing too: lapin keeps reading it while it waits for the simulation's
        // thread to act on it.
        self.idle = !self.link.has_inbound();
        let read = self.link.read(buf);
        if read.is_pending() {
            cx.waker().wake_by_ref();
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.link.write(buf);
        if written.is_pending() {
            cx.waker().wake_by_ref();
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.link.flush())
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The pump closes the real stream when the thread has ended and all is sent.
        Poll::Ready(Ok(()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.link.set_panicked();
        }
    }
}
