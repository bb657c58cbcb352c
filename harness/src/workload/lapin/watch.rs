//! Futures whose every step may have given lapin something to do.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use super::link::Link;

/// Nudges the pump after each step of `future`.
///
/// A step is a poll after a wake-up. The main future of a tokio runtime or local set is also polled whenever any of
/// its tasks was woken; if such a poll counted, each nudge would be the cause of the next one.
pub(super) async fn watched<F: Future>(link: Arc<Link>, future: F) -> F::Output {
    let alarm = Arc::new(Alarm { rang: AtomicBool::new(true), outer: Mutex::new(Waker::noop().clone()) });
    let inner = Waker::from(alarm.clone());
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        alarm.outer.lock().unwrap_or_else(PoisonError::into_inner).clone_from(cx.waker());
        if !alarm.rang.swap(false, SeqCst) {
            return Poll::Pending;
        }
        let polled = future.as_mut().poll(&mut Context::from_waker(&inner));
        link.nudge();
        polled
    })
    .await
}

/// Remembers that the watched future was woken, and passes it on to whoever polls it.
struct Alarm {
    rang: AtomicBool,
    outer: Mutex<Waker>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, SeqCst);
        let outer = self.outer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        outer.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn only_a_poll_after_a_wake_up_is_a_step() {
        let link = Arc::new(Link::default());
        let steps = Cell::new(0);
        let stepping = std::future::poll_fn(|cx| {
            steps.set(steps.get() + 1);
            if steps.get() == 1 {
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        let mut watched = pin!(watched(link.clone(), stepping));
        let mut cx = Context::from_waker(Waker::noop());
        let mut nudges = Vec::new();
        for _ in 0..4 {
            assert!(watched.as_mut().poll(&mut cx).is_pending());
            nudges.push(link.take_nudge(&cx));
        }
        assert_eq!(nudges, [true, true, false, false]);
        assert_eq!(steps.get(), 2);
    }
}
