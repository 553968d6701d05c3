//! The periods that every process of a fleet must agree on.

use std::time::Duration;

/// How often an instance reports, give or take some jitter.
pub const REPORT_PERIOD: Duration = Duration::from_secs(1);

/// An instance that has not reported for so long is lost.
pub const LOST_AFTER: Duration = REPORT_PERIOD.saturating_mul(3);

/// The silence after which the leader forgets an instance, where its operator names no other: from then on
/// nobody waits for it.
pub const FORGET_AFTER: Duration = Duration::from_secs(600);

/// Within how long after a leader's sudden end another one leads.
pub const TAKEOVER: Duration = Duration::from_secs(3);

/// How long a candidate waits at most before it asks for the lease again.
pub(crate) const CANDIDACY_PERIOD: Duration = Duration::from_millis(250);

/// How long the lease lasts without a renewal: what is left of a take-over for the next candidate to ask.
pub const LEASE: Duration = TAKEOVER.saturating_sub(CANDIDACY_PERIOD);

/// How often the leader renews the lease, which publishes the heartbeat.
pub const HEARTBEAT_PERIOD: Duration = Duration::from_secs(1);
