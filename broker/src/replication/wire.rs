//! What nodes say to each other: our own mirror of Raft's messages, in frames with a length and a checksum.
//!
//! Raft's protobuf types never meet bytes from the network: its protobuf 2 parser has a published recursion advisory,
//! and a mirror of plain structs decodes in bounded depth.
//!
//! A frame is the payload's length (4 bytes, little-endian), its CRC32C (4 bytes, little-endian) and the payload in
//! postcard.

use std::io;

use bytes::Bytes;
use raft::eraftpb::{self, MessageType};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{MemberChange, probation::Word};
use crate::{
    platform::{GroupId, LogIndex, NodeId, Term},
    storage::{EntryKind, LogEntry, Members, Snapshot},
};

/// Version of the protocol between nodes. Nodes of different versions refuse each other.
pub const WIRE_VERSION: u32 = 3;

/// The largest payload that is accepted, in bytes. A snapshot travels in one frame, so this bounds a queue's state.
pub const FRAME_BYTES_MAX: usize = 1 << 30;

/// The largest first frame of a stream: a hello, or an operator's request.
pub(crate) const FIRST_FRAME_BYTES_MAX: usize = 64 << 10;

/// What is read from a stream at once: a frame that claims to be huge costs memory only as its bytes arrive.
const READ_CHUNK_BYTES: usize = 1 << 20;

const HEADER_BYTES: usize = 8;

/// One unit on a stream between two nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Frame {
    /// The first frame of the node that dialled.
    Hello(Hello),
    /// Asks the other end to show that it is alive.
    Ping,
    Pong,
    Raft {
        group: GroupId,
        // Boxed: the other frames are small.
        message: Box<WireMessage>,
    },
    /// A command for the receiver to propose, if it leads the group; dropped otherwise: its session resends it.
    Propose {
        group: GroupId,
        command: Bytes,
    },
    /// About a disk that is new to the group.
    Probation {
        group: GroupId,
        word: Word,
    },
    /// The answer to the hello of a node that the cluster has removed.
    Removed,
    /// The first frame of an operator, and the answer to it. What is in it is none of replication's business.
    Operator {
        version: u32,
        payload: Bytes,
    },
}

/// Sends an operator's request, or the answer to one.
pub(crate) async fn operator_frame(stream: &mut (impl AsyncWrite + Unpin), payload: Vec<u8>) -> io::Result<()> {
    let frame = Frame::Operator { version: WIRE_VERSION, payload: payload.into() };
    stream.write_all(&frame.encode()).await?;
    stream.flush().await
}

/// Reads the answer to an operator's request.
///
/// # Errors
/// The stream's own; `InvalidData` for anything else than an answer.
pub(crate) async fn read_operator_frame(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    match Frame::read(stream, FRAME_BYTES_MAX, || {}).await? {
        Frame::Operator { version: WIRE_VERSION, payload } => Ok(payload),
        Frame::Operator { version, .. } => {
            let text = format!("the node speaks version {version} of the protocol between nodes, not {WIRE_VERSION}");
            Err(io::Error::new(io::ErrorKind::InvalidData, text))
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the node does not answer")),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub version: u32,
    pub node: NodeId,
    /// A fingerprint of those who founded the cluster: nodes of different clusters must not talk.
    pub cluster: u64,
    /// Where the node awaits the others: news to those that have just joined.
    pub address: String,
}

/// The Raft messages that travel. Raft's local ones have no place here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MessageKind {
    Append,
    AppendResponse,
    RequestVote,
    RequestVoteResponse,
    Snapshot,
    Heartbeat,
    HeartbeatResponse,
    TransferLeader,
    TimeoutNow,
    RequestPreVote,
    RequestPreVoteResponse,
}

/// `eraftpb::Message`, field by field. Entry contexts, reads and deprecated fields are not used and not carried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WireMessage {
    pub kind: MessageKind,
    pub to: NodeId,
    pub from: NodeId,
    pub term: u64,
    pub log_term: u64,
    pub index: u64,
    pub entries: Vec<LogEntry>,
    pub commit: u64,
    pub commit_term: u64,
    pub snapshot: Option<Snapshot>,
    pub request_snapshot: u64,
    pub reject: bool,
    pub reject_hint: u64,
    pub context: Bytes,
    pub priority: i64,
}

impl MessageKind {
    const PAIRS: [(Self, MessageType); 11] = [
        (Self::Append, MessageType::MsgAppend),
        (Self::AppendResponse, MessageType::MsgAppendResponse),
        (Self::RequestVote, MessageType::MsgRequestVote),
        (Self::RequestVoteResponse, MessageType::MsgRequestVoteResponse),
        (Self::Snapshot, MessageType::MsgSnapshot),
        (Self::Heartbeat, MessageType::MsgHeartbeat),
        (Self::HeartbeatResponse, MessageType::MsgHeartbeatResponse),
        (Self::TransferLeader, MessageType::MsgTransferLeader),
        (Self::TimeoutNow, MessageType::MsgTimeoutNow),
        (Self::RequestPreVote, MessageType::MsgRequestPreVote),
        (Self::RequestPreVoteResponse, MessageType::MsgRequestPreVoteResponse),
    ];

    fn from_raft(kind: MessageType) -> Option<Self> {
        Self::PAIRS.iter().find(|(_, raft)| *raft == kind).map(|(own, _)| *own)
    }

    fn to_raft(self) -> MessageType {
        Self::PAIRS.iter().find(|(own, _)| *own == self).map(|(_, raft)| *raft).expect("every kind has its pair")
    }
}

impl WireMessage {
    /// `None` for a message that must not leave the node.
    pub(crate) fn from_raft(message: eraftpb::Message) -> Option<Self> {
        let kind = MessageKind::from_raft(message.msg_type)?;
        let mut message = message;
        let snapshot = (kind == MessageKind::Snapshot).then(|| snapshot_from_raft(&message.take_snapshot()));
        Some(Self {
            kind,
            to: NodeId(message.to),
            from: NodeId(message.from),
            term: message.term,
            log_term: message.log_term,
            index: message.index,
            entries: message.entries.iter().map(entry_from_raft).collect(),
            commit: message.commit,
            commit_term: message.commit_term,
            snapshot,
            request_snapshot: message.request_snapshot,
            reject: message.reject,
            reject_hint: message.reject_hint,
            context: message.context,
            priority: message.priority,
        })
    }

    pub(crate) fn into_raft(self) -> eraftpb::Message {
        let mut message = eraftpb::Message {
            msg_type: self.kind.to_raft(),
            to: self.to.0,
            from: self.from.0,
            term: self.term,
            log_term: self.log_term,
            index: self.index,
            commit: self.commit,
            commit_term: self.commit_term,
            request_snapshot: self.request_snapshot,
            reject: self.reject,
            reject_hint: self.reject_hint,
            context: self.context,
            priority: self.priority,
            ..Default::default()
        };
        message.set_entries(self.entries.iter().map(entry_to_raft).collect());
        if let Some(snapshot) = &self.snapshot {
            message.set_snapshot(snapshot_to_raft(snapshot));
        }
        message
    }

    /// About what the message takes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let entries = self.entries.iter().map(|entry| size_of::<LogEntry>() + entry.data.len());
        let snapshot = self.snapshot.as_ref().map_or(0, |snapshot| {
            let members = snapshot.members.voters.len() + snapshot.members.learners.len();
            snapshot.data.len() + members * size_of::<NodeId>()
        });
        size_of::<Self>() + entries.sum::<usize>() + snapshot + self.context.len()
    }

    /// Whether Raft can take the message without a contradiction in itself: consecutive entries right after `index`,
    /// a snapshot exactly where one belongs. What fails this came from a broken peer.
    pub(crate) fn is_consistent(&self) -> bool {
        let consecutive = self
            .entries
            .iter()
            .zip(self.index.saturating_add(1)..)
            .all(|(entry, index)| entry.index.0 == index && entry.term.0 <= self.term);
        let changes = self.entries.iter().filter_map(change_of).all(|change| change.is_ok());
        consecutive && changes && self.snapshot.is_some() == (self.kind == MessageKind::Snapshot)
    }
}

pub(crate) fn entry_from_raft(entry: &eraftpb::Entry) -> LogEntry {
    let (kind, data) = match MemberChange::of_entry(entry) {
        None => (EntryKind::Command, entry.data.clone()),
        Some(change) => {
            let data = postcard::to_stdvec(&change).expect("plain structs in memory always encode");
            (EntryKind::Members, data.into())
        }
    };
    LogEntry { index: LogIndex(entry.index), term: Term(entry.term), kind, data }
}

pub(crate) fn entry_to_raft(entry: &LogEntry) -> eraftpb::Entry {
    let (entry_type, data) = match change_of(entry) {
        Some(Ok(change)) => (eraftpb::EntryType::EntryConfChangeV2, change.encode().into()),
        // One that does not decode is refused where it arrives.
        Some(Err(_)) | None => (eraftpb::EntryType::EntryNormal, entry.data.clone()),
    };
    eraftpb::Entry { entry_type, term: entry.term.0, index: entry.index.0, data, ..Default::default() }
}

/// The change of members that an entry holds, if it is of that kind.
fn change_of(entry: &LogEntry) -> Option<Result<MemberChange, postcard::Error>> {
    (entry.kind == EntryKind::Members).then(|| postcard::from_bytes(&entry.data))
}

pub(crate) fn members_to_raft(members: &Members) -> eraftpb::ConfState {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
    eraftpb::ConfState { voters: ids(&members.voters), learners: ids(&members.learners), ..Default::default() }
}

/// Sorted, so that all nodes have the same list.
pub(crate) fn members_from_raft(state: &eraftpb::ConfState) -> Members {
    let nodes = |ids: &[u64]| {
        let mut nodes: Vec<NodeId> = ids.iter().copied().map(NodeId).collect();
        nodes.sort_unstable();
        nodes
    };
    Members { voters: nodes(state.get_voters()), learners: nodes(state.get_learners()) }
}

pub(crate) fn snapshot_from_raft(snapshot: &eraftpb::Snapshot) -> Snapshot {
    let metadata = snapshot.get_metadata();
    Snapshot {
        index: LogIndex(metadata.index),
        term: Term(metadata.term),
        members: members_from_raft(metadata.get_conf_state()),
        data: snapshot.data.clone(),
    }
}

pub(crate) fn snapshot_to_raft(snapshot: &Snapshot) -> eraftpb::Snapshot {
    let mut raft = eraftpb::Snapshot { data: snapshot.data.clone(), ..Default::default() };
    let metadata = raft.mut_metadata();
    metadata.index = snapshot.index.0;
    metadata.term = snapshot.term.0;
    metadata.set_conf_state(members_to_raft(&snapshot.members));
    raft
}

impl Frame {
    /// The group whose data this frame carries, if it is one of those that must stay in order among themselves and may
    /// be large. An append without entries is one too: it refers to those before it.
    pub(crate) fn bulk_of(&self) -> Option<GroupId> {
        match self {
            Self::Propose { group, .. } => Some(*group),
            Self::Raft { group, message } => match message.kind {
                MessageKind::Append | MessageKind::Snapshot | MessageKind::TransferLeader | MessageKind::TimeoutNow => {
                    Some(*group)
                }
                MessageKind::AppendResponse
                | MessageKind::RequestVote
                | MessageKind::RequestVoteResponse
                | MessageKind::Heartbeat
                | MessageKind::HeartbeatResponse
                | MessageKind::RequestPreVote
                | MessageKind::RequestPreVoteResponse => None,
            },
            Self::Hello(_)
            | Self::Ping
            | Self::Pong
            | Self::Probation { .. }
            | Self::Removed
            | Self::Operator { .. } => None,
        }
    }

    /// The frame as it goes on the stream.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes =
            postcard::to_extend(self, vec![0; HEADER_BYTES]).expect("plain structs in memory always encode");
        let payload = &bytes[HEADER_BYTES..];
        let (len, crc) = (payload.len() as u32, crc32c::crc32c(payload));
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        bytes[4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the next frame, of `bytes_max` at most. Calls `heard` whenever a part of it has arrived: a large one may
    /// take long.
    ///
    /// # Errors
    /// The stream's own; `InvalidData` for a frame that is too large, damaged or unknown.
    pub(crate) async fn read(
        stream: &mut (impl AsyncRead + Unpin),
        bytes_max: usize,
        heard: impl Fn(),
    ) -> io::Result<Self> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let len = stream.read_u32_le().await? as usize;
        let crc = stream.read_u32_le().await?;
        if len > bytes_max {
            return Err(invalid("a frame between nodes is larger than any may be"));
        }
        let mut payload = Vec::new();
        while payload.len() < len {
            let at = payload.len();
            payload.resize(len.min(at + READ_CHUNK_BYTES), 0);
            stream.read_exact(&mut payload[at..]).await?;
            heard();
        }
        if crc32c::crc32c(&payload) != crc {
            return Err(invalid("a frame between nodes fails its checksum"));
        }
        postcard::from_bytes(&payload).map_err(|_| invalid("a frame between nodes does not decode"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append() -> WireMessage {
        let entry = |index| LogEntry {
            index: LogIndex(index),
            term: Term(3),
            kind: EntryKind::Command,
            data: Bytes::from_static(b"command"),
        };
        WireMessage {
            kind: MessageKind::Append,
            to: NodeId(2),
            from: NodeId(1),
            term: 3,
            log_term: 2,
            index: 7,
            entries: vec![entry(8), entry(9)],
            commit: 6,
            commit_term: 0,
            snapshot: None,
            request_snapshot: 0,
            reject: false,
            reject_hint: 0,
            context: Bytes::new(),
            priority: 0,
        }
    }

    fn snapshot() -> WireMessage {
        let members = Members { voters: vec![NodeId(1), NodeId(2)], learners: vec![NodeId(3)] };
        let snapshot = Snapshot { index: LogIndex(9), term: Term(3), members, data: Bytes::from_static(b"state") };
        WireMessage { kind: MessageKind::Snapshot, entries: Vec::new(), snapshot: Some(snapshot), ..append() }
    }

    #[test]
    fn a_message_survives_the_way_through_raft_and_back() {
        for message in [append(), snapshot()] {
            assert_eq!(WireMessage::from_raft(message.clone().into_raft()), Some(message));
        }
    }

    #[test]
    fn local_messages_do_not_travel() {
        let local = eraftpb::Message { msg_type: MessageType::MsgHup, ..Default::default() };
        assert_eq!(WireMessage::from_raft(local), None);
    }

    #[test]
    fn a_gap_between_entries_is_not_consistent() {
        assert!(append().is_consistent());
        assert!(snapshot().is_consistent());
        let mut gap = append();
        gap.entries.remove(0);
        assert!(!gap.is_consistent());
        assert!(!WireMessage { snapshot: None, ..snapshot() }.is_consistent());
    }

    #[tokio::test]
    async fn a_flipped_bit_is_refused() {
        let frame = Frame::Raft { group: GroupId(2), message: Box::new(append()) };
        let mut bytes = frame.encode();
        assert_eq!(Frame::read(&mut bytes.as_slice(), FRAME_BYTES_MAX, || {}).await.expect("intact"), frame);
        *bytes.last_mut().expect("not empty") ^= 1;
        let error = Frame::read(&mut bytes.as_slice(), FRAME_BYTES_MAX, || {}).await.expect_err("damaged");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
