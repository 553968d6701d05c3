//! How a pool's servers are inspected.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Unknown, duration};

/// What a health check speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// A GET whose status must be in the expected ranges.
    #[default]
    Http,
    /// A TCP connection that is accepted.
    Tcp,
    /// A call of `grpc.health.v1.Health/Check` over HTTP/2, which must find the service to be serving.
    Grpc,
    /// No inspection: every server counts as up.
    None,
}

impl CheckKind {
    pub const ALL: [Self; 4] = [Self::Http, Self::Tcp, Self::Grpc, Self::None];

    /// The settings that a check of this kind does not ask by, and that have to be left at their defaults with it.
    pub fn foreign(self) -> &'static [&'static str] {
        match self {
            Self::Http => &["service"],
            Self::Tcp => &["path", "host", "status", "service"],
            Self::Grpc => &["path", "status"],
            // They are kept for when there is inspection again.
            Self::None => &[],
        }
    }
}

/// How the pool's servers are inspected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    pub kind: CheckKind,
    /// The origin-form target of the GET.
    pub path: String,
    /// The Host field, or `:authority`; the server's address where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The name of the service that a gRPC check asks for; empty for the server as a whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    #[serde(with = "duration::text")]
    pub interval: Duration,
    #[serde(with = "duration::text")]
    pub timeout: Duration,
    /// Successes in a row that bring a server up. A new one needs a single success.
    pub rise: u32,
    /// Failures in a row that take a server down.
    pub fall: u32,
    /// The share of the interval by which each probe's time varies, 0 to 1.
    pub jitter: f64,
    /// The statuses that count as success.
    pub status: Vec<StatusRange>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            kind: CheckKind::default(),
            path: "/".into(),
            host: None,
            service: String::new(),
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
            jitter: 0.1,
            status: vec![StatusRange {
                first: 200,
                last: 399,
            }],
            unknown: Unknown::default(),
        }
    }
}

/// An inclusive range of HTTP statuses, written `"200-299"` or `"204"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StatusRange {
    pub first: u16,
    pub last: u16,
}

impl StatusRange {
    pub fn contains(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

impl FromStr for StatusRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let status = |part: &str| {
            part.parse()
                .ok()
                .filter(|status| (100..=599).contains(status))
        };
        match (status(first), status(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            _ => Err(format!(
                "{text:?} is not a status or a range such as \"200-399\""
            )),
        }
    }
}

impl TryFrom<String> for StatusRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<StatusRange> for String {
    fn from(range: StatusRange) -> Self {
        range.to_string()
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}
