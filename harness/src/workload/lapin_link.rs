//! A link through the unmodified `lapin` crate, for scenarios that ask how a real application's library behaves.
//!
//! Commands go through one task, in order, as an application would await them; confirms, deliveries and the end of
//! the connection each arrive through a task of their own. lapin's own recovery is off: a lost connection is lost.

use std::{rc::Rc, time::Duration};

use ::lapin::{
    Channel, Confirmation,
    message::Delivery,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, BasicQosOptions,
        BasicRejectOptions, ConfirmSelectOptions, QueueDeclareOptions,
    },
    types::FieldTable,
};
use amq_protocol::protocol::BasicProperties;
use tokio::{sync::mpsc, task::AbortHandle};
use warren::platform::Platform;

use super::{
    lapin::{self, Connection, Options},
    link::{Incoming, LinkEvent, LinkSetup},
    native,
};
use crate::history::{PublishOutcome, Settle};

const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Everything that we ask of lapin is watched; this is for what lapin does on its own.
const POLL_EVERY: Duration = Duration::from_millis(100);
/// Bytes. lapin's buffers are 32 frames for each connection; a larger body goes in several.
const FRAME_MAX: u32 = 32 * 1024;

/// A lapin connection with one channel.
pub struct LapinLink {
    commands: mpsc::UnboundedSender<Command>,
    events: mpsc::UnboundedReceiver<LinkEvent>,
    tag_last: u64,
    /// Keeps the connection, and with it lapin's thread, alive as long as the link.
    _connection: Rc<Connection>,
    worker: AbortHandle,
}

enum Command {
    Publish { tag: u64, queue: String, body: Vec<u8> },
    Consume { queue: String, no_ack: bool },
    Get { queue: String, no_ack: bool },
    Settle { tag: u64, settle: Settle },
    Close,
}

impl LapinLink {
    /// Connects and prepares the channel.
    ///
    /// # Errors
    /// In lapin's words, or the platform's.
    pub async fn open<P: Platform>(platform: &P, address: &str, setup: &LinkSetup) -> Result<Self, String> {
        let opening = async {
            let stream = platform.connect(address).await.map_err(|error| format!("connect: {error}"))?;
            let mut options = Options { poll_every: Some(POLL_EVERY), ..Options::default() };
            options.uri.query.frame_max = Some(FRAME_MAX);
            let connection = lapin::connect(platform, stream, options).await.map_err(|error| error.to_string())?;
            let prepared = connection.watch(prepare(&connection, setup)).await;
            let channel = prepared.map_err(|error| error.to_string())?;
            Ok::<_, String>((connection, channel))
        };
        let (connection, channel) = tokio::select! {
            opened = opening => opened?,
            () = platform.sleep(OPEN_TIMEOUT) => return Err("no answer within 10 s while opening".into()),
        };
        let connection = Rc::new(connection);
        let (commands, queue) = mpsc::unbounded_channel();
        let (sink, events) = mpsc::unbounded_channel();
        let worker = Worker { platform: platform.clone(), channel, connection: connection.clone(), sink: sink.clone() };
        let worker = platform.spawn("lapin commands", connection.watch(worker.run(queue)));
        Ok(Self { commands, events, tag_last: 0, _connection: connection, worker })
    }

    pub fn publish(&mut self, queue: &str, body: Vec<u8>) -> u64 {
        self.tag_last += 1;
        self.send(Command::Publish { tag: self.tag_last, queue: queue.into(), body });
        self.tag_last
    }

    pub fn consume(&mut self, queue: &str, no_ack: bool) {
        self.send(Command::Consume { queue: queue.into(), no_ack });
    }

    pub fn get(&mut self, queue: &str, no_ack: bool) {
        self.send(Command::Get { queue: queue.into(), no_ack });
    }

    pub fn settle(&mut self, tag: u64, settle: Settle) {
        self.send(Command::Settle { tag, settle });
    }

    pub async fn next(&mut self) -> LinkEvent {
        self.events.recv().await.unwrap_or_else(|| LinkEvent::Closed("connection lost".into()))
    }

    pub async fn close(&mut self) {
        self.send(Command::Close);
        while !matches!(self.next().await, LinkEvent::Closed(_)) {}
    }

    /// A worker that has ended has said so in its last event.
    fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }
}

impl Drop for LapinLink {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

async fn prepare(connection: &Connection, setup: &LinkSetup) -> Result<Channel, ::lapin::Error> {
    let channel = connection.create_channel().await?;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(setup.queue.as_str().into(), durable, native::queue_arguments(setup)).await?;
    if setup.confirms {
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
    }
    channel.basic_qos(setup.prefetch, BasicQosOptions::default()).await?;
    Ok(channel)
}

struct Worker<P: Platform> {
    platform: P,
    channel: Channel,
    connection: Rc<Connection>,
    sink: mpsc::UnboundedSender<LinkEvent>,
}

impl<P: Platform> Worker<P> {
    async fn run(self, mut commands: mpsc::UnboundedReceiver<Command>) {
        while let Some(command) = commands.recv().await {
            let last = matches!(command, Command::Close);
            if let Err(error) = self.execute(command).await {
                self.tell(LinkEvent::Closed(error.to_string()));
                return;
            }
            if last {
                self.tell(LinkEvent::Closed("closed".into()));
                return;
            }
        }
    }

    async fn execute(&self, command: Command) -> Result<(), ::lapin::Error> {
        match command {
            Command::Publish { tag, queue, body } => {
                let options = BasicPublishOptions { mandatory: true, immediate: false };
                let properties = BasicProperties::default().with_delivery_mode(2);
                let confirm = self.channel.basic_publish("".into(), queue.into(), options, &body, properties).await?;
                let sink = self.sink.clone();
                self.platform.spawn("lapin confirm", async move {
                    let event = match confirm.await {
                        Ok(Confirmation::Ack(None)) => LinkEvent::Outcome { tag, outcome: PublishOutcome::Confirmed },
                        Ok(Confirmation::Ack(Some(_))) => LinkEvent::Outcome { tag, outcome: PublishOutcome::Returned },
                        Ok(Confirmation::Nack(_)) => LinkEvent::Outcome { tag, outcome: PublishOutcome::Nacked },
                        Ok(Confirmation::NotRequested) => return,
                        Err(error) => LinkEvent::Closed(error.to_string()),
                    };
                    let _ = sink.send(event);
                });
            }
            Command::Consume { queue, no_ack } => {
                let options = BasicConsumeOptions { no_ack, ..BasicConsumeOptions::default() };
                let consumer =
                    self.channel.basic_consume(queue.into(), "ferret".into(), options, FieldTable::default()).await?;
                self.platform.spawn("lapin consumer", forward(consumer, self.sink.clone()));
            }
            Command::Get { queue, no_ack } => {
                let got = self.channel.basic_get(queue.into(), BasicGetOptions { no_ack }).await?;
                self.tell(LinkEvent::Got(got.map(|got| incoming(got.delivery))));
            }
            Command::Settle { tag, settle } => match settle {
                Settle::Ack { multiple } => self.channel.basic_ack(tag, BasicAckOptions { multiple }).await?,
                Settle::Reject { requeue } => self.channel.basic_reject(tag, BasicRejectOptions { requeue }).await?,
                Settle::Nack { requeue, multiple } => {
                    self.channel.basic_nack(tag, BasicNackOptions { multiple, requeue }).await?;
                }
            },
            Command::Close => self.connection.close(200, "done".into()).await?,
        }
        Ok(())
    }

    fn tell(&self, event: LinkEvent) {
        let _ = self.sink.send(event);
    }
}

/// Passes a consumer's deliveries on until it ends.
async fn forward(mut consumer: ::lapin::Consumer, sink: mpsc::UnboundedSender<LinkEvent>) {
    loop {
        let event = match lapin::next(&mut consumer).await {
            Some(Ok(delivery)) => LinkEvent::Delivered(incoming(delivery)),
            Some(Err(error)) => LinkEvent::Closed(error.to_string()),
            None => LinkEvent::Closed("the consumer ended".into()),
        };
        let closed = matches!(event, LinkEvent::Closed(_));
        if sink.send(event).is_err() || closed {
            return;
        }
    }
}

fn incoming(delivery: Delivery) -> Incoming {
    Incoming {
        tag: delivery.delivery_tag,
        redelivered: delivery.redelivered,
        delivery_count: delivery.properties.headers().as_ref().and_then(native::delivery_count),
        body: delivery.data,
    }
}
