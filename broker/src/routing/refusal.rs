//! Why a change of metadata is refused, as AMQP names it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A refusal that becomes a channel or connection error at the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code} - {text}")]
pub struct Refusal {
    pub code: RefusalCode,
    /// What was wrong, without the code's name.
    pub text: String,
}

/// The AMQP reply codes that metadata can give (AMQP 0-9-1, 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalCode {
    /// 403, closes the channel.
    AccessRefused,
    /// 404, closes the channel.
    NotFound,
    /// 405, closes the channel.
    ResourceLocked,
    /// 406, closes the channel.
    PreconditionFailed,
    /// 503, closes the connection.
    CommandInvalid,
    /// 540, closes the connection.
    NotImplemented,
}

impl RefusalCode {
    pub fn reply_code(self) -> u16 {
        match self {
            Self::AccessRefused => 403,
            Self::NotFound => 404,
            Self::ResourceLocked => 405,
            Self::PreconditionFailed => 406,
            Self::CommandInvalid => 503,
            Self::NotImplemented => 540,
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AccessRefused => "ACCESS_REFUSED",
            Self::NotFound => "NOT_FOUND",
            Self::ResourceLocked => "RESOURCE_LOCKED",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::CommandInvalid => "COMMAND_INVALID",
            Self::NotImplemented => "NOT_IMPLEMENTED",
        })
    }
}

impl Refusal {
    fn new(code: RefusalCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    pub fn access_refused(text: impl Into<String>) -> Self {
        Self::new(RefusalCode::AccessRefused, text)
    }

    pub fn precondition_failed(text: impl Into<String>) -> Self {
        Self::new(RefusalCode::PreconditionFailed, text)
    }

    pub fn command_invalid(text: impl Into<String>) -> Self {
        Self::new(RefusalCode::CommandInvalid, text)
    }

    pub fn not_implemented(text: impl Into<String>) -> Self {
        Self::new(RefusalCode::NotImplemented, text)
    }

    pub fn no_queue(name: &str) -> Self {
        Self::new(RefusalCode::NotFound, format!("no queue '{name}' in vhost '/'"))
    }

    pub fn no_exchange(name: &str) -> Self {
        Self::new(RefusalCode::NotFound, format!("no exchange '{name}' in vhost '/'"))
    }

    /// A redeclaration that differs from what exists in `argument`.
    pub(super) fn inequivalent(
        argument: &str,
        what: &str,
        name: &str,
        received: impl fmt::Display,
        current: impl fmt::Display,
    ) -> Self {
        Self::precondition_failed(format!(
            "inequivalent arg '{argument}' for {what} '{name}' in vhost '/': received '{received}' but current is \
             '{current}'"
        ))
    }
}
