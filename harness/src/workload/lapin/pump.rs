//! The simulation's side: moves bytes between the real stream and the link, and grants lapin its turns.

use std::{
    io::ErrorKind,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use warren::platform::Platform;

use super::{
    link::{End, Link},
    turn::{Grants, Outcome},
};

/// How often whoever is ready goes first before a turn is granted. An ack passes through two tasks of lapin's before it
/// becomes a frame; a turn in between would be in vain, and costs far more than a yield.
const YIELDS_BEFORE_GRANT: usize = 2;

/// How much one read of the stream may yield.
const READ_SIZE: usize = 16 * 1024;

/// Grants turns for as long as lapin's thread lives. Dropping it, whenever that is, ends the thread before it returns.
pub(super) struct Pump<P: Platform> {
    platform: P,
    link: Arc<Link>,
    thread: LapinThread,
    poll_every: Option<Duration>,
    stream: P::Stream,
    /// The stream may still yield bytes.
    readable: bool,
    /// Taken from lapin, not yet taken by the stream.
    unsent: BytesMut,
    /// Taken by the stream, perhaps not yet on its way.
    unflushed: bool,
}

impl<P: Platform> Pump<P> {
    pub(super) fn new(
        platform: P,
        link: Arc<Link>,
        grants: Grants,
        stream: P::Stream,
        poll_every: Option<Duration>,
    ) -> Self {
        let thread = LapinThread { link: link.clone(), grants, ended: false };
        let unsent = BytesMut::new();
        Self { platform, link, thread, poll_every, stream, readable: true, unsent, unflushed: false }
    }

    /// Runs until lapin's thread has ended and what it wrote is sent, or the connection is aborted.
    pub(super) async fn run(mut self) {
        while !self.link.aborted() {
            self.thread.grant();
            if self.thread.ended {
                self.send_rest().await;
                return;
            }
            // Whoever lapin woke runs before lapin does again: they may have more for it.
            tokio::task::yield_now().await;
            self.reason_to_grant().await;
            for _ in 0..YIELDS_BEFORE_GRANT {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits until lapin may have something to do.
    async fn reason_to_grant(&mut self) {
        let asked_later = self.poll_every.map(|duration| self.platform.sleep(duration));
        let mut asked_later = pin!(asked_later);
        // What lapin moved may have made somebody call it, without telling us.
        let mut reason = self.poll_every.is_some() && self.link.take_moved();
        std::future::poll_fn(|cx| {
            reason |= self.link.take_nudge(cx);
            reason |= self.send(cx);
            reason |= self.receive(cx);
            if reason {
                return Poll::Ready(());
            }
            asked_later.as_mut().as_pin_mut().map_or(Poll::Pending, |timer| timer.poll(cx))
        })
        .await;
    }

    /// Moves what the stream has to lapin. Whether there was anything.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while self.readable {
            let room = self.link.inbound_room().min(READ_SIZE);
            if room == 0 {
                break;
            }
            let mut space = [0; READ_SIZE];
            let mut buf = ReadBuf::new(&mut space[..room]);
            let end = match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if buf.filled().is_empty() => Some(End::Closed),
                Poll::Ready(Ok(())) => None,
                Poll::Ready(Err(error)) => Some(End::Failed(error.kind())),
            };
            moved = true;
            match end {
                None => self.link.push_inbound(buf.filled()),
                Some(end) => {
                    self.readable = false;
                    self.link.end_inbound(end);
                }
            }
        }
        moved
    }

    /// Moves what lapin has written to the stream. Whether lapin should know: it waited for the room, or the stream
    /// failed.
    fn send(&mut self, cx: &mut Context<'_>) -> bool {
        let mut made_room = false;
        loop {
            if self.unsent.is_empty() {
                let (bytes, waited_for) = self.link.take_outbound();
                self.unsent = bytes;
                made_room |= waited_for;
            }
            match self.poll_send(cx) {
                Poll::Ready(Ok(())) if self.unflushed => {}
                Poll::Ready(Ok(())) | Poll::Pending => return made_room,
                Poll::Ready(Err(kind)) => {
                    self.unsent.clear();
                    self.unflushed = false;
                    self.link.fail_outbound(kind);
                    return true;
                }
            }
        }
    }

    /// One write, or one flush when all is written.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        if self.unsent.is_empty() {
            if self.unflushed {
                ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(|error| error.kind())?;
                self.unflushed = false;
            }
            return Poll::Ready(Ok(()));
        }
        let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.unsent)).map_err(|error| error.kind())?;
        if sent == 0 {
            return Poll::Ready(Err(ErrorKind::WriteZero));
        }
        self.unsent.advance(sent);
        self.unflushed = true;
        Poll::Ready(Ok(()))
    }

    /// What an operating system does with a socket that its process has closed: sends what was written, then the end.
    async fn send_rest(mut self) {
        std::future::poll_fn(|cx| {
            self.send(cx);
            if self.unsent.is_empty() && !self.unflushed {
                return Pin::new(&mut self.stream).poll_shutdown(cx).map(|_nobody_is_left_to_know| ());
            }
            Poll::Pending
        })
        .await;
    }
}

/// lapin's thread, as the simulation sees it: runs while it has a turn, and ends with this.
struct LapinThread {
    link: Arc<Link>,
    grants: Grants,
    ended: bool,
}

impl LapinThread {
    /// Lets lapin do all that it can do now.
    ///
    /// # Panics
    /// When lapin's thread panicked, or does not come back: both fail the run.
    fn grant(&mut self) {
        match self.grants.grant() {
            Outcome::Returned => {}
            Outcome::Ended => {
                self.ended = true;
                assert!(!self.link.panicked(), "lapin's I/O thread panicked (its message is on standard error)");
            }
            Outcome::Hung => {
                self.ended = true;
                let patience = self.grants.patience();
                panic!("lapin's I/O thread kept its turn for {patience:?} of real time: it waits where it should not");
            }
        }
    }
}

impl Drop for LapinThread {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // With the link severed lapin's every call fails, and no turn is given back before the thread is gone.
        self.link.sever();
        let outcome = self.grants.grant();
        // A second panic while unwinding would hide the first.
        if !std::thread::panicking() {
            assert_eq!(outcome, Outcome::Ended, "lapin's I/O thread outlives its connection");
        }
    }
}
