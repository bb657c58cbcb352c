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
    /// 406, closes the channel.
    PreconditionFailed,
    /// 503, closes the connection.
    CommandInvalid,
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AccessRefused => "ACCESS_REFUSED",
            Self::NotFound => "NOT_FOUND",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::CommandInvalid => "COMMAND_INVALID",
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
