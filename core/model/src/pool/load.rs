//! How much a pool takes, and what waits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Unknown, duration};

/// Where requests wait while every server has as many connections in use as it may.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Queue {
    /// Requests that wait at one balancer, at most. 0 lets none wait.
    pub length: u32,
    /// How long a request waits, at most.
    #[serde(with = "duration::text")]
    pub timeout: Duration,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            length: 1024,
            timeout: Duration::from_secs(5),
            unknown: Unknown::default(),
        }
    }
}

/// What one balancer sends on at the same time, at most. What comes on top is refused at once. Each bound is off at 0.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Circuit {
    /// Requests in flight to the pool, those that wait included.
    pub requests: u32,
    /// Requests in flight to each server: one that has as many is passed over.
    pub server_requests: u32,
    #[serde(flatten)]
    pub unknown: Unknown,
}
