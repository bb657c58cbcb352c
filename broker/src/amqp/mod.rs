//! The client side of AMQP 0-9-1: connections, channels, frames.

mod codec;
mod nesting;
