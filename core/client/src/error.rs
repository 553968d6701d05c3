//! Why the admin API did not do what was asked.

use std::fmt;
use std::io;
use std::time::Duration;

use http::StatusCode;
use model::{Problem, format_duration};
use serde::Deserialize;

use crate::AdminUrl;

/// A request that was not answered with success.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection could be made, or it broke before the answer was complete.
    #[error("the admin API at {url} cannot be reached: {reason}")]
    Unreachable { url: AdminUrl, reason: String },
    #[error("the admin API at {url} did not answer within {}", format_duration(*.limit))]
    Silent { url: AdminUrl, limit: Duration },
    /// It said no, and why.
    #[error("{0}")]
    Refused(Refusal),
    /// It answered what this client does not understand.
    #[error("the admin API at {url} answered something unexpected: {reason}")]
    Unexpected { url: AdminUrl, reason: String },
}

/// The API's own words, after RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub title: String,
    pub detail: String,
    /// The fields that break a rule.
    pub errors: Vec<Problem>,
    /// How many others do.
    pub more: usize,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ProblemBody {
    title: String,
    detail: String,
    errors: Vec<Problem>,
    more: usize,
}

impl Error {
    /// Whether nothing is known of what became of the request: it may be tried again.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Silent { .. })
    }

    /// Whether trying again later may help.
    pub fn is_passing(&self) -> bool {
        self.is_unreachable() || self.status().is_some_and(|status| status.is_server_error())
    }

    /// Whether the resource was not as it was demanded to be.
    pub fn is_stale(&self) -> bool {
        self.status() == Some(StatusCode::PRECONDITION_FAILED)
    }

    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// Whether what was sent breaks a rule, whatever the state of the fleet.
    pub fn is_invalid(&self) -> bool {
        self.status() == Some(StatusCode::UNPROCESSABLE_ENTITY)
    }

    /// Whether the resource was not what the change demanded it to be.
    pub fn is_precondition_failed(&self) -> bool {
        self.status() == Some(StatusCode::PRECONDITION_FAILED)
    }

    /// The status of a refusal.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }
}

impl Refusal {
    pub(crate) fn read(status: StatusCode, body: &[u8]) -> Self {
        // What stands between may answer without a problem document.
        let body: ProblemBody = serde_json::from_slice(body).unwrap_or_default();
        Self {
            status,
            title: body.title,
            detail: body.detail,
            errors: body.errors,
            more: body.more,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.detail.as_str(), self.title.as_str()) {
            ("", "") => write!(f, "the admin API answered {}", self.status),
            ("", text) | (text, _) => f.write_str(text),
        }
    }
}

/// The innermost cause of an error, which names what the system said.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    match cause.downcast_ref::<io::Error>() {
        Some(error) if error.raw_os_error().is_some() => error.kind().to_string(),
        _ => cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_speaks_in_the_apis_words_and_names_the_fields() {
        let body = br#"{"type":"x","title":"Invalid","status":422,"detail":"weight: must be from 0 to 1000",
            "errors":[{"field":"weight","rule":"must be from 0 to 1000"}]}"#;
        let refusal = Refusal::read(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(refusal.to_string(), "weight: must be from 0 to 1000");
        assert_eq!(refusal.errors[0].field, "weight");
        assert_eq!(refusal.more, 0);
    }

    #[test]
    fn an_answer_without_words_is_told_by_its_status() {
        let refusal = Refusal::read(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(
            refusal.to_string(),
            "the admin API answered 502 Bad Gateway"
        );
    }
}
