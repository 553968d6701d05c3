//! The periods that every process of a fleet must agree on.

use std::time::Duration;

/// How often an instance reports, give or take some jitter.
pub const REPORT_PERIOD: Duration = Duration::from_secs(1);

/// An instance that has not reported for so long is lost.
pub const LOST_AFTER: Duration = REPORT_PERIOD.saturating_mul(3);

/// Within how long after the registry's last word it is noticed that its connection is dead, however silently it died.
pub const NOTICED_WITHIN: Duration = Duration::from_secs(4);

/// The silence after which the leader forgets an instance, where its operator names no other: from then on
/// nobody waits for it.
pub const FORGET_AFTER: Duration = Duration::from_secs(600);

/// Within how long after a leader's sudden end another one leads, where the operator names no other time.
pub const TAKEOVER: Duration = Duration::from_secs(3);

/// The shortest and the longest time that an operator may name: a pause of a machine should not depose a leader, and a fleet
/// should not be without one for long.
pub const TAKEOVER_BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How long a candidate waits at most before it asks for the lease again.
pub(crate) const CANDIDACY_PERIOD: Duration = Duration::from_millis(250);

/// How long the lease lasts without a renewal, where the operator names no other take-over: what is left of one for the next
/// candidate to ask. How old a heartbeat may be does not follow from it.
pub const LEASE: Duration = TAKEOVER.saturating_sub(CANDIDACY_PERIOD);

/// How often at least the leader renews the lease, which publishes the heartbeat. Everybody counts on it, whatever a lease
/// lasts.
pub const HEARTBEAT_PERIOD: Duration = Duration::from_secs(1);
