//! One incarnation of a server under inspection: what its probes said, and what the registry says of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{Change, Health, HealthCheck, Pool, Revision, Server, ServerKey, Stamped, Verdict};
use policy::{Grounds, RiseFall};

/// One probe to be made.
#[derive(Debug, Clone)]
pub(in crate::reconcile::health) struct Assignment {
    pub(in crate::reconcile::health) key: ServerKey,
    pub(in crate::reconcile::health) incarnation: Revision,
    pub(in crate::reconcile::health) address: SocketAddr,
    pub(in crate::reconcile::health) pool: Arc<Stamped<Pool>>,
}

impl Assignment {
    pub(in crate::reconcile::health) fn check(&self) -> &HealthCheck {
        &self.pool.value.health
    }
}

/// A server that is to be inspected, as a snapshot shows it.
pub(super) struct Sighting<'a> {
    pub(super) key: &'a ServerKey,
    pub(super) server: &'a Stamped<Server>,
    pub(super) pool: Arc<Stamped<Pool>>,
    pub(super) recorded: Health,
    /// Whether `recorded` is later than what was written last.
    pub(super) trusted: bool,
}

/// One incarnation of a server under inspection.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) incarnation: Revision,
    pub(super) address: SocketAddr,
    pub(super) pool: Arc<Stamped<Pool>>,
    pub(super) state: RiseFall,
    /// Why a probe failed last.
    pub(super) reason: String,
    /// What the registry says of it.
    pub(super) recorded: Health,
    /// Its last regular turn, and the one it waits for.
    pub(super) turn: Option<u64>,
    pub(super) planned: Option<u64>,
    pub(super) doubted: bool,
    /// The grounds of the probe under way.
    pub(super) flight: Option<Grounds>,
    pub(super) begun: Option<Duration>,
}

impl Subject {
    pub(super) fn new(sighting: Sighting<'_>) -> Self {
        Self {
            incarnation: sighting.server.incarnation,
            address: sighting.server.value.address,
            pool: sighting.pool,
            state: RiseFall::inherited(sighting.recorded),
            reason: String::new(),
            recorded: sighting.recorded,
            turn: None,
            planned: None,
            doubted: false,
            flight: None,
            begun: None,
        }
    }

    /// Takes over the pool as it is now; answers whether that moves the server's turns.
    pub(super) fn adopt(&mut self, pool: Arc<Stamped<Pool>>) -> bool {
        let changed = self.pool.value.health.interval != pool.value.health.interval;
        self.pool = pool;
        if changed {
            self.turn = None;
        }
        changed
    }

    /// Doubt that came while the probe was under way makes its failure count, but is not refuted by its
    /// success.
    pub(super) fn take_in(
        &mut self,
        outcome: Result<(), String>,
        flight: Grounds,
    ) -> Option<Health> {
        let succeeded = outcome.is_ok();
        if let Err(reason) = outcome {
            self.reason = reason;
        }
        let suspected = self.doubted || flight == Grounds::Suspicion;
        self.doubted &= succeeded;
        let check = &self.pool.value.health;
        self.state.observe(succeeded, grounds(suspected), check)
    }

    /// Sets out on a probe.
    pub(super) fn launch(&mut self, key: ServerKey, lapsed: bool, now: Duration) -> Assignment {
        let suspected = std::mem::take(&mut self.doubted) || lapsed;
        self.flight = Some(grounds(suspected));
        self.turn = self.planned.take().or(self.turn);
        self.begun = Some(now);
        Assignment {
            incarnation: self.incarnation,
            address: self.address,
            pool: Arc::clone(&self.pool),
            key,
        }
    }

    /// The verdict that the registry does not have yet.
    pub(super) fn unwritten(&self, key: &ServerKey) -> Option<Change> {
        let health = self.state.health();
        let reason = match health {
            Health::Down => &self.reason,
            Health::Up | Health::Unknown => "",
        };
        let missing = health != self.recorded && health != Health::Unknown;
        missing.then(|| verdict(key, self.incarnation, health, reason))
    }
}

fn grounds(suspected: bool) -> Grounds {
    if suspected {
        Grounds::Suspicion
    } else {
        Grounds::Routine
    }
}

pub(super) fn verdict(
    key: &ServerKey,
    incarnation: Revision,
    health: Health,
    reason: &str,
) -> Change {
    let verdict = Verdict {
        incarnation,
        health,
        reason: reason.into(),
    };
    Change::Verdict(key.clone(), Some(verdict))
}
