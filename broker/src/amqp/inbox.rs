//! Requests on their way from a connection's reader to one of its channels, bounded by what they weigh.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

use tokio::sync::Notify;

use super::content::Request;

/// Bytes that may wait for a channel before its connection stops reading.
const LIMIT: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Inbox {
    requests: RefCell<VecDeque<Request>>,
    bytes: Cell<usize>,
    /// The channel has ended: requests are dropped.
    closed: Cell<bool>,
    arrived: Notify,
    taken: Notify,
}

impl Inbox {
    /// Adds a request, whatever its size; the reader must wait for [`Self::room`] before it reads on.
    pub(super) fn push(&self, request: Request) {
        if self.closed.get() {
            return;
        }
        self.bytes.set(self.bytes.get() + request.weight());
        self.requests.borrow_mut().push_back(request);
        self.arrived.notify_one();
    }

    pub(super) fn pop(&self) -> Option<Request> {
        let request = self.requests.borrow_mut().pop_front()?;
        self.bytes.set(self.bytes.get() - request.weight());
        self.taken.notify_one();
        Some(request)
    }

    /// Undoes a [`Self::pop`].
    pub(super) fn put_back(&self, request: Request) {
        self.bytes.set(self.bytes.get() + request.weight());
        self.requests.borrow_mut().push_front(request);
    }

    /// Drops what is queued and whatever comes.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.requests.borrow_mut().clear();
        self.bytes.set(0);
        self.taken.notify_one();
    }

    /// Waits until there is a request. One task at a time may wait.
    pub(super) async fn arrival(&self) {
        while self.requests.borrow().is_empty() {
            self.arrived.notified().await;
        }
    }

    /// Waits until less than the limit is queued. One task at a time may wait.
    pub(super) async fn room(&self) {
        while self.bytes.get() >= LIMIT {
            self.taken.notified().await;
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.bytes.get() < LIMIT
    }
}
