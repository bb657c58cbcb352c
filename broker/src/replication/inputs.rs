//! What a node's driver reacts to, and how the rest of the node tells it.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{LogError, OpenGroup, operate::Question, probation::Word, wire::WireMessage, writer::Persisted};
use crate::platform::{GroupId, NodeId};

/// What the loop reacts to.
pub(crate) enum Input {
    Peer {
        from: NodeId,
        group: GroupId,
        message: Box<WireMessage>,
    },
    Probation {
        from: NodeId,
        group: GroupId,
        word: Word,
    },
    Forwarded {
        group: GroupId,
        command: Bytes,
    },
    Connected(NodeId),
    Disconnected(NodeId),
    Open(OpenGroup),
    Close(GroupId),
    /// A peer says that the cluster has removed this node.
    Removed(NodeId),
    Flush,
    Operate(Question),
    Persisted(Persisted),
    LogFailed(LogError),
}

/// How the rest of the node talks to its driver. Inputs are taken in order.
#[derive(Clone)]
pub struct DriverHandle {
    pub(super) inputs: mpsc::UnboundedSender<Input>,
}

impl DriverHandle {
    /// A handle, and the inputs for [`Driver::new`](super::Driver::new) to take.
    pub fn channel() -> (Self, DriverInputs) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { inputs: sender }, DriverInputs(receiver))
    }

    /// Opens a group on this node, with whatever recovery found of it.
    pub fn open(&self, group: OpenGroup) {
        self.input(Input::Open(group));
    }

    /// Closes a group and forgets its data.
    pub fn close(&self, group: GroupId) {
        self.input(Input::Close(group));
    }

    /// Says that the host has commands to propose.
    pub fn flush(&self) {
        self.input(Input::Flush);
    }

    /// A driver that has ended takes nothing: the node is about to end too.
    pub(crate) fn input(&self, input: Input) {
        self.inputs.send(input).ok();
    }
}

/// The driver's end of its handles.
pub struct DriverInputs(pub(super) mpsc::UnboundedReceiver<Input>);
