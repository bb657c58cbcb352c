//! Frames: bytes to [`Frame`] and back (AMQP 0-9-1, 4.2).
//!
//! Methods are parsed and written by `amq-protocol`. The frame around them and content properties are handled here:
//! properties stay in their wire encoding (checked once on the way in), so that a message passes through the broker
//! without being taken apart.

use amq_protocol::{
    frame::{GenError, WriteContext},
    protocol::{
        AMQPClass, BasicProperties,
        basic::{gen_properties, parse_properties},
        constants::{FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD},
        gen_class, parse_class,
    },
};
use bytes::{Buf, Bytes, BytesMut};

use super::nesting;

/// Bytes of a frame beyond its payload: type, channel, size, end octet.
pub const FRAME_OVERHEAD: usize = 8;
const FRAME_HEAD: usize = 7;

/// What a client sends first (AMQP 0-9-1, 4.2.2).
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// The only class that carries content.
pub const BASIC_CLASS: u16 = 60;

#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    Method(u16, AMQPClass),
    Header(u16, ContentHeader),
    Body(u16, Bytes),
    Heartbeat(u16),
}

#[derive(Clone, Debug, PartialEq)]
pub struct ContentHeader {
    pub class: u16,
    /// Bytes of body to come, over all body frames.
    pub body_size: u64,
    /// Property flags and values in wire encoding; known to parse.
    pub properties: Bytes,
    /// The `user-id` property, which the broker must check.
    pub user_id: Option<String>,
}

/// Bytes that are no frame. The connection cannot go on after one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("frame of type {0}")]
    UnknownType(u8),
    #[error("frame of {size} bytes is larger than the negotiated maximum of {limit}")]
    TooLarge { size: u64, limit: u32 },
    #[error("frame ends with octet {0:#04x} instead of 0xce")]
    BadEnd(u8),
    #[error("a {0} frame's payload does not parse")]
    Syntax(&'static str),
    #[error("tables nested deeper than {} levels", nesting::LIMIT)]
    TooDeep,
    /// A sound `basic.qos` that asks for more than any queue has. `amq-protocol` drops the field while it parses.
    #[error("prefetch_size!=0 ({0})")]
    PrefetchSize(u32),
}

/// Takes one frame off the front of `buffer`; `None` if it is not all there yet. `frame_max` counts whole frames, in
/// bytes; 0 is no limit.
///
/// # Errors
/// As soon as the bytes at hand cannot become a frame.
pub fn decode(buffer: &mut BytesMut, frame_max: u32) -> Result<Option<Frame>, FrameError> {
    let Some(&kind) = buffer.first() else { return Ok(None) };
    if ![FRAME_METHOD, FRAME_HEADER, FRAME_BODY, FRAME_HEARTBEAT].contains(&kind) {
        return Err(FrameError::UnknownType(kind));
    }
    if buffer.len() < FRAME_HEAD {
        return Ok(None);
    }
    let channel = u16::from_be_bytes([buffer[1], buffer[2]]);
    let payload_size = u32::from_be_bytes([buffer[3], buffer[4], buffer[5], buffer[6]]);
    let size = u64::from(payload_size) + FRAME_OVERHEAD as u64;
    if frame_max != 0 && size > u64::from(frame_max) {
        return Err(FrameError::TooLarge { size, limit: frame_max });
    }
    let payload_size = payload_size as usize;
    if buffer.len() < payload_size + FRAME_OVERHEAD {
        return Ok(None);
    }
    let end = buffer[FRAME_HEAD + payload_size];
    if end != FRAME_END {
        return Err(FrameError::BadEnd(end));
    }
    buffer.advance(FRAME_HEAD);
    let payload = buffer.split_to(payload_size).freeze();
    buffer.advance(1);
    match kind {
        FRAME_METHOD => decode_method(&payload).map(|method| Some(Frame::Method(channel, method))),
        FRAME_HEADER => decode_header(payload).map(|header| Some(Frame::Header(channel, header))),
        FRAME_BODY => Ok(Some(Frame::Body(channel, payload))),
        _ => Ok(Some(Frame::Heartbeat(channel))),
    }
}

fn decode_method(payload: &[u8]) -> Result<AMQPClass, FrameError> {
    if let Some(table) = nesting::method_table(payload)
        && !nesting::is_shallow(table)
    {
        return Err(FrameError::TooDeep);
    }
    match parse_class(payload) {
        Ok(([], method)) => match payload {
            [0, 60, 0, 10, a, b, c, d, ..] if [*a, *b, *c, *d] != [0; 4] => {
                Err(FrameError::PrefetchSize(u32::from_be_bytes([*a, *b, *c, *d])))
            }
            _ => Ok(method),
        },
        _ => Err(FrameError::Syntax("method")),
    }
}

fn decode_header(mut payload: Bytes) -> Result<ContentHeader, FrameError> {
    if payload.len() < 12 {
        return Err(FrameError::Syntax("header"));
    }
    let class = payload.get_u16();
    let _weight = payload.get_u16();
    let body_size = payload.get_u64();
    let properties = decode_properties(&payload)?;
    let user_id = properties.user_id().as_ref().map(ToString::to_string);
    Ok(ContentHeader { class, body_size, properties: payload, user_id })
}

/// Parses content properties in wire encoding.
///
/// # Errors
/// If there is anything else in `bytes`, or headers nested too deep.
pub fn decode_properties(bytes: &[u8]) -> Result<BasicProperties, FrameError> {
    if let Some(table) = nesting::properties_table(bytes)
        && !nesting::is_shallow(table)
    {
        return Err(FrameError::TooDeep);
    }
    match parse_properties(bytes) {
        Ok(([], properties)) => Ok(properties),
        _ => Err(FrameError::Syntax("header")),
    }
}

/// Content properties in wire encoding.
pub fn encode_properties(properties: &BasicProperties) -> Bytes {
    written(gen_properties(properties)(WriteContext::from(Vec::new()))).into()
}

/// Appends a method frame.
pub fn put_method(out: &mut Vec<u8>, channel: u16, method: &AMQPClass) {
    let payload = written(gen_class(method)(WriteContext::from(Vec::new())));
    put_frame(out, FRAME_METHOD, channel, &[&payload]);
}

/// Appends a content header and the body in as many frames as `frame_max` asks for (0: one).
pub fn put_content(out: &mut Vec<u8>, channel: u16, properties: &[u8], body: &[u8], frame_max: u32) {
    let mut fixed = [0; 12];
    fixed[..2].copy_from_slice(&BASIC_CLASS.to_be_bytes());
    fixed[4..].copy_from_slice(&(body.len() as u64).to_be_bytes());
    put_frame(out, FRAME_HEADER, channel, &[&fixed, properties]);
    let payload_max = if frame_max == 0 { usize::MAX } else { frame_max as usize - FRAME_OVERHEAD };
    for part in body.chunks(payload_max) {
        put_frame(out, FRAME_BODY, channel, &[part]);
    }
}

pub fn put_heartbeat(out: &mut Vec<u8>) {
    put_frame(out, FRAME_HEARTBEAT, 0, &[]);
}

fn put_frame(out: &mut Vec<u8>, kind: u8, channel: u16, payload: &[&[u8]]) {
    let size: usize = payload.iter().map(|part| part.len()).sum();
    out.reserve(size + FRAME_OVERHEAD);
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&u32::try_from(size).expect("a frame is smaller than 4 GiB").to_be_bytes());
    for part in payload {
        out.extend_from_slice(part);
    }
    out.push(FRAME_END);
}

fn written(result: Result<WriteContext<Vec<u8>>, GenError>) -> Vec<u8> {
    result.expect("writing to memory does not fail").into_inner().0
}

#[cfg(test)]
mod tests;
