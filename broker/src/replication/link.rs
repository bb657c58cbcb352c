//! Streams between nodes: one that this node dials for each peer, to send on, and those that peers dial, to read from.
//!
//! Messages are dropped while a peer is away or its queue is full. That is sound: Raft takes the network for lossy and
//! repeats itself, and sessions resend their commands until they see them applied.
//!
//! A stream that is cut may look alive for long. So the dialling end asks for a sign of life twice a second, and dials
//! anew after two seconds without one; the accepting end gives up a silent stream too. Both count their own timer's
//! ticks rather than time, so that a node that was paused does not mistake its own sleep for its peers' silence.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::Notify,
    task::AbortHandle,
};

use super::{
    DriverHandle, FRAME_BYTES_MAX, WIRE_VERSION,
    inputs::Input,
    wire::{FIRST_FRAME_BYTES_MAX, Frame, Hello},
};
use crate::platform::{Chaos, GroupId, Listener, NodeId, Platform};

const PING_INTERVAL: Duration = Duration::from_millis(500);

/// Pings without an answer after which the dialling end gives a stream up: two seconds.
const UNANSWERED_PINGS_MAX: u32 = 4;

/// Intervals without a frame after which the accepting end gives a stream up: five seconds.
const SILENT_INTERVALS_MAX: u32 = 10;

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// What may wait for one peer in bulk, in bytes. Beyond it messages are dropped; a single one may be larger.
const BULK_BYTES_MAX: usize = 64 << 20;

/// How many small frames may wait for one peer.
const URGENT_FRAMES_MAX: usize = 1 << 16;

/// So many bytes written count as a sign of life.
const PROGRESS_BYTES: usize = 1 << 20;

/// All links of a node.
#[derive(Clone)]
pub struct Links {
    node: NodeId,
    cluster: u64,
    /// Where this node awaits the others, as they see it.
    address: Rc<str>,
    peers: Rc<RefCell<BTreeMap<NodeId, Rc<Peer>>>>,
    /// Nodes that must never come back.
    dismissed: Rc<RefCell<BTreeSet<NodeId>>>,
}

struct Peer {
    address: String,
    queue: RefCell<SendQueue>,
    ready: Notify,
    /// Intervals of [`PING_INTERVAL`] since anything was heard from the peer.
    silent: Cell<u32>,
    dialling: RefCell<Option<AbortHandle>>,
}

/// What waits for one peer.
#[derive(Default)]
struct SendQueue {
    connected: bool,
    /// Signs of life, votes and acknowledgements: small, and worthless when late. They overtake the bulk, or megabytes
    /// of it would make a live node look dead, and each election would add its own.
    urgent: VecDeque<Vec<u8>>,
    /// Entries, snapshots and proposals, with their group, in order.
    bulk: VecDeque<(GroupId, Vec<u8>)>,
    bulk_bytes: usize,
}

impl SendQueue {
    /// Whether there was room for `frame`.
    fn push(&mut self, frame: &Frame) -> bool {
        let bulk = frame.bulk_of();
        let full = match bulk {
            Some(_) => self.bulk_bytes >= BULK_BYTES_MAX,
            None => self.urgent.len() >= URGENT_FRAMES_MAX,
        };
        if !self.connected || full {
            return false;
        }
        let bytes = frame.encode();
        match bulk {
            Some(group) => {
                self.bulk_bytes += bytes.len();
                self.bulk.push_back((group, bytes));
            }
            None => self.urgent.push_back(bytes),
        }
        true
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        if let Some(frame) = self.urgent.pop_front() {
            return Some(frame);
        }
        let (_, frame) = self.bulk.pop_front()?;
        self.bulk_bytes -= frame.len();
        Some(frame)
    }

    fn forget(&mut self, group: GroupId) {
        self.bulk.retain(|(of, _)| *of != group);
        self.bulk_bytes = self.bulk.iter().map(|(_, frame)| frame.len()).sum();
    }
}

impl Links {
    /// Links of `node`, which others reach at `address`, to nobody yet. `cluster` is a fingerprint of those who
    /// founded the cluster.
    pub fn new(node: NodeId, address: &str, cluster: u64) -> Self {
        Self { node, cluster, address: address.into(), peers: Rc::default(), dismissed: Rc::default() }
    }

    /// How long nothing was heard from `peer`, in steps of half a second of this node's own timers. For ever, if it was
    /// dismissed.
    pub fn silence(&self, peer: NodeId) -> Duration {
        if self.dismissed.borrow().contains(&peer) {
            return Duration::MAX;
        }
        self.peers.borrow().get(&peer).map_or(Duration::ZERO, |peer| PING_INTERVAL * peer.silent.get())
    }

    /// Takes `peer` for one of the cluster that awaits this node at `address`: dials it, and keeps dialling. One that
    /// is known stays as it is known.
    pub fn admit<P: Platform>(&self, platform: &P, driver: &DriverHandle, peer: NodeId, address: &str) {
        let known = self.peers.borrow().contains_key(&peer) || self.dismissed.borrow().contains(&peer);
        if peer == self.node || known {
            return;
        }
        let (links, platform_, driver) = (self.clone(), platform.clone(), driver.clone());
        let entry = Rc::new(Peer {
            address: address.to_owned(),
            queue: RefCell::default(),
            ready: Notify::new(),
            silent: Cell::default(),
            dialling: RefCell::default(),
        });
        self.peers.borrow_mut().insert(peer, Rc::clone(&entry));
        let dialling = Rc::clone(&entry);
        let task =
            platform.spawn("link", async move { links.keep_dialling(&platform_, peer, &dialling, &driver).await });
        *entry.dialling.borrow_mut() = Some(task);
    }

    /// Ends the links to a node that was removed from the cluster, and all talk with it. Safe to repeat.
    pub fn dismiss(&self, peer: NodeId) {
        self.dismissed.borrow_mut().insert(peer);
        let gone = self.peers.borrow_mut().remove(&peer);
        if let Some(task) = gone.and_then(|peer| peer.dialling.take()) {
            task.abort();
        }
    }

    /// Watches for silence.
    pub fn run<P: Platform>(&self, platform: &P) {
        let (links, platform_) = (self.clone(), platform.clone());
        platform.spawn("link-silence", async move {
            loop {
                platform_.sleep(PING_INTERVAL).await;
                for peer in links.peers.borrow().values() {
                    peer.silent.set(peer.silent.get().saturating_add(1));
                }
            }
        });
    }

    /// Takes the streams that peers dial, and hands those of operators to `desk`, with the request that came first.
    pub async fn serve<P: Platform>(
        self,
        platform: P,
        mut listener: P::Listener,
        driver: DriverHandle,
        desk: impl Fn(P::Stream, Bytes) + Clone + 'static,
    ) {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => {
                    let (links, platform_, driver) = (self.clone(), platform.clone(), driver.clone());
                    let desk = desk.clone();
                    platform.spawn("link-in", async move {
                        if let Err(error) = links.take_stream(&platform_, stream, &driver, desk).await {
                            tracing::debug!(%address, %error, "a peer's stream ended");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a peer's stream");
                    platform.sleep(BACKOFF_MIN).await;
                }
            }
        }
    }

    /// Queues `frame` for `peer`; `false` if it was dropped.
    pub(crate) fn send(&self, peer: NodeId, frame: &Frame) -> bool {
        let Some(peer) = self.peers.borrow().get(&peer).cloned() else { return false };
        if !peer.queue.borrow_mut().push(frame) {
            return false;
        }
        peer.ready.notify_one();
        true
    }

    /// Drops the group's entries, snapshots and proposals that still wait: they belong to a leadership that is over.
    pub(crate) fn forget(&self, group: GroupId) {
        for peer in self.peers.borrow().values() {
            peer.queue.borrow_mut().forget(group);
        }
    }

    async fn keep_dialling<P: Platform>(&self, platform: &P, to: NodeId, peer: &Peer, driver: &DriverHandle) {
        let mut backoff = BACKOFF_MIN;
        loop {
            match self.dial(platform, to, &peer.address, driver).await {
                Ok(stream) => {
                    tracing::debug!(peer = %to, "connected");
                    backoff = BACKOFF_MIN;
                    let error = self.feed(platform, to, peer, stream, driver).await;
                    tracing::debug!(peer = %to, %error, "disconnected");
                    driver.input(Input::Disconnected(to));
                }
                Err(error) => tracing::debug!(peer = %to, %error, "cannot connect"),
            }
            // Up to a quarter more or less, so that two nodes do not keep missing each other.
            let jitter = 768 + platform.random() % 512;
            platform.sleep(backoff * jitter as u32 / 1024).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    async fn dial<P: Platform>(
        &self,
        platform: &P,
        to: NodeId,
        address: &str,
        driver: &DriverHandle,
    ) -> io::Result<P::Stream> {
        let hello = self.hello();
        let greet = async {
            let mut stream = platform.connect(address).await?;
            stream.write_all(&hello.encode()).await?;
            stream.flush().await?;
            // The answer says that the hello was accepted.
            match Frame::read(&mut stream, FIRST_FRAME_BYTES_MAX, || {}).await? {
                Frame::Hello(hello) => self.check(&hello, Some(to)).map(|_| stream),
                Frame::Removed => {
                    driver.input(Input::Removed(to));
                    Err(io::Error::new(io::ErrorKind::PermissionDenied, "this node was removed from its cluster"))
                }
                _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the peer does not say hello")),
            }
        };
        tokio::select! {
            biased;
            stream = greet => stream,
            () = platform.sleep(PING_INTERVAL * UNANSWERED_PINGS_MAX) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn hello(&self) -> Frame {
        let (node, cluster, address) = (self.node, self.cluster, (*self.address).to_owned());
        Frame::Hello(Hello { version: WIRE_VERSION, node, cluster, address })
    }

    fn check(&self, hello: &Hello, expected: Option<NodeId>) -> io::Result<NodeId> {
        let refusal = if hello.version != WIRE_VERSION {
            format!("{} speaks version {} of the protocol between nodes, not {WIRE_VERSION}", hello.node, hello.version)
        } else if hello.cluster != self.cluster {
            format!("{} is of a cluster that others founded", hello.node)
        } else if !self.peers.borrow().contains_key(&hello.node) || expected.is_some_and(|node| node != hello.node) {
            format!("{} is not the peer that belongs here", hello.node)
        } else {
            return Ok(hello.node);
        };
        tracing::warn!("refused a peer: {refusal}");
        Err(io::Error::new(io::ErrorKind::InvalidData, refusal))
    }

    /// Sends what is queued for `to` until the stream fails or falls silent; says why it ended.
    async fn feed<P: Platform>(
        &self,
        platform: &P,
        to: NodeId,
        peer: &Peer,
        stream: P::Stream,
        driver: &DriverHandle,
    ) -> io::Error {
        let (mut reader, mut writer) = tokio::io::split(stream);
        peer.queue.borrow_mut().connected = true;
        driver.input(Input::Connected(to));
        let unanswered = Cell::new(0);
        let error = tokio::select! {
            biased;
            error = hear_pongs(peer, &mut reader, &unanswered) => error,
            error = write_queue(peer, &mut writer, &unanswered) => error,
            error = self.ping(platform, to, &unanswered) => error,
        };
        *peer.queue.borrow_mut() = SendQueue::default();
        error
    }

    async fn ping<P: Platform>(&self, platform: &P, to: NodeId, unanswered: &Cell<u32>) -> io::Error {
        while unanswered.get() < UNANSWERED_PINGS_MAX {
            unanswered.set(unanswered.get() + 1);
            if platform.chance(Chaos::LinkCut) {
                return io::Error::new(io::ErrorKind::ConnectionAborted, "hung up by chance");
            }
            self.send(to, &Frame::Ping);
            platform.sleep(PING_INTERVAL).await;
        }
        io::Error::new(io::ErrorKind::TimedOut, "the peer is silent")
    }

    /// Finds out who has dialled.
    async fn take_stream<P: Platform>(
        &self,
        platform: &P,
        mut stream: P::Stream,
        driver: &DriverHandle,
        desk: impl Fn(P::Stream, Bytes),
    ) -> io::Result<()> {
        let first = tokio::select! {
            biased;
            first = Frame::read(&mut stream, FIRST_FRAME_BYTES_MAX, || {}) => first?,
            () = platform.sleep(PING_INTERVAL * SILENT_INTERVALS_MAX) => return Err(io::ErrorKind::TimedOut.into()),
        };
        match first {
            Frame::Hello(hello) => self.read_from_peer(platform, stream, driver, &hello).await,
            Frame::Operator { payload, .. } => {
                desk(stream, payload);
                Ok(())
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "who dials does not say hello")),
        }
    }

    /// Reads what a peer sends on a stream that it dialled.
    async fn read_from_peer<P: Platform>(
        &self,
        platform: &P,
        stream: P::Stream,
        driver: &DriverHandle,
        hello: &Hello,
    ) -> io::Result<()> {
        let silent = Cell::new(0);
        let (mut reader, mut writer) = tokio::io::split(stream);
        let heard = || silent.set(0);
        let read = async {
            if hello.cluster == self.cluster && self.dismissed.borrow().contains(&hello.node) {
                writer.write_all(&Frame::Removed.encode()).await?;
                return writer.shutdown().await;
            }
            // Somebody unknown may have joined while this node was away, and lead what would tell it so.
            if hello.version == WIRE_VERSION && hello.cluster == self.cluster {
                self.admit(platform, driver, hello.node, &hello.address);
            }
            let from = self.check(hello, None)?;
            writer.write_all(&self.hello().encode()).await?;
            writer.flush().await?;
            loop {
                let frame = Frame::read(&mut reader, FRAME_BYTES_MAX, heard).await?;
                match self.peers.borrow().get(&from) {
                    Some(peer) => peer.silent.set(0),
                    None => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the peer was dismissed")),
                }
                match frame {
                    Frame::Raft { group, message } => driver.input(Input::Peer { from, group, message }),
                    Frame::Probation { group, word } => driver.input(Input::Probation { from, group, word }),
                    Frame::Propose { group, command } => driver.input(Input::Forwarded { group, command }),
                    Frame::Ping => {
                        writer.write_all(&Frame::Pong.encode()).await?;
                        writer.flush().await?;
                    }
                    Frame::Hello(_) | Frame::Pong | Frame::Removed | Frame::Operator { .. } => {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame out of place"));
                    }
                }
            }
        };
        let silence = async {
            while silent.get() < SILENT_INTERVALS_MAX {
                platform.sleep(PING_INTERVAL).await;
                silent.set(silent.get() + 1);
            }
        };
        tokio::select! {
            biased;
            ended = read => ended,
            () = silence => Err(io::Error::new(io::ErrorKind::TimedOut, "the peer is silent")),
        }
    }
}

async fn hear_pongs<S: AsyncRead + AsyncWrite>(
    peer: &Peer,
    reader: &mut ReadHalf<S>,
    unanswered: &Cell<u32>,
) -> io::Error {
    loop {
        match Frame::read(reader, FIRST_FRAME_BYTES_MAX, || {}).await {
            Ok(Frame::Pong) => {
                unanswered.set(0);
                peer.silent.set(0);
            }
            Ok(_) => return io::Error::new(io::ErrorKind::InvalidData, "a frame out of place"),
            Err(error) => return error,
        }
    }
}

async fn write_queue<S: AsyncRead + AsyncWrite>(
    peer: &Peer,
    writer: &mut WriteHalf<S>,
    unanswered: &Cell<u32>,
) -> io::Error {
    let mut progress = 0;
    loop {
        let next = peer.queue.borrow_mut().pop();
        let result = match next {
            Some(frame) => write_frame(writer, &frame, &mut progress, unanswered).await,
            None => match writer.flush().await {
                Ok(()) => {
                    peer.ready.notified().await;
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = result {
            return error;
        }
    }
}

/// Writes a frame. Pings wait behind the one that is being written, so steady progress counts as a sign of life too.
/// A cut stream makes none once the buffers on the way are full.
async fn write_frame<S: AsyncRead + AsyncWrite>(
    writer: &mut WriteHalf<S>,
    frame: &[u8],
    progress: &mut usize,
    unanswered: &Cell<u32>,
) -> io::Result<()> {
    for chunk in frame.chunks(PROGRESS_BYTES) {
        writer.write_all(chunk).await?;
        *progress += chunk.len();
        if *progress >= PROGRESS_BYTES {
            *progress = 0;
            unanswered.set(0);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId = GroupId(2);
    const OTHER: GroupId = GroupId(3);

    fn proposal(group: GroupId, bytes: usize) -> Frame {
        Frame::Propose { group, command: Bytes::from(vec![0; bytes]) }
    }

    fn drain(queue: &mut SendQueue) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn a_sign_of_life_overtakes_megabytes_and_finds_room_where_they_do_not() {
        let mut queue = SendQueue { connected: true, ..SendQueue::default() };
        while queue.push(&proposal(GROUP, 1 << 20)) {}
        assert!(queue.push(&Frame::Ping));
        assert_eq!(queue.pop(), Some(Frame::Ping.encode()));
        assert_eq!(drain(&mut queue).len(), BULK_BYTES_MAX >> 20);
        assert_eq!(queue.bulk_bytes, 0);
    }

    #[test]
    fn what_waits_for_a_leader_that_is_no_more_is_dropped() {
        let mut queue = SendQueue { connected: true, ..SendQueue::default() };
        for frame in [proposal(GROUP, 1), proposal(OTHER, 2), Frame::Ping, proposal(GROUP, 3)] {
            assert!(queue.push(&frame));
        }
        queue.forget(GROUP);
        assert_eq!(drain(&mut queue), [Frame::Ping.encode(), proposal(OTHER, 2).encode()]);
        assert_eq!(queue.bulk_bytes, 0);
    }
}
