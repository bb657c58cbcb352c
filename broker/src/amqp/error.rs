//! AMQP errors: a reply code, a text, and whether the channel or the whole connection ends (AMQP 0-9-1, 1.2 and
//! 2.2.4).

use amq_protocol::{
    protocol::{AMQPClass, channel, connection},
    types::ShortString,
};

use super::codec::FrameError;
use crate::routing::Refusal;

/// Why a channel or a connection is closed by the broker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} - {text}", .code.name())]
pub(super) struct AmqpError {
    pub(super) code: ReplyCode,
    /// What was wrong, without the code's name.
    pub(super) text: String,
    /// Class and method that caused it; zeros if none did.
    pub(super) cause: (u16, u16),
}

/// What an error ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Channel,
    Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyCode {
    AccessRefused,
    NotFound,
    ResourceLocked,
    PreconditionFailed,
    FrameError,
    SyntaxError,
    CommandInvalid,
    ChannelError,
    UnexpectedFrame,
    NotAllowed,
    NotImplemented,
    InternalError,
}

impl ReplyCode {
    pub(super) fn number(self) -> u16 {
        match self {
            Self::AccessRefused => 403,
            Self::NotFound => 404,
            Self::ResourceLocked => 405,
            Self::PreconditionFailed => 406,
            Self::FrameError => 501,
            Self::SyntaxError => 502,
            Self::CommandInvalid => 503,
            Self::ChannelError => 504,
            Self::UnexpectedFrame => 505,
            Self::NotAllowed => 530,
            Self::NotImplemented => 540,
            Self::InternalError => 541,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AccessRefused => "ACCESS_REFUSED",
            Self::NotFound => "NOT_FOUND",
            Self::ResourceLocked => "RESOURCE_LOCKED",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::FrameError => "FRAME_ERROR",
            Self::SyntaxError => "SYNTAX_ERROR",
            Self::CommandInvalid => "COMMAND_INVALID",
            Self::ChannelError => "CHANNEL_ERROR",
            Self::UnexpectedFrame => "UNEXPECTED_FRAME",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }

    /// The specification's "soft" errors end a channel, the "hard" ones a connection.
    pub(super) fn scope(self) -> Scope {
        match self {
            Self::AccessRefused | Self::NotFound | Self::ResourceLocked | Self::PreconditionFailed => Scope::Channel,
            _ => Scope::Connection,
        }
    }
}

impl AmqpError {
    pub(super) fn new(code: ReplyCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), cause: (0, 0) }
    }

    /// Names the method that caused the error.
    pub(super) fn caused_by(mut self, method: &AMQPClass) -> Self {
        self.cause = (method.get_amqp_class_id(), method.get_amqp_method_id());
        self
    }

    pub(super) fn channel_close(&self) -> AMQPClass {
        AMQPClass::Channel(channel::AMQPMethod::Close(channel::Close {
            reply_code: self.code.number(),
            reply_text: self.reply_text(),
            class_id: self.cause.0,
            method_id: self.cause.1,
        }))
    }

    pub(super) fn connection_close(&self) -> AMQPClass {
        AMQPClass::Connection(connection::AMQPMethod::Close(connection::Close {
            reply_code: self.code.number(),
            reply_text: self.reply_text(),
            class_id: self.cause.0,
            method_id: self.cause.1,
        }))
    }

    /// Code name and text, cut to what a short string holds.
    fn reply_text(&self) -> ShortString {
        let mut text = self.to_string();
        text.truncate(text.floor_char_boundary(usize::from(u8::MAX)));
        text.into()
    }
}

impl From<Refusal> for AmqpError {
    fn from(refusal: Refusal) -> Self {
        use crate::routing::RefusalCode;
        let code = match refusal.code {
            RefusalCode::AccessRefused => ReplyCode::AccessRefused,
            RefusalCode::NotFound => ReplyCode::NotFound,
            RefusalCode::PreconditionFailed => ReplyCode::PreconditionFailed,
            RefusalCode::CommandInvalid => ReplyCode::CommandInvalid,
        };
        Self::new(code, refusal.text)
    }
}

impl From<FrameError> for AmqpError {
    fn from(error: FrameError) -> Self {
        let code = match error {
            FrameError::UnknownType(_) | FrameError::TooLarge { .. } | FrameError::BadEnd(_) => ReplyCode::FrameError,
            FrameError::Syntax(_) | FrameError::TooDeep => ReplyCode::SyntaxError,
            FrameError::PrefetchSize(_) => ReplyCode::NotImplemented,
        };
        let cause = if matches!(error, FrameError::PrefetchSize(_)) { (60, 10) } else { (0, 0) };
        Self { code, text: error.to_string(), cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_to_a_short_string_at_a_character() {
        let error = AmqpError::new(ReplyCode::NotFound, "é".repeat(200));
        let AMQPClass::Channel(channel::AMQPMethod::Close(close)) = error.channel_close() else { panic!() };
        assert_eq!(close.reply_code, 404);
        assert_eq!(close.reply_text.as_str().len(), 254);
        assert!(close.reply_text.as_str().starts_with("NOT_FOUND - é"));
    }
}
