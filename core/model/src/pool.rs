//! A pool: servers that answer the same requests, and how they are chosen, inspected and retried.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{PoolId, Unknown, duration};

/// How a server is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Smooth weighted round robin, exact over all threads of a balancer.
    #[default]
    RoundRobin,
}

/// A pool, as desired. Every field but the id has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    pub id: PoolId,
    #[serde(default)]
    pub algorithm: Algorithm,
    #[serde(default)]
    pub health: HealthCheck,
    #[serde(default)]
    pub retry: Retry,
    #[serde(default)]
    pub timeouts: Timeouts,
    #[serde(default)]
    pub guard: Guard,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Pool {
    /// A pool with every default.
    pub fn new(id: PoolId) -> Self {
        Self {
            id,
            algorithm: Algorithm::default(),
            health: HealthCheck::default(),
            retry: Retry::default(),
            timeouts: Timeouts::default(),
            guard: Guard::default(),
            unknown: Unknown::default(),
        }
    }
}

/// What a health check speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// A GET whose status must be in the expected ranges.
    #[default]
    Http,
    /// A TCP connection that is accepted.
    Tcp,
    /// No inspection: every server counts as up.
    None,
}

/// How the pool's servers are inspected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    pub kind: CheckKind,
    /// The origin-form target of the GET.
    pub path: String,
    /// The Host field; the server's address where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
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

/// When a failed try is made again on another server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// Tries after the first, at most. 0 turns retries off.
    pub retries: u32,
    /// The largest request body, in bytes, that is kept for sending it again.
    pub replay_bytes: usize,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            retries: 2,
            replay_bytes: 64 * 1024,
            unknown: Unknown::default(),
        }
    }
}

/// How long each part of a request may take at the servers' side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timeouts {
    /// To establish a connection.
    #[serde(with = "duration::text")]
    pub connect: Duration,
    /// From a sent request to the response's first byte, while another server may still be tried.
    #[serde(with = "duration::text")]
    pub per_try: Duration,
    /// From the request's arrival to the response's first byte, all tries together.
    #[serde(with = "duration::text")]
    pub response: Duration,
    /// Without a byte in either direction once a body is under way.
    #[serde(with = "duration::text")]
    pub idle: Duration,
    /// For requests in flight to a server that is drained or removed.
    #[serde(with = "duration::text")]
    pub drain: Duration,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            per_try: Duration::from_secs(5),
            response: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            unknown: Unknown::default(),
        }
    }
}

/// What protects the pool from a broken registry or source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Guard {
    /// A change that takes away at least two servers, and more than this share of them, and is not an
    /// operator's own, is held until an operator confirms it. 0 to 1; 1 holds nothing.
    pub withdrawal_share: f64,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            withdrawal_share: 0.5,
            unknown: Unknown::default(),
        }
    }
}
