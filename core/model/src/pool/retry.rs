//! When a failed try is made again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::StatusRange;
use crate::{Unknown, duration};

/// When a failed try is made again on another server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// Tries after the first that may reach a server, at most. One for which there was no connection does not count, up to ten of
    /// them. 0 turns retries off.
    pub retries: u32,
    /// The largest request body, in bytes, that is kept for sending it again.
    pub replay_bytes: usize,
    /// The statuses after which an idempotent request is tried again: of 502, 503 and 504.
    pub statuses: Vec<StatusRange>,
    /// Retries of one balancer, as a share of its requests to the pool over the last ten seconds, 0 to 1.
    pub budget_share: f64,
    /// Retries a second that one balancer may make however few requests there are, over the same ten seconds: 3 a second are 30 in
    /// any ten seconds, and these may come all at once.
    pub budget_min: u32,
    /// The longest wait before the first retry that waits; each further one may take twice as long. How long it really is, chance
    /// decides, from nothing on. A failed connection is tried again at once.
    #[serde(with = "duration::text")]
    pub backoff: Duration,
    /// The longest wait before any retry.
    #[serde(with = "duration::text")]
    pub backoff_max: Duration,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            retries: 2,
            replay_bytes: 64 * 1024,
            statuses: Vec::new(),
            budget_share: 0.2,
            budget_min: 3,
            backoff: Duration::from_millis(25),
            backoff_max: Duration::from_millis(250),
            unknown: Unknown::default(),
        }
    }
}
