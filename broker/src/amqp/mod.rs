//! The client side of AMQP 0-9-1: connections, channels, frames.
//!
//! One connection is a reader (the connection's own task), a writer, and one task per channel:
//! - the reader cuts bytes into frames, puts messages together and hands each request to its channel's inbox;
//! - a channel takes requests and the cluster's events in turn, in order, so that a request that waits for the
//!   cluster holds up its own channel only;
//! - the writer sends whatever has gathered in the connection's output buffer, and heartbeats when that is nothing.
//!
//! Back-pressure goes the whole way: a queue that cannot take more stops the channel, its full inbox stops the reader,
//! and the socket's window the client; a client that can hear it is told so (`connection.blocked`). A client that does
//! not read fills its output buffer, which stops its channels.

mod blockade;
mod channel;
pub mod codec;
mod config;
mod confirm;
mod connection;
mod consume;
mod content;
mod declare;
mod error;
mod handshake;
mod inbox;
mod incoming;
mod nesting;
mod outgoing;
mod publish;
mod settle;
mod unacked;

use std::{cell::Cell, io, rc::Rc, time::Duration};

pub use config::{AmqpConfig, BACKLOG_MAX, FRAME_MAX_LEAST};

use crate::{
    cluster::Cluster,
    platform::{Listener, Platform},
};

/// What all connections of a node share.
struct Server<P: Platform> {
    cluster: Cluster<P>,
    config: AmqpConfig,
    /// The number of the latest consumer: unique within the node's session.
    last_consumer: Cell<u64>,
}

impl<P: Platform> Server<P> {
    fn next_consumer(&self) -> u64 {
        self.last_consumer.set(self.last_consumer.get() + 1);
        self.last_consumer.get()
    }
}

/// Serves clients on `address` (`host:port`) until the node's process ends.
///
/// # Errors
/// If `address` cannot be bound.
pub async fn serve<P: Platform>(cluster: Cluster<P>, address: &str, config: AmqpConfig) -> io::Result<()> {
    let platform = cluster.platform().clone();
    let mut listener = platform.listen(address).await?;
    tracing::info!("ready for clients on {address}");
    let server = Rc::new(Server { cluster, config, last_consumer: Cell::new(0) });
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let connection = connection::serve(Rc::clone(&server), stream, peer);
                drop(platform.spawn("amqp-connection", connection));
            }
            Err(error) => {
                // Most likely out of file descriptors: accepting again at once would only spin.
                tracing::warn!(%error, "cannot accept a client");
                platform.sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
