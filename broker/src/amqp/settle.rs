//! `basic.ack`, `nack`, `reject` and `recover`.

use amq_protocol::protocol::basic;

use super::{
    channel::Channel,
    error::{AmqpError, ReplyCode},
};
use crate::{
    platform::{Platform, Sabotage},
    queue::{Operation, Settle},
};

impl<P: Platform> Channel<P> {
    pub(super) fn ack(&mut self, ack: &basic::Ack) -> Result<(), AmqpError> {
        self.settle(ack.delivery_tag, ack.multiple, Settle::Ack)
    }

    pub(super) fn nack(&mut self, nack: &basic::Nack) -> Result<(), AmqpError> {
        self.settle(
            nack.delivery_tag,
            nack.multiple,
            rejection(nack.requeue && !self.cluster().platform().sabotaged(Sabotage::NackDrops)),
        )
    }

    pub(super) fn reject(&mut self, reject: &basic::Reject) -> Result<(), AmqpError> {
        self.settle(reject.delivery_tag, false, rejection(reject.requeue))
    }

    /// Requeues everything that the channel holds.
    pub(super) fn recover(&mut self, requeue: bool) -> Result<(), AmqpError> {
        if !requeue {
            return Err(AmqpError::new(ReplyCode::NotImplemented, "requeue=false"));
        }
        self.settle(0, true, Settle::Requeue)
    }

    fn settle(&mut self, tag: u64, multiple: bool, settle: Settle) -> Result<(), AmqpError> {
        let Ok(settled) = self.unacked.take(tag, multiple) else {
            return Err(AmqpError::new(ReplyCode::PreconditionFailed, format!("unknown delivery tag {tag}")));
        };
        if settle == Settle::Ack && Sabotage::DropAck.strikes(self.cluster().platform(), tag, 20) {
            return Ok(());
        }
        for (group, messages) in settled {
            self.cluster().submit(group, Operation::Settle { channel: self.parts.id, messages, settle });
        }
        self.restore_credits();
        Ok(())
    }
}

fn rejection(requeue: bool) -> Settle {
    if requeue { Settle::Requeue } else { Settle::Drop }
}
