//! One client connection: handshake, reading, dispatch to channels, heartbeats, and the end.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    pin::pin,
    rc::Rc,
    time::Duration,
};

use amq_protocol::protocol::{AMQPClass, channel as channel_class, connection};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf},
    sync::mpsc,
    task::AbortHandle,
};

use super::{
    Server,
    blockade::Blockade,
    channel::{self, Channel},
    codec::Frame,
    content::{Assembly, Request},
    error::{AmqpError, ReplyCode},
    handshake::{self, Agreed, HandshakeError},
    inbox::Inbox,
    incoming::{Incoming, IncomingError},
    outgoing::Outgoing,
};
use crate::platform::{Observation, Platform};

/// How long a client may take to answer `connection.close`.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long channels may go on with what the client had asked for when its connection ended. Publishes and settles
/// need no time; a request that waits for the cluster holds up those behind it.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// What ends, other than by the client's word.
pub(super) enum Ending {
    /// One channel; its state says how.
    Channel,
    /// A channel found an error of connection scope.
    Error(AmqpError),
    /// The stream no longer takes bytes.
    Broken,
}

/// Serves one client until it goes.
pub(super) async fn serve<P: Platform>(server: Rc<Server<P>>, stream: P::Stream, peer: String) {
    let platform = server.cluster.platform().clone();
    let (read_half, mut write_half) = tokio::io::split(stream);
    let mut incoming = Incoming::new(platform.clone(), read_half, server.config.frame_max);
    let handshake = tokio::select! {
        biased;
        result = handshake::accept(&mut incoming, &mut write_half, &server.config) => result,
        () = platform.sleep(server.config.handshake_timeout) => Err(HandshakeError::Gone("handshake timeout".into())),
    };
    let agreed = match handshake {
        Ok(agreed) => agreed,
        Err(error) => {
            tracing::info!(peer, %error, "no connection");
            if let HandshakeError::Refused(error) = error {
                refuse(&platform, &mut incoming, &mut write_half, &error).await;
            }
            return;
        }
    };
    let (endings, endings_in) = mpsc::unbounded_channel();
    let outgoing = Outgoing::new(agreed.frame_max);
    let writer = outgoing.clone().write_to(platform.clone(), write_half, agreed.heartbeat);
    let broken = endings.clone();
    drop(platform.spawn("amqp-writer", async move {
        writer.await;
        // Nobody listens if the connection ended first.
        let _ = broken.send(Ending::Broken);
    }));
    let blockade = Rc::new(Blockade::new(outgoing.clone(), agreed.blocked_notify));
    let (channels, tags) = (BTreeMap::new(), Rc::default());
    let connection = Connection { server, agreed, peer, outgoing, blockade, endings, channels, tags };
    connection.run(incoming, endings_in).await;
}

/// Tells a client why it may not connect, and gives it time to read that.
async fn refuse<P: Platform>(
    platform: &P,
    incoming: &mut Incoming<P, ReadHalf<P::Stream>>,
    output: &mut (impl AsyncWrite + Unpin),
    error: &AmqpError,
) {
    let AMQPClass::Connection(close) = error.connection_close() else { return };
    tokio::select! {
        biased;
        () = async {
            if handshake::send(output, close).await.is_ok() {
                until_close_ok(incoming).await;
            }
            // The client may be gone already, which is what we are waiting for.
            let _ = output.shutdown().await;
        } => {}
        () = platform.sleep(CLOSE_TIMEOUT) => {}
    }
}

async fn until_close_ok<P: Platform>(incoming: &mut Incoming<P, impl AsyncRead + Unpin>) {
    use connection::AMQPMethod::CloseOk;
    loop {
        match incoming.frame().await {
            Ok(Some(Frame::Method(0, AMQPClass::Connection(CloseOk(_))))) => return,
            Ok(Some(_)) => {}
            Err(IncomingError::Frame(_)) => incoming.discard(),
            Ok(None) | Err(IncomingError::Io(_)) => return,
        }
    }
}

struct Connection<P: Platform> {
    server: Rc<Server<P>>,
    agreed: Agreed,
    /// The client's address.
    peer: String,
    outgoing: Outgoing,
    blockade: Rc<Blockade>,
    endings: mpsc::UnboundedSender<Ending>,
    channels: BTreeMap<u16, Slot>,
    /// See [`channel::Parts::tags`].
    tags: Rc<RefCell<BTreeMap<u16, u64>>>,
}

/// The reader's side of a channel.
struct Slot {
    /// The channel's number in the cluster.
    id: u64,
    state: Rc<Cell<channel::State>>,
    inbox: Rc<Inbox>,
    task: AbortHandle,
    assembly: Assembly,
}

/// How a connection ends.
enum End {
    /// The client awaits `connection.close-ok`.
    ByClient,
    /// The client is to be told.
    Error(AmqpError),
    /// There is nobody to tell.
    Lost,
}

/// What the reader does after a frame.
enum Next {
    Read,
    /// First wait until this channel's inbox has room.
    WaitFor(Rc<Inbox>),
    /// The client has closed the connection.
    Closed,
}

impl<P: Platform> Connection<P> {
    async fn run(
        mut self,
        mut incoming: Incoming<P, ReadHalf<P::Stream>>,
        mut endings: mpsc::UnboundedReceiver<Ending>,
    ) {
        let end = self.read(&mut incoming, &mut endings).await;
        self.end_channels(&mut endings).await;
        if let End::ByClient = end {
            let close_ok = connection::AMQPMethod::CloseOk(connection::CloseOk {});
            self.outgoing.method(0, &AMQPClass::Connection(close_ok));
        }
        if let End::Error(error) = end {
            tracing::info!(peer = self.peer, %error, "closing the connection");
            self.outgoing.method(0, &error.connection_close());
            tokio::select! {
                biased;
                () = until_close_ok(&mut incoming) => {}
                () = self.server.cluster.platform().sleep(CLOSE_TIMEOUT) => {}
            }
        }
        self.outgoing.finish();
    }

    /// Reads and dispatches until the connection ends.
    async fn read(
        &mut self,
        incoming: &mut Incoming<P, ReadHalf<P::Stream>>,
        endings: &mut mpsc::UnboundedReceiver<Ending>,
    ) -> End {
        let platform = self.server.cluster.platform().clone();
        let heard = incoming.heard();
        let silence = silence(platform.clone(), Rc::clone(&heard), self.agreed.heartbeat, Rc::clone(&self.blockade));
        let mut silence = pin!(silence);
        loop {
            let frame = tokio::select! {
                biased;
                ending = endings.recv() => match ended(ending) {
                    Some(end) => return end,
                    None => continue,
                },
                frame = incoming.frame() => frame,
                () = &mut silence => {
                    tracing::info!(peer = self.peer, "two heartbeats missed");
                    return End::Lost;
                }
            };
            let next = match frame {
                Ok(Some(frame)) => self.dispatch(frame),
                Ok(None) => return End::Lost,
                Err(IncomingError::Io(error)) => {
                    tracing::debug!(peer = self.peer, %error, "the stream failed");
                    return End::Lost;
                }
                Err(IncomingError::Frame(error)) => return End::Error(error.into()),
            };
            match next {
                Ok(Next::Read) => {}
                Ok(Next::Closed) => return End::ByClient,
                Ok(Next::WaitFor(inbox)) => {
                    while !inbox.has_room() {
                        tokio::select! {
                            biased;
                            ending = endings.recv() => if let Some(end) = ended(ending) {
                                return end;
                            },
                            () = inbox.room() => {}
                        }
                    }
                    // The client was not silent: nobody listened.
                    heard.set(platform.now());
                }
                Err(error) => return End::Error(error),
            }
        }
    }

    fn dispatch(&mut self, frame: Frame) -> Result<Next, AmqpError> {
        match frame {
            Frame::Heartbeat(0) => Ok(Next::Read),
            Frame::Heartbeat(number) => {
                let text = format!("a heartbeat belongs on channel 0, not {number}");
                Err(AmqpError::new(ReplyCode::FrameError, text))
            }
            Frame::Method(0, method) => connection_method(method),
            Frame::Header(0, _) | Frame::Body(0, _) => {
                Err(AmqpError::new(ReplyCode::UnexpectedFrame, "content does not belong on channel 0"))
            }
            Frame::Method(number, method) => self.channel_method(number, method),
            Frame::Header(number, header) => {
                let size_max = self.server.config.message_size_max;
                self.channel_content(number, |assembly| assembly.header(header, size_max))
            }
            Frame::Body(number, part) => self.channel_content(number, |assembly| assembly.body(&part)),
        }
    }

    fn channel_method(&mut self, number: u16, method: AMQPClass) -> Result<Next, AmqpError> {
        use channel_class::AMQPMethod::{Close, CloseOk, Open};
        if let AMQPClass::Connection(_) = method {
            let text = format!("methods of the connection class belong on channel 0, not {number}");
            return Err(AmqpError::new(ReplyCode::CommandInvalid, text).caused_by(&method));
        }
        match self.state(number) {
            None => match method {
                AMQPClass::Channel(Open(_)) => self.open(number, &method).map(|()| Next::Read),
                // A late answer to a close of ours that crossed the client's own.
                AMQPClass::Channel(CloseOk(_)) => Ok(Next::Read),
                method => Err(not_open(number).caused_by(&method)),
            },
            Some(channel::State::Closing) => {
                match method {
                    AMQPClass::Channel(Close(_)) => {
                        self.outgoing.method(number, &channel::close_ok());
                        self.channels.remove(&number);
                    }
                    AMQPClass::Channel(CloseOk(_)) => drop(self.channels.remove(&number)),
                    _ => {}
                }
                Ok(Next::Read)
            }
            Some(_) if matches!(method, AMQPClass::Channel(Open(_))) => {
                let text = format!("channel {number} is open already: second 'channel.open' seen");
                Err(AmqpError::new(ReplyCode::ChannelError, text).caused_by(&method))
            }
            Some(_) => self.channel_content(number, |assembly| assembly.method(method)),
        }
    }

    /// Feeds a frame to the channel's assembly, and the request that it completes to the channel.
    fn channel_content(
        &mut self,
        number: u16,
        feed: impl FnOnce(&mut Assembly) -> Result<Option<Request>, AmqpError>,
    ) -> Result<Next, AmqpError> {
        match self.state(number) {
            None => return Err(not_open(number)),
            Some(channel::State::Closing) => return Ok(Next::Read),
            Some(_) => {}
        }
        let slot = self.channels.get_mut(&number).ok_or_else(|| not_open(number))?;
        if let Some(request) = feed(&mut slot.assembly)? {
            slot.inbox.push(request);
        }
        if slot.inbox.has_room() { Ok(Next::Read) } else { Ok(Next::WaitFor(Rc::clone(&slot.inbox))) }
    }

    /// The state of a channel that is open or being closed.
    fn state(&mut self, number: u16) -> Option<channel::State> {
        let state = self.channels.get(&number)?.state.get();
        if state == channel::State::Closed {
            self.channels.remove(&number);
            return None;
        }
        Some(state)
    }

    fn open(&mut self, number: u16, method: &AMQPClass) -> Result<(), AmqpError> {
        let channel_max = self.agreed.channel_max;
        if number > channel_max {
            let text = format!("channel {number} is above the negotiated channel_max ({channel_max})");
            return Err(AmqpError::new(ReplyCode::NotAllowed, text).caused_by(method));
        }
        let cluster = &self.server.cluster;
        let (id, events) = cluster.open_channel();
        cluster.platform().observe(Observation::ChannelOpened { channel: id, client: self.peer.clone() });
        let state = Rc::new(Cell::new(channel::State::Open));
        let inbox = Rc::new(Inbox::default());
        let channel = Channel::new(channel::Parts {
            server: Rc::clone(&self.server),
            number,
            id,
            user: self.agreed.user.clone(),
            cancel_notify: self.agreed.consumer_cancel_notify,
            outgoing: self.outgoing.clone(),
            blockade: Rc::clone(&self.blockade),
            tags: Rc::clone(&self.tags),
            inbox: Rc::clone(&inbox),
            events,
            state: Rc::clone(&state),
            endings: self.endings.clone(),
        });
        let task = cluster.platform().spawn("amqp-channel", channel.run());
        self.channels.insert(number, Slot { id, state, inbox, task, assembly: Assembly::default() });
        let open_ok = channel_class::AMQPMethod::OpenOk(channel_class::OpenOk {});
        self.outgoing.method(number, &AMQPClass::Channel(open_ok));
        Ok(())
    }

    /// Ends all channels once they have done what the client had asked for, or when that takes too long.
    async fn end_channels(&mut self, endings: &mut mpsc::UnboundedReceiver<Ending>) {
        for slot in self.channels.values() {
            slot.inbox.push(Request::ConnectionEnds);
        }
        let mut patience = pin!(self.server.cluster.platform().sleep(DRAIN_PATIENCE));
        let mut channels = std::mem::take(&mut self.channels);
        loop {
            channels.retain(|_, slot| slot.state.get() == channel::State::Open);
            if channels.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                // Whatever it was, the connection is ending already.
                _ = endings.recv() => {}
                () = &mut patience => break,
            }
        }
        for slot in channels.into_values() {
            slot.task.abort();
            self.server.cluster.close_channel(slot.id);
        }
    }
}

/// A method on channel 0.
fn connection_method(method: AMQPClass) -> Result<Next, AmqpError> {
    use connection::AMQPMethod::{Close, CloseOk, UpdateSecret};
    match method {
        AMQPClass::Connection(Close(_)) => Ok(Next::Closed),
        AMQPClass::Connection(CloseOk(_)) => Ok(Next::Read),
        AMQPClass::Connection(UpdateSecret(_)) => {
            Err(AmqpError::new(ReplyCode::NotImplemented, "secrets do not expire here").caused_by(&method))
        }
        method => {
            Err(AmqpError::new(ReplyCode::CommandInvalid, "not a method that an open connection takes on channel 0")
                .caused_by(&method))
        }
    }
}

fn not_open(number: u16) -> AmqpError {
    AmqpError::new(ReplyCode::ChannelError, format!("expected 'channel.open' on channel {number}"))
}

fn ended(ending: Option<Ending>) -> Option<End> {
    match ending {
        Some(Ending::Error(error)) => Some(End::Error(error)),
        Some(Ending::Broken) | None => Some(End::Lost),
        Some(Ending::Channel) => None,
    }
}

/// Ends when nothing was heard for two heartbeat intervals (AMQP 0-9-1, 4.2.7); never, if the interval is zero. The
/// time in which the client is asked to hold back does not count: there are libraries that hold everything back then.
async fn silence<P: Platform>(platform: P, heard: Rc<Cell<Duration>>, heartbeat: Duration, blockade: Rc<Blockade>) {
    if heartbeat.is_zero() {
        return std::future::pending().await;
    }
    loop {
        if blockade.asks_to_hold_back() {
            heard.set(platform.now());
        }
        let silent = platform.now().saturating_sub(heard.get());
        let Some(rest) = (2 * heartbeat).checked_sub(silent).filter(|rest| !rest.is_zero()) else { return };
        platform.sleep(rest).await;
    }
}
