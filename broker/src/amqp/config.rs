//! What an operator may set of the client side.

use std::{collections::BTreeMap, time::Duration};

/// Settings of [`serve`](super::serve). The defaults are RabbitMQ's.
#[derive(Clone, Debug)]
pub struct AmqpConfig {
    /// Name → password.
    pub users: BTreeMap<String, String>,
    /// The interval suggested to clients, in whole seconds; zero suggests none. A client may choose another.
    pub heartbeat: Duration,
    /// Bytes in a frame, at least [`FRAME_MAX_LEAST`].
    pub frame_max: u32,
    /// Channels per connection.
    pub channel_max: u16,
    /// Bytes in a message's body.
    pub message_size_max: u64,
    /// Bytes submitted to a queue and not yet applied here, beyond which its publishers are stopped until it is half of
    /// that.
    pub backlog_max: usize,
    /// How long a client may take to log in.
    pub handshake_timeout: Duration,
}

/// What may wait for a queue unless somebody says otherwise, in bytes.
pub const BACKLOG_MAX: usize = 8 << 20;

/// The smallest frame size that a client may ask for, in bytes.
pub const FRAME_MAX_LEAST: u32 = 4096;

impl Default for AmqpConfig {
    fn default() -> Self {
        Self {
            users: BTreeMap::from([("guest".to_owned(), "guest".to_owned())]),
            heartbeat: Duration::from_secs(60),
            frame_max: 131_072,
            channel_max: 2047,
            message_size_max: 128 << 20,
            backlog_max: BACKLOG_MAX,
            handshake_timeout: Duration::from_secs(10),
        }
    }
}
