//! Whose turn it is: the simulation's thread or lapin's.
//!
//! A turn is one byte through a socket pair. The simulation grants a turn and blocks until it gets it back; the other
//! thread blocks until it is granted one. A socket and not a condition variable, because its receive timeout is
//! counted by the kernel: the timed waits of the standard library ask the clock for a deadline, and on the
//! simulation's thread the clock is virtual.

use std::{
    io::{self, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

/// The two ends of a new exchange of turns. A turn that is not given back within `patience` (real time) is a bug.
///
/// # Errors
/// When the process is out of file descriptors.
pub(super) fn exchange(patience: Duration) -> io::Result<(Grants, Turns)> {
    let (simulation, worker) = UnixStream::pair()?;
    simulation.set_read_timeout(Some(patience))?;
    Ok((Grants { socket: simulation, patience }, Turns { socket: worker }))
}

/// What became of a granted turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The other thread did what it could, and waits for its next turn.
    Returned,
    /// The other thread has ended.
    Ended,
    /// The other thread has kept the turn for longer than the patience allows.
    Hung,
}

/// The simulation's end: grants turns.
pub(super) struct Grants {
    socket: UnixStream,
    patience: Duration,
}

impl Grants {
    /// Lets the other thread run, and blocks this one until it is done.
    pub(super) fn grant(&mut self) -> Outcome {
        let answer = self.socket.write_all(&[1]).and_then(|()| self.socket.read_exact(&mut [0]));
        match answer.map_err(|error| error.kind()) {
            Ok(()) => Outcome::Returned,
            // Closing with a grant unread resets the pair instead of ending it.
            Err(ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Outcome::Ended,
            Err(ErrorKind::WouldBlock | ErrorKind::TimedOut) => Outcome::Hung,
            Err(kind) => panic!("the socket pair between the simulation and lapin's I/O thread failed: {kind}"),
        }
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }
}

/// The other thread's end: takes turns. Dropping it says that the thread has ended.
pub(super) struct Turns {
    socket: UnixStream,
}

impl Turns {
    /// Blocks until the first turn is granted.
    pub(super) fn await_first(&mut self) {
        // The simulation's end closes only after this thread is gone, or when the simulation itself is being torn
        // down by a panic; then this thread runs on to its own end.
        let _torn_down = self.socket.read_exact(&mut [0]);
    }

    /// Gives the turn back, and blocks until the next one is granted.
    pub(super) fn give_back(&mut self) {
        let _torn_down = self.socket.write_all(&[1]).and_then(|()| self.socket.read_exact(&mut [0]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "two threads are what is tested")]
    fn one_of_the_two_threads_runs_at_a_time_until_the_other_ends() {
        let (mut grants, mut turns) = exchange(Duration::from_secs(10)).unwrap();
        let (says, hears) = std::sync::mpsc::channel();
        let worker = std::thread::spawn(move || {
            turns.await_first();
            says.send("first").unwrap();
            turns.give_back();
            says.send("second").unwrap();
        });
        assert!(hears.try_recv().is_err());
        assert_eq!(grants.grant(), Outcome::Returned);
        assert_eq!(hears.try_recv(), Ok("first"));
        assert_eq!(grants.grant(), Outcome::Ended);
        assert_eq!(hears.try_recv(), Ok("second"));
        assert_eq!(grants.grant(), Outcome::Ended);
        worker.join().unwrap();
    }

    #[test]
    fn a_turn_that_is_kept_too_long_is_reported() {
        let (mut grants, _kept) = exchange(Duration::from_millis(1)).unwrap();
        assert_eq!(grants.grant(), Outcome::Hung);
    }
}
