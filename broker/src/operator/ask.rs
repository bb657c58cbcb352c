//! The operator's side: to whoever leads, again and again, until there is an answer or no time is left.

use std::{future::Future, io, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Reply, Request};
use crate::{
    platform::Platform,
    replication::{operator_frame, read_operator_frame},
};

/// A node that does not answer for so long is given up, and another one is asked.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// What asking takes of the world. Every platform will do.
#[expect(async_fn_in_trait, reason = "an operator is single-threaded: no future of it needs to be Send")]
pub trait Asker {
    type Stream: AsyncRead + AsyncWrite + Unpin;

    /// Connects to `address` (`host:port`).
    async fn connect(&self, address: &str) -> io::Result<Self::Stream>;

    /// Monotonic time.
    fn now(&self) -> Duration;

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
}

impl<P: Platform> Asker for P {
    type Stream = P::Stream;

    async fn connect(&self, address: &str) -> io::Result<P::Stream> {
        Platform::connect(self, address).await
    }

    fn now(&self) -> Duration {
        Platform::now(self)
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        Platform::sleep(self, duration)
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The cluster will not do it.
    #[error("{0}")]
    Refused(String),
    /// Nobody did it in time, the last time for this reason. It may still come about.
    #[error("not done within {within:?}: {last}")]
    Unfinished { within: Duration, last: String },
}

/// Asks the cluster whose nodes await each other at `addresses` (one of them is enough) for `request`, for as long as
/// `within`. Never yields [`Reply::Elsewhere`], [`Reply::Later`] or [`Reply::Refused`].
///
/// # Errors
/// See [`AskError`].
pub async fn ask<A: Asker>(
    asker: &A,
    addresses: &[String],
    request: &Request,
    within: Duration,
) -> Result<Reply, AskError> {
    let deadline = asker.now() + within;
    let mut last = "there is no node to ask".to_owned();
    // An answer was lost, or what it was about was begun and not seen to end: it may have been done.
    let mut unsure = false;
    let mut turns = addresses.iter().cycle();
    let mut next: Option<String> = None;
    while let Some(left) = deadline.checked_sub(asker.now()).filter(|left| !left.is_zero()) {
        let Some(address) = next.take().or_else(|| turns.next().cloned()) else { break };
        let answer = tokio::select! {
            biased;
            answer = exchange(asker, &address, request) => answer,
            () = asker.sleep(left.min(ANSWER_LIMIT)) => {
                unsure = true;
                Err(io::Error::new(io::ErrorKind::TimedOut, "no answer"))
            }
        };
        match answer {
            Ok(Reply::Elsewhere { node, address }) => {
                last = format!("{node} was said to lead");
                next = Some(address);
                continue;
            }
            Ok(Reply::Later(reason)) => {
                unsure = true;
                last = reason;
                next = Some(address);
            }
            Ok(Reply::Refused { already: Some(change), .. }) if unsure => return Ok(Reply::Done(change)),
            Ok(Reply::Refused { reason, .. }) => return Err(AskError::Refused(reason)),
            Ok(reply @ (Reply::Members(_) | Reply::Done(_))) => return Ok(reply),
            // The time is up: what was heard before says more.
            Err(_) if left < ANSWER_LIMIT && asker.now() >= deadline => break,
            Err(error) => {
                unsure |= error.kind() != io::ErrorKind::ConnectionRefused;
                last = format!("{address}: {error}");
            }
        }
        asker.sleep(PAUSE).await;
    }
    Err(AskError::Unfinished { within, last })
}

async fn exchange<A: Asker>(asker: &A, address: &str, request: &Request) -> io::Result<Reply> {
    let mut stream = asker.connect(address).await?;
    let request = postcard::to_stdvec(request).expect("plain structs in memory always encode");
    operator_frame(&mut stream, request).await?;
    let reply = read_operator_frame(&mut stream).await?;
    postcard::from_bytes(&reply)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the answer is in another version's words"))
}
