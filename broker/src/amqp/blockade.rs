//! What a connection is told of its own back-pressure: `connection.blocked` while one of its channels is stopped
//! because a queue has not caught up with what was published to it, and `connection.unblocked` once none is.
//!
//! A request to hold back, no more: a client that goes on finds that its bytes are not read. Only clients that named
//! the capability in the handshake hear it.

use std::cell::Cell;

use amq_protocol::protocol::{AMQPClass, connection};

use super::outgoing::Outgoing;

pub(super) struct Blockade {
    outgoing: Outgoing,
    /// The client understands `connection.blocked`.
    told: bool,
    /// Channels that are stopped.
    stopped: Cell<u32>,
}

impl Blockade {
    pub(super) fn new(outgoing: Outgoing, told: bool) -> Self {
        Self { outgoing, told, stopped: Cell::new(0) }
    }

    /// A channel stops.
    pub(super) fn stop(&self) {
        self.stopped.set(self.stopped.get() + 1);
        if self.stopped.get() == 1 {
            let reason = "a queue has not caught up with what was published to it".into();
            self.tell(connection::AMQPMethod::Blocked(connection::Blocked { reason }));
        }
    }

    /// A channel that was stopped goes on, or ends.
    pub(super) fn go_on(&self) {
        self.stopped.set(self.stopped.get() - 1);
        if self.stopped.get() == 0 {
            self.tell(connection::AMQPMethod::Unblocked(connection::Unblocked {}));
        }
    }

    fn tell(&self, method: connection::AMQPMethod) {
        if self.told {
            self.outgoing.method(0, &AMQPClass::Connection(method));
        }
    }
}
