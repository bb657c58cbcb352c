//! What comes from the client: bytes read from the stream, cut into frames.

use std::{cell::Cell, io, rc::Rc, time::Duration};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::codec::{self, Frame, FrameError};
use crate::platform::Platform;

/// Bytes asked of the stream at once.
const READ_SIZE: usize = 64 * 1024;

pub(super) struct Incoming<P, R> {
    platform: P,
    stream: R,
    buffer: BytesMut,
    /// Bytes in a frame, 0 for no limit.
    pub(super) frame_max: u32,
    /// When bytes last arrived, on the platform's monotonic clock.
    heard: Rc<Cell<Duration>>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum IncomingError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl<P: Platform, R: AsyncRead + Unpin> Incoming<P, R> {
    pub(super) fn new(platform: P, stream: R, frame_max: u32) -> Self {
        let heard = Rc::new(Cell::new(platform.now()));
        Self { platform, stream, buffer: BytesMut::new(), frame_max, heard }
    }

    pub(super) fn heard(&self) -> Rc<Cell<Duration>> {
        Rc::clone(&self.heard)
    }

    /// The protocol header, or whatever eight bytes came in its place; `None` if the stream ended before.
    pub(super) async fn protocol_header(&mut self) -> io::Result<Option<[u8; 8]>> {
        loop {
            if let Some(header) = self.buffer.first_chunk() {
                let header = *header;
                drop(self.buffer.split_to(header.len()));
                return Ok(Some(header));
            }
            // Something else than AMQP is answered at its first wrong byte, for it may wait for an answer.
            if !codec::PROTOCOL_HEADER.starts_with(&self.buffer) {
                return Ok(Some([0; 8]));
            }
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The next frame; `None` at the end of the stream. Cancel-safe.
    pub(super) async fn frame(&mut self) -> Result<Option<Frame>, IncomingError> {
        loop {
            if let Some(frame) = codec::decode(&mut self.buffer, self.frame_max)? {
                return Ok(Some(frame));
            }
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Forgets what was read and not yet cut into frames: after bytes that are no frame there is no next one in them.
    pub(super) fn discard(&mut self) {
        self.buffer.clear();
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(READ_SIZE);
        let read = self.stream.read_buf(&mut self.buffer).await?;
        self.heard.set(self.platform.now());
        Ok(read)
    }
}
