//! When a balancer takes a server out by what it sees itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Unknown, duration};

/// When a server is ejected for a while because of how it answers. Each rule is off at 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outlier {
    /// Failures in a row to connect or to answer, statuses 502, 503 and 504 included.
    pub gateway_failures: u32,
    /// Statuses of 500 or above in a row, failures to connect or to answer included.
    pub server_errors: u32,
    /// Ejected is whose success rate in an interval lies this many standard deviations below the mean of the pool's servers.
    pub success_rate_deviations: f64,
    /// Ejected is whose mean latency in an interval is above this many times the median of the pool's servers.
    pub latency_factor: f64,
    /// Over what time success rates and latencies are compared.
    #[serde(with = "duration::text")]
    pub interval: Duration,
    /// The fewest servers that are compared with one another.
    pub servers_min: u32,
    /// The fewest requests in an interval by which a server is compared.
    pub requests_min: u32,
    /// How long the first ejection lasts; each further one lasts longer by as much.
    #[serde(with = "duration::text")]
    pub ejection: Duration,
    /// The longest that an ejection lasts.
    #[serde(with = "duration::text")]
    pub ejection_max: Duration,
    /// The share of an ejection's time by which it varies, 0 to 1.
    pub jitter: f64,
    /// The share of the servers that may be picked, those that are down, draining or disabled aside, that may be ejected at the same
    /// time: 0 to 1, rounded down.
    pub ejected_share: f64,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Default for Outlier {
    fn default() -> Self {
        Self {
            gateway_failures: 5,
            server_errors: 0,
            success_rate_deviations: 1.9,
            latency_factor: 0.0,
            interval: Duration::from_secs(10),
            servers_min: 5,
            requests_min: 100,
            ejection: Duration::from_secs(30),
            ejection_max: Duration::from_secs(300),
            jitter: 0.1,
            ejected_share: 0.5,
            unknown: Unknown::default(),
        }
    }
}
