//! A pool: servers that answer the same requests, and how they are chosen, inspected and retried.

mod hashing;
mod inspection;
mod load;
mod outlier;
mod paths;
mod probes;
mod retry;
mod sticky;
mod tls;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{LimitId, PoolId, Unknown, duration};

pub use hashing::{HashOn, Hashing};
pub use inspection::{CheckKind, HealthCheck, StatusRange};
pub use load::{Circuit, Queue};
pub use outlier::Outlier;
pub use paths::Paths;
pub use probes::{Probes, ProbesFrom};
pub use retry::Retry;
pub use sticky::{SameSite, Sticky, StickyKind};
pub use tls::{PoolTls, Protocol};

/// How a server is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Smooth weighted round robin, exact over all threads of a balancer.
    #[default]
    RoundRobin,
    /// By chance, in proportion to the weights.
    Random,
    /// The fewest requests in flight for its weight, exact over all threads of a balancer.
    LeastConnections,
    /// The same by what this balancer has in flight, and a part of what the others of the fleet have: the damped sum of that, divided by
    /// the number of all balancers.
    FleetLeastConnections,
    /// The better of two by chance: the smaller product of latency (peak EWMA) and requests in flight.
    P2c,
    /// By the client's address: the same server at every balancer.
    IpHash,
    /// By a part of the request, as `hash` says: the same server at every balancer.
    Hash,
}

impl Algorithm {
    pub const ALL: [Self; 7] = [
        Self::RoundRobin,
        Self::Random,
        Self::LeastConnections,
        Self::FleetLeastConnections,
        Self::P2c,
        Self::IpHash,
        Self::Hash,
    ];
}

/// A pool, as desired. Every field but the id has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    pub id: PoolId,
    #[serde(default)]
    pub algorithm: Algorithm,
    #[serde(default)]
    pub hash: Hashing,
    #[serde(default)]
    pub health: HealthCheck,
    #[serde(default)]
    pub outlier: Outlier,
    #[serde(default)]
    pub retry: Retry,
    #[serde(default)]
    pub timeouts: Timeouts,
    #[serde(default)]
    pub queue: Queue,
    #[serde(default)]
    pub circuit: Circuit,
    /// How long a server that has just come up gets less than its share: from a tenth on, growing evenly. 0 turns it off. `ip_hash`
    /// and `hash` have none: there a server gets all of its share at once, since each balancer counts by its own clock, and they must
    /// agree.
    #[serde(default, with = "duration::text")]
    pub slow_start: Duration,
    /// Below this share of servers that are not down, all of them are used: the verdicts are then more likely wrong than right. Backups
    /// neither count nor are used then. 0 turns it off.
    #[serde(default = "default_panic_threshold")]
    pub panic_threshold: f64,
    /// The longest body of a request, in bytes. 0 takes any.
    #[serde(default)]
    pub max_body_bytes: u64,
    #[serde(default)]
    pub guard: Guard,
    #[serde(default)]
    pub probes: Probes,
    #[serde(default)]
    pub paths: Paths,
    #[serde(default)]
    pub protocol: Protocol,
    #[serde(default)]
    pub tls: PoolTls,
    /// Each of which has to let a request pass.
    #[serde(default)]
    pub limits: Vec<LimitId>,
    #[serde(default)]
    pub sticky: Sticky,
    #[serde(flatten)]
    pub unknown: Unknown,
}

fn default_panic_threshold() -> f64 {
    0.5
}

impl Pool {
    /// Whether every orchestrator probes its servers, and a majority decides on them.
    pub fn decides_by_quorum(&self) -> bool {
        self.probes.from == ProbesFrom::Quorum && self.health.kind != CheckKind::None
    }

    /// A pool with every default.
    pub fn new(id: PoolId) -> Self {
        Self {
            id,
            algorithm: Algorithm::default(),
            hash: Hashing::default(),
            health: HealthCheck::default(),
            outlier: Outlier::default(),
            retry: Retry::default(),
            timeouts: Timeouts::default(),
            queue: Queue::default(),
            circuit: Circuit::default(),
            slow_start: Duration::ZERO,
            panic_threshold: default_panic_threshold(),
            max_body_bytes: 0,
            guard: Guard::default(),
            probes: Probes::default(),
            paths: Paths::default(),
            protocol: Protocol::default(),
            tls: PoolTls::default(),
            limits: Vec::new(),
            sticky: Sticky::default(),
            unknown: Unknown::default(),
        }
    }

    /// The fields that this version does not know, wherever it has some, each part under a name that stays the same however many
    /// parts there are.
    pub fn unknown_mut(&mut self) -> Vec<(String, &mut Unknown)> {
        let Self {
            id: _,
            algorithm: _,
            hash,
            health,
            outlier,
            retry,
            timeouts,
            queue,
            circuit,
            slow_start: _,
            panic_threshold: _,
            max_body_bytes: _,
            guard,
            probes,
            paths: _,
            protocol: _,
            tls,
            limits: _,
            sticky,
            unknown,
        } = self;
        let parts = [
            ("hash", &mut hash.unknown),
            ("health", &mut health.unknown),
            ("outlier", &mut outlier.unknown),
            ("retry", &mut retry.unknown),
            ("timeouts", &mut timeouts.unknown),
            ("queue", &mut queue.unknown),
            ("circuit", &mut circuit.unknown),
            ("guard", &mut guard.unknown),
            ("probes", &mut probes.unknown),
            ("tls", &mut tls.unknown),
            ("sticky", &mut sticky.unknown),
            ("", unknown),
        ];
        parts.map(|(name, part)| (name.to_owned(), part)).into()
    }
}

/// How long each part of a request may take at the servers' side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timeouts {
    /// To establish a connection.
    #[serde(with = "duration::text")]
    pub connect: Duration,
    /// From a sent request to the response's first byte, while another server may still be tried. Where it is no shorter than
    /// `response`, a try may take all the time that there is: a pool that answers within less than this default need not name it.
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

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::de::DeserializeOwned;

    use super::*;
    use crate::{Alpn, ClientVerify, TlsVersion};

    /// All values that can be read, by what is said to who writes none of them: "unknown variant `?`, expected one of `a`, `b`".
    fn all<T: DeserializeOwned + Debug>() -> Vec<T> {
        let read = |word: &str| serde_json::from_value::<T>(word.into());
        let error = read("?").expect_err("no value").to_string();
        let words = error.split('`').skip(3).step_by(2);
        words.map(|word| read(word).expect(word)).collect()
    }

    #[test]
    fn the_lists_of_what_a_setting_can_be_leave_nothing_out() {
        assert_eq!(Algorithm::ALL.to_vec(), all());
        assert_eq!(Protocol::ALL.to_vec(), all());
        assert_eq!(CheckKind::ALL.to_vec(), all());
        assert_eq!(TlsVersion::ALL.to_vec(), all());
        assert_eq!(Alpn::ALL.to_vec(), all());
        assert_eq!(ClientVerify::ALL.to_vec(), all());
    }
}
