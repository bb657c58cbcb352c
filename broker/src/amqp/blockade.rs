//! What a connection is told of its own back-pressure: `connection.blocked` while one of its channels is stopped
//! because a queue has not caught up with what was published to it, and `connection.unblocked` once none is.
//!
//! A request to hold back, no more: of a client that goes on, a megabyte is taken, and then nothing is read. Only
//! clients that named the capability in the handshake hear it. The methods are RabbitMQ's extension of AMQP 0-9-1;
//! there they tell of a whole node that is short of memory or disk, here of a queue that is behind.

use std::cell::Cell;

use amq_protocol::protocol::{AMQPClass, connection};

use super::outgoing::Outgoing;

pub(super) struct Blockade {
    outgoing: Outgoing,
    understood: bool,
    /// Channels that are stopped.
    stopped: Cell<u32>,
}

impl Blockade {
    /// `understood` by the client are `connection.blocked` and its opposite.
    pub(super) fn new(outgoing: Outgoing, understood: bool) -> Self {
        Self { outgoing, understood, stopped: Cell::new(0) }
    }

    /// Whether the client knows that it is not to publish.
    pub(super) fn asks_to_hold_back(&self) -> bool {
        self.understood && self.stopped.get() > 0
    }

    /// A channel stops.
    pub(super) fn stop(&self) {
        self.stopped.set(self.stopped.get() + 1);
        if self.stopped.get() == 1 {
            let reason = "a queue has not caught up with what was published to it".into();
            self.tell(connection::AMQPMethod::Blocked(connection::Blocked { reason }));
        }
    }

    /// A channel that was stopped goes on. One that is aborted meanwhile does not: its connection ends with it.
    pub(super) fn go_on(&self) {
        self.stopped.set(self.stopped.get() - 1);
        if self.stopped.get() == 0 {
            self.tell(connection::AMQPMethod::Unblocked(connection::Unblocked {}));
        }
    }

    fn tell(&self, method: connection::AMQPMethod) {
        if self.understood {
            self.outgoing.method(0, &AMQPClass::Connection(method));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_stopped_channels_are_one_block() {
        let said = |understood: bool| {
            let outgoing = Outgoing::new(0);
            let blockade = Blockade::new(outgoing.clone(), understood);
            let mut lengths = Vec::new();
            for step in [Blockade::stop, Blockade::stop, Blockade::go_on, Blockade::go_on, Blockade::stop] {
                step(&blockade);
                lengths.push(outgoing.waiting());
            }
            assert_eq!(blockade.asks_to_hold_back(), understood);
            lengths
        };
        let lengths = said(true);
        assert!(lengths[0] > 0 && lengths[3] > lengths[2] && lengths[4] > lengths[3], "{lengths:?}");
        assert!(lengths[1] == lengths[0] && lengths[2] == lengths[0], "nothing in between: {lengths:?}");
        assert_eq!(said(false), [0; 5]);
    }
}
