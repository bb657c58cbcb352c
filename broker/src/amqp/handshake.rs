//! From the protocol header to `connection.open-ok`: who the client is and what both sides can do.

use std::{io, time::Duration};

use amq_protocol::{
    protocol::{AMQPClass, connection},
    types::{AMQPValue, FieldTable},
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{
    codec::{self, Frame},
    config::{AmqpConfig, FRAME_MAX_LEAST},
    error::{AmqpError, ReplyCode},
    incoming::{Incoming, IncomingError},
};
use crate::platform::Platform;

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) user: String,
    /// Bytes in a frame.
    pub(super) frame_max: u32,
    pub(super) channel_max: u16,
    /// Zero: no heartbeats.
    pub(super) heartbeat: Duration,
    /// The client understands `basic.cancel` from the broker.
    pub(super) consumer_cancel_notify: bool,
    /// The client understands `connection.blocked` from the broker.
    pub(super) blocked_notify: bool,
}

/// Why there will be no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// The client went away, or said something that is not answered.
    #[error("{0}")]
    Gone(String),
    /// The client is told with `connection.close`.
    #[error("{0}")]
    Refused(#[from] AmqpError),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Gone(error.to_string())
    }
}

impl From<IncomingError> for HandshakeError {
    fn from(error: IncomingError) -> Self {
        match error {
            IncomingError::Io(error) => error.into(),
            IncomingError::Frame(error) => Self::Refused(error.into()),
        }
    }
}

/// Plays the broker's part of the handshake.
pub(super) async fn accept<P: Platform>(
    incoming: &mut Incoming<P, impl AsyncRead + Unpin>,
    output: &mut (impl AsyncWrite + Unpin),
    config: &AmqpConfig,
) -> Result<Agreed, HandshakeError> {
    let header = incoming.protocol_header().await?;
    if header != Some(codec::PROTOCOL_HEADER) {
        // AMQP 0-9-1, 4.2.2: answer with the version we speak, then close.
        output.write_all(&codec::PROTOCOL_HEADER).await?;
        output.flush().await?;
        return Err(HandshakeError::Gone("the client does not speak AMQP 0-9-1".into()));
    }
    send(output, connection::AMQPMethod::Start(start())).await?;
    let start_ok = match receive(incoming).await? {
        connection::AMQPMethod::StartOk(start_ok) => start_ok,
        other => return Err(out_of_turn("connection.start-ok", other).into()),
    };
    let capable = |name| is_capable(&start_ok.client_properties, name);
    let user = match authenticate(&start_ok, config) {
        Ok(user) => user,
        Err(error) if capable("authentication_failure_close") => return Err(error.into()),
        Err(error) => return Err(HandshakeError::Gone(error.to_string())),
    };
    let consumer_cancel_notify = capable("consumer_cancel_notify");
    let blocked_notify = capable("connection.blocked");
    let heartbeat = u16::try_from(config.heartbeat.as_secs()).unwrap_or(u16::MAX);
    let offer = connection::Tune { channel_max: config.channel_max, frame_max: config.frame_max, heartbeat };
    send(output, connection::AMQPMethod::Tune(offer)).await?;
    let tune_ok = match receive(incoming).await? {
        connection::AMQPMethod::TuneOk(tune_ok) => tune_ok,
        other => return Err(out_of_turn("connection.tune-ok", other).into()),
    };
    check_limit("channel_max", u32::from(tune_ok.channel_max), 1, u32::from(config.channel_max))?;
    check_limit("frame_max", tune_ok.frame_max, FRAME_MAX_LEAST, config.frame_max)?;
    incoming.frame_max = tune_ok.frame_max;
    let open = match receive(incoming).await? {
        connection::AMQPMethod::Open(open) => open,
        other => return Err(out_of_turn("connection.open", other).into()),
    };
    if open.virtual_host.as_str() != "/" {
        let text = format!("vhost '{}' not found: this broker has one, named '/'", open.virtual_host);
        let open = AMQPClass::Connection(connection::AMQPMethod::Open(open));
        return Err(AmqpError::new(ReplyCode::NotAllowed, text).caused_by(&open).into());
    }
    send(output, connection::AMQPMethod::OpenOk(connection::OpenOk {})).await?;
    Ok(Agreed {
        user,
        frame_max: tune_ok.frame_max,
        channel_max: tune_ok.channel_max,
        heartbeat: Duration::from_secs(tune_ok.heartbeat.into()),
        consumer_cancel_notify,
        blocked_notify,
    })
}

/// Sends one method on channel 0.
pub(super) async fn send(output: &mut (impl AsyncWrite + Unpin), method: connection::AMQPMethod) -> io::Result<()> {
    let mut bytes = Vec::new();
    codec::put_method(&mut bytes, 0, &AMQPClass::Connection(method));
    output.write_all(&bytes).await?;
    output.flush().await
}

async fn receive<P: Platform>(
    incoming: &mut Incoming<P, impl AsyncRead + Unpin>,
) -> Result<connection::AMQPMethod, HandshakeError> {
    loop {
        return match incoming.frame().await? {
            Some(Frame::Method(0, AMQPClass::Connection(method))) => Ok(method),
            Some(Frame::Heartbeat(0)) => continue,
            Some(Frame::Method(_, method)) => {
                let text = "only methods of the connection class on channel 0 are allowed before connection.open-ok";
                Err(AmqpError::new(ReplyCode::CommandInvalid, text).caused_by(&method).into())
            }
            Some(_) => {
                let text = "expected a method frame on channel 0 before connection.open-ok";
                Err(AmqpError::new(ReplyCode::UnexpectedFrame, text).into())
            }
            None => Err(HandshakeError::Gone("the client closed its stream during the handshake".into())),
        };
    }
}

fn out_of_turn(expected: &str, got: connection::AMQPMethod) -> AmqpError {
    AmqpError::new(ReplyCode::CommandInvalid, format!("expected {expected}")).caused_by(&AMQPClass::Connection(got))
}

fn start() -> connection::Start {
    let flags = [
        ("publisher_confirms", true),
        ("basic.nack", true),
        ("consumer_cancel_notify", true),
        ("per_consumer_qos", true),
        ("authentication_failure_close", true),
        ("exchange_exchange_bindings", false),
        ("connection.blocked", true),
    ];
    let mut capabilities = FieldTable::default();
    for (name, value) in flags {
        capabilities.insert(name.into(), AMQPValue::Boolean(value));
    }
    let mut server_properties = FieldTable::default();
    server_properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    for (name, value) in [("product", "Warren"), ("version", env!("CARGO_PKG_VERSION")), ("platform", "Rust")] {
        server_properties.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    connection::Start {
        version_major: 0,
        version_minor: 9,
        server_properties,
        mechanisms: "PLAIN".into(),
        locales: "en_US".into(),
    }
}

fn is_capable(client_properties: &FieldTable, name: &str) -> bool {
    let Some(AMQPValue::FieldTable(capabilities)) = client_properties.inner().get("capabilities") else { return false };
    matches!(capabilities.inner().get(name), Some(AMQPValue::Boolean(true)))
}

/// The user's name, if name and password are right (SASL PLAIN, RFC 4616).
fn authenticate(start_ok: &connection::StartOk, config: &AmqpConfig) -> Result<String, AmqpError> {
    let refused = |text: String| {
        let method = AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok.clone()));
        AmqpError::new(ReplyCode::AccessRefused, text).caused_by(&method)
    };
    let mechanism = start_ok.mechanism.as_str();
    if mechanism != "PLAIN" {
        return Err(refused(format!("mechanism '{mechanism}' is not offered: use PLAIN")));
    }
    let mut parts = start_ok.response.as_bytes().split(|byte| *byte == 0);
    let (_authorize_as, name, password, rest) = (parts.next(), parts.next(), parts.next(), parts.next());
    if let (Some(name), Some(password), None) = (name, password, rest)
        && let Ok(name) = std::str::from_utf8(name)
        && config.users.get(name).is_some_and(|expected| equal_in_constant_time(expected.as_bytes(), password))
    {
        return Ok(name.to_owned());
    }
    Err(refused("Login was refused using authentication mechanism PLAIN".into()))
}

/// Takes as long for a wrong first byte as for a wrong last one, so that a password cannot be guessed byte by byte.
fn equal_in_constant_time(expected: &[u8], given: &[u8]) -> bool {
    expected.len() == given.len() && expected.iter().zip(given).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}

/// A client may lower what was offered, but not raise it; 0 asks for no limit at all.
fn check_limit(name: &str, chosen: u32, least: u32, offered: u32) -> Result<(), AmqpError> {
    let wrong = if chosen != 0 && chosen < least {
        format!("lower than the minimum allowed value ({least})")
    } else if chosen == 0 || chosen > offered {
        format!("higher than the maximum allowed value ({offered})")
    } else {
        return Ok(());
    };
    Err(AmqpError::new(ReplyCode::NotAllowed, format!("negotiated {name} = {chosen} is {wrong}")))
}

#[cfg(test)]
mod tests;
