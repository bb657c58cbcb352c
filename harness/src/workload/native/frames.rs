//! Frames to bytes and back, for the native client.

use amq_protocol::{
    frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame, parse_frame},
    protocol::{AMQPClass, BasicProperties},
};

/// A frame's head: type, channel, length.
const HEAD_BYTES: usize = 7;
/// Head and end octet.
const OVERHEAD_BYTES: usize = HEAD_BYTES + 1;
/// What the handshake agrees on at most; bodies are cut to fit.
pub const FRAME_BYTES_MAX: u32 = 131_072;
const FRAME_BODY: u8 = 3;
const FRAME_END: u8 = 0xCE;

/// Appends `frame` to `bytes`.
pub fn encode(frame: &AMQPFrame, bytes: &mut Vec<u8>) {
    let context = WriteContext::from(std::mem::take(bytes));
    let (written, _) = gen_frame(frame)(context).expect("a Vec takes any frame").into_inner();
    *bytes = written;
}

/// Appends a method with its content: header and as many body frames as it takes.
pub fn encode_content(channel: u16, method: AMQPClass, properties: BasicProperties, body: &[u8], bytes: &mut Vec<u8>) {
    encode(&AMQPFrame::Method(channel, method), bytes);
    let header = AMQPContentHeader { class_id: 60, body_size: body.len() as u64, properties };
    encode(&AMQPFrame::Header(channel, header), bytes);
    for part in body.chunks(FRAME_BYTES_MAX as usize - OVERHEAD_BYTES) {
        bytes.push(FRAME_BODY);
        bytes.extend_from_slice(&channel.to_be_bytes());
        bytes.extend_from_slice(&u32::try_from(part.len()).expect("bounded by frame-max").to_be_bytes());
        bytes.extend_from_slice(part);
        bytes.push(FRAME_END);
    }
}

/// Cuts a byte stream into frames.
pub struct FrameReader {
    bytes: Vec<u8>,
    /// Bytes at the front that were taken already.
    taken: usize,
}

impl FrameReader {
    pub fn new() -> Self {
        Self { bytes: Vec::new(), taken: 0 }
    }

    /// Where to append what was read.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.reserve(64 * 1024);
        &mut self.bytes
    }

    /// The next whole frame, if there is one.
    ///
    /// # Errors
    /// When the bytes are no frame: the broker broke the protocol.
    pub fn take(&mut self) -> Result<Option<AMQPFrame>, String> {
        let bytes = &self.bytes[self.taken..];
        if bytes.first() == Some(&b'A') {
            return Err("the broker refused the protocol header".into());
        }
        let Some(head) = bytes.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let Some(whole) = bytes.get(..length + OVERHEAD_BYTES) else { return Ok(None) };
        self.taken += whole.len();
        if head[0] == FRAME_BODY && whole[whole.len() - 1] == FRAME_END {
            let channel = u16::from_be_bytes([head[1], head[2]]);
            return Ok(Some(AMQPFrame::Body(channel, whole[HEAD_BYTES..whole.len() - 1].to_vec())));
        }
        match parse_frame(whole) {
            Ok((_, frame)) => Ok(Some(frame)),
            Err(error) => Err(format!("malformed frame from the broker: {error}")),
        }
    }
}
