//! What the two threads share: a byte pipe in each direction, and the marks that they leave each other.
//!
//! The lock is never contended, because one of the two threads is always blocked; it is there because the compiler
//! cannot know.

use std::{
    io::{self, ErrorKind},
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Buf, BytesMut};

/// How many bytes each direction holds before its writer has to wait: a socket buffer of usual size.
const CAPACITY: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct Link {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    inbound: BytesMut,
    inbound_end: Option<End>,
    outbound: BytesMut,
    outbound_error: Option<ErrorKind>,
    /// lapin wanted to write and found no room.
    writer_waits: bool,
    /// lapin read or wrote something in its latest turn.
    moved: bool,
    /// Whoever holds the connection wants it gone at once, without a close.
    aborted: bool,
    /// The pump is gone or going: every further call of lapin's fails, and no turn is given back any more.
    severed: bool,
    /// lapin's thread unwound from a panic.
    panicked: bool,
    /// Something on the simulation's side may have given lapin work.
    nudged: bool,
    pump: Option<Waker>,
}

/// How the inbound direction ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Closed,
    Failed(ErrorKind),
}

impl Link {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_pump(&self, change: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.state();
            change(&mut state);
            state.pump.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Called on the simulation's thread, by whoever uses the connection.
impl Link {
    /// Says that lapin may have something to do.
    pub(super) fn nudge(&self) {
        self.wake_pump(|state| state.nudged = true);
    }

    /// Asks the pump to cut the connection without a close.
    pub(super) fn abort(&self) {
        self.wake_pump(|state| state.aborted = true);
    }
}

/// Called on the simulation's thread, by the pump.
impl Link {
    /// Whether somebody nudged since the last call. Otherwise the next nudge or abort wakes the caller.
    pub(super) fn take_nudge(&self, cx: &Context<'_>) -> bool {
        let mut state = self.state();
        state.pump = Some(cx.waker().clone());
        std::mem::take(&mut state.nudged) || state.aborted
    }

    pub(super) fn aborted(&self) -> bool {
        self.state().aborted
    }

    pub(super) fn panicked(&self) -> bool {
        self.state().panicked
    }

    pub(super) fn sever(&self) {
        self.state().severed = true;
    }

    /// Whether lapin read or wrote anything since the last call.
    pub(super) fn take_moved(&self) -> bool {
        std::mem::take(&mut self.state().moved)
    }

    /// How many bytes the inbound direction can still take.
    pub(super) fn inbound_room(&self) -> usize {
        CAPACITY.saturating_sub(self.state().inbound.len())
    }

    pub(super) fn push_inbound(&self, bytes: &[u8]) {
        self.state().inbound.extend_from_slice(bytes);
    }

    pub(super) fn end_inbound(&self, end: End) {
        self.state().inbound_end = Some(end);
    }

    /// Everything that lapin has written since the last call; and whether it has been waiting for the room.
    pub(super) fn take_outbound(&self) -> (BytesMut, bool) {
        let mut state = self.state();
        let bytes = state.outbound.split();
        let waits = !bytes.is_empty() && std::mem::take(&mut state.writer_waits);
        (bytes, waits)
    }

    pub(super) fn fail_outbound(&self, kind: ErrorKind) {
        let mut state = self.state();
        state.outbound.clear();
        state.outbound_error = Some(kind);
    }
}

/// Called on lapin's thread.
impl Link {
    pub(super) fn severed(&self) -> bool {
        self.state().severed
    }

    pub(super) fn set_panicked(&self) {
        self.state().panicked = true;
    }

    /// Whether a read would yield bytes.
    pub(super) fn has_inbound(&self) -> bool {
        !self.state().inbound.is_empty()
    }

    /// Reads as an operating system's socket would, without registering for a wake-up.
    pub(super) fn read(&self, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if state.severed {
            return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
        }
        if state.inbound.is_empty() {
            return match state.inbound_end {
                None => Poll::Pending,
                Some(End::Closed) => Poll::Ready(Ok(0)),
                Some(End::Failed(kind)) => Poll::Ready(Err(kind.into())),
            };
        }
        let len = buf.len().min(state.inbound.len());
        state.inbound.copy_to_slice(&mut buf[..len]);
        state.moved = true;
        Poll::Ready(Ok(len))
    }

    /// Writes as an operating system's socket would, without registering for a wake-up.
    pub(super) fn write(&self, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if let Err(kind) = state.writable() {
            return Poll::Ready(Err(kind.into()));
        }
        let len = buf.len().min(CAPACITY.saturating_sub(state.outbound.len()));
        if len == 0 && !buf.is_empty() {
            state.writer_waits = true;
            return Poll::Pending;
        }
        state.outbound.extend_from_slice(&buf[..len]);
        state.moved = true;
        Poll::Ready(Ok(len))
    }

    /// Whether what was written can still leave.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.state().writable().map_err(io::Error::from)
    }
}

impl State {
    fn writable(&self) -> Result<(), ErrorKind> {
        if self.severed { Err(ErrorKind::ConnectionAborted) } else { self.outbound_error.map_or(Ok(()), Err) }
    }
}
