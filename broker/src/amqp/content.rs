//! Puts a message together again: `basic.publish`, content header, body frames (AMQP 0-9-1, 2.3.5).

use amq_protocol::protocol::{
    AMQPClass,
    basic::{self, Publish},
};
use bytes::{Bytes, BytesMut};

use super::{
    codec::{BASIC_CLASS, ContentHeader},
    error::{AmqpError, ReplyCode},
};

/// Bytes reserved for a body before any of it has arrived: what a header announces costs nothing yet.
const FIRST_RESERVE: u64 = 64 * 1024;

/// One complete request on a channel.
#[derive(Debug, PartialEq)]
pub(super) enum Request {
    Method(AMQPClass),
    Publish(Publish, Content),
    /// A publish whose body, of `size` bytes, is larger than the broker takes. Its frames are discarded.
    TooLarge {
        size: u64,
    },
    /// The connection ends; there is nothing after this.
    ConnectionEnds,
}

/// A message's properties, in wire encoding, and its body.
#[derive(Debug, PartialEq)]
pub(super) struct Content {
    pub(super) properties: Bytes,
    pub(super) user_id: Option<String>,
    pub(super) body: Bytes,
}

impl Request {
    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        let fixed = size_of::<Self>();
        match self {
            Self::Publish(_, content) => fixed + content.properties.len() + content.body.len(),
            Self::Method(_) | Self::TooLarge { .. } | Self::ConnectionEnds => fixed,
        }
    }
}

/// Where a channel is between the frames of a message.
#[derive(Debug, Default)]
pub(super) enum Assembly {
    #[default]
    Idle,
    Header(Publish),
    Body {
        publish: Publish,
        header: ContentHeader,
        body: BytesMut,
    },
    Discarding {
        remaining: u64,
    },
}

impl Assembly {
    /// # Errors
    /// 505 inside a message.
    pub(super) fn method(&mut self, method: AMQPClass) -> Result<Option<Request>, AmqpError> {
        if !matches!(self, Self::Idle) {
            return Err(unexpected("a method frame", "the rest of a message"));
        }
        if let AMQPClass::Basic(basic::AMQPMethod::Publish(publish)) = method {
            *self = Self::Header(publish);
            return Ok(None);
        }
        Ok(Some(Request::Method(method)))
    }

    /// `size_max` in bytes of body.
    ///
    /// # Errors
    /// 505 unless a publish came just before; 505 for content of another class.
    pub(super) fn header(&mut self, header: ContentHeader, size_max: u64) -> Result<Option<Request>, AmqpError> {
        let publish = match std::mem::take(self) {
            Self::Header(publish) => publish,
            Self::Idle => return Err(unexpected("a content header", "a method frame")),
            Self::Body { .. } | Self::Discarding { .. } => return Err(unexpected("a content header", "a body frame")),
        };
        if header.class != BASIC_CLASS {
            return Err(unexpected(&format!("a content header of class {}", header.class), "one of class 60"));
        }
        if header.body_size > size_max {
            *self = Self::Discarding { remaining: header.body_size };
            return Ok(Some(Request::TooLarge { size: header.body_size }));
        }
        let body = BytesMut::with_capacity(header.body_size.min(FIRST_RESERVE) as usize);
        Ok(self.complete_or_wait(publish, header, body))
    }

    /// # Errors
    /// 505 unless a body is due, or if more of it comes than its header announced.
    pub(super) fn body(&mut self, part: &[u8]) -> Result<Option<Request>, AmqpError> {
        let size = part.len() as u64;
        match std::mem::take(self) {
            Self::Body { publish, header, mut body } => {
                if body.len() as u64 + size > header.body_size {
                    return Err(unexpected("more body than announced", "a method frame"));
                }
                body.extend_from_slice(part);
                Ok(self.complete_or_wait(publish, header, body))
            }
            Self::Discarding { remaining } if size < remaining => {
                *self = Self::Discarding { remaining: remaining - size };
                Ok(None)
            }
            Self::Discarding { remaining } if size == remaining => Ok(None),
            Self::Discarding { .. } => Err(unexpected("more body than announced", "a method frame")),
            Self::Idle => Err(unexpected("a body frame", "a method frame")),
            Self::Header(_) => Err(unexpected("a body frame", "a content header")),
        }
    }

    fn complete_or_wait(&mut self, publish: Publish, header: ContentHeader, body: BytesMut) -> Option<Request> {
        if (body.len() as u64) < header.body_size {
            *self = Self::Body { publish, header, body };
            return None;
        }
        let ContentHeader { properties, user_id, .. } = header;
        // A copy, so that a small message does not keep a whole read buffer alive.
        let properties = Bytes::copy_from_slice(&properties);
        Some(Request::Publish(publish, Content { properties, user_id, body: body.freeze() }))
    }
}

fn unexpected(got: &str, expected: &str) -> AmqpError {
    AmqpError::new(ReplyCode::UnexpectedFrame, format!("expected {expected}, got {got} instead"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish() -> AMQPClass {
        AMQPClass::Basic(basic::AMQPMethod::Publish(Publish::default()))
    }

    fn header(body_size: u64) -> ContentHeader {
        ContentHeader { class: BASIC_CLASS, body_size, properties: Bytes::from_static(&[0, 0]), user_id: None }
    }

    #[test]
    fn a_message_is_complete_with_the_last_byte_of_its_body() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.method(publish()), Ok(None));
        assert_eq!(assembly.header(header(5), 10), Ok(None));
        assert_eq!(assembly.body(b"abc"), Ok(None));
        let Ok(Some(Request::Publish(_, content))) = assembly.body(b"de") else { panic!() };
        assert_eq!(content.body.as_ref(), b"abcde");
        assert_eq!(assembly.method(publish()), Ok(None));
        assert!(matches!(assembly.header(header(0), 10), Ok(Some(Request::Publish(..)))), "an empty body has no frame");
    }

    #[test]
    fn frames_out_of_sequence_are_refused() {
        let code = |result: Result<_, AmqpError>| result.unwrap_err().code;
        assert_eq!(code(Assembly::default().body(b"x")), ReplyCode::UnexpectedFrame);
        assert_eq!(code(Assembly::default().header(header(1), 10)), ReplyCode::UnexpectedFrame);
        let mut assembly = Assembly::Header(Publish::default());
        assert_eq!(code(assembly.method(publish())), ReplyCode::UnexpectedFrame);
        assert_eq!(code(assembly.body(b"x")), ReplyCode::UnexpectedFrame);
        let mut assembly = Assembly::Header(Publish::default());
        assert_eq!(assembly.header(header(2), 10), Ok(None));
        assert_eq!(code(assembly.body(b"abc")), ReplyCode::UnexpectedFrame);
    }

    #[test]
    fn a_body_beyond_the_limit_is_reported_at_once_and_discarded() {
        let mut assembly = Assembly::Header(Publish::default());
        assert_eq!(assembly.header(header(11), 10), Ok(Some(Request::TooLarge { size: 11 })));
        assert_eq!(assembly.body(&[0; 6]), Ok(None));
        assert_eq!(assembly.body(&[0; 5]), Ok(None));
        assert_eq!(assembly.method(publish()), Ok(None));
    }
}
