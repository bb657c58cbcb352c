//! What goes to the client: one bounded buffer per connection, and the task that writes it.
//!
//! Whoever has something to say appends whole frames, and the content of a message in one go, so nothing is ever
//! interleaved. Before taking up new work a channel waits for [`Outgoing::room`]; a client that does not read thus
//! stops its own channels and costs no more than [`LIMIT`] plus one message per channel.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use amq_protocol::protocol::AMQPClass;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::Notify,
};

use super::codec;
use crate::platform::Platform;

/// Bytes that wait for the socket before channels pause.
pub(super) const LIMIT: usize = 1 << 20;

/// How long the last bytes of an ending connection may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// A handle on a connection's output buffer.
#[derive(Clone)]
pub(super) struct Outgoing {
    shared: Rc<Shared>,
}

struct Shared {
    buffer: RefCell<Vec<u8>>,
    /// Bytes taken from the buffer that the socket has not accepted yet.
    in_flight: Cell<usize>,
    /// No more will be appended: flush and close.
    finished: Cell<bool>,
    /// The socket failed; nothing appended goes anywhere.
    broken: Cell<bool>,
    filled: Notify,
    drained: Notify,
    frame_max: u32,
}

impl Outgoing {
    /// `frame_max` in bytes, 0 for no limit.
    pub(super) fn new(frame_max: u32) -> Self {
        let shared = Shared {
            buffer: RefCell::default(),
            in_flight: Cell::new(0),
            finished: Cell::new(false),
            broken: Cell::new(false),
            filled: Notify::new(),
            drained: Notify::new(),
            frame_max,
        };
        Self { shared: Rc::new(shared) }
    }

    pub(super) fn method(&self, channel: u16, method: &AMQPClass) {
        self.append(|buffer| codec::put_method(buffer, channel, method));
    }

    /// A method with its content, as one.
    pub(super) fn content(&self, channel: u16, method: &AMQPClass, properties: &[u8], body: &[u8]) {
        let frame_max = self.shared.frame_max;
        self.append(|buffer| {
            codec::put_method(buffer, channel, method);
            codec::put_content(buffer, channel, properties, body, frame_max);
        });
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting() < LIMIT
    }

    /// Bytes that the socket has not accepted yet.
    pub(super) fn waiting(&self) -> usize {
        self.shared.buffer.borrow().len() + self.shared.in_flight.get()
    }

    /// Waits until there is room for more.
    pub(super) async fn room(&self) {
        loop {
            // Made before the check, so that no wake-up between check and wait is lost.
            let drained = self.shared.drained.notified();
            if self.has_room() {
                return;
            }
            drained.await;
        }
    }

    /// Lets the writer flush what is there, close the stream and end.
    pub(super) fn finish(&self) {
        self.shared.finished.set(true);
        self.shared.filled.notify_one();
    }

    fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.shared.broken.get() {
            return;
        }
        write(&mut self.shared.buffer.borrow_mut());
        self.shared.filled.notify_one();
    }

    /// The writer: everything that has gathered in one write, then a flush; a heartbeat whenever nothing was sent for
    /// half of `heartbeat` (zero: never). Ends when the stream fails or after [`Self::finish`].
    pub(super) async fn write_to<P: Platform>(
        self,
        platform: P,
        mut stream: impl AsyncWrite + Unpin,
        heartbeat: Duration,
    ) {
        let shared = &*self.shared;
        loop {
            let mut batch = shared.buffer.take();
            if batch.is_empty() {
                if shared.finished.get() {
                    break;
                }
                if heartbeat.is_zero() {
                    shared.filled.notified().await;
                } else {
                    tokio::select! {
                        biased;
                        () = shared.filled.notified() => {}
                        () = platform.sleep(heartbeat / 2) => codec::put_heartbeat(&mut shared.buffer.borrow_mut()),
                    }
                }
                continue;
            }
            shared.in_flight.set(batch.len());
            let written = tokio::select! {
                biased;
                written = async {
                    stream.write_all(&batch).await?;
                    stream.flush().await
                } => written.is_ok(),
                () = self.overdue(&platform) => false,
            };
            batch.clear();
            shared.in_flight.set(0);
            if !written {
                shared.broken.set(true);
                shared.buffer.take();
            }
            shared.drained.notify_waiters();
            if !written {
                break;
            }
        }
        tokio::select! {
            biased;
            _ = stream.shutdown() => {}
            () = platform.sleep(FAREWELL) => {}
        }
    }

    /// Ends some time after the connection has, so that a peer who does not read cannot keep its writer for ever.
    async fn overdue<P: Platform>(&self, platform: &P) {
        while !self.shared.finished.get() {
            self.shared.filled.notified().await;
        }
        platform.sleep(FAREWELL).await;
    }
}
