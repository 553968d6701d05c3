//! One incarnation of a server under inspection: what its probes said, and what the registry says of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{Health, HealthCheck, Pool, Revision, Server, ServerKey, Stamped, Verdict};
use policy::{Grounds, RiseFall};
use probe::Failure;

/// What a probe is made for. A server has at most one under way for each: who is suspected does not wait for a
/// probe that may take until its timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::reconcile::health) enum Errand {
    /// Its turn, or that it is new.
    Turn,
    /// Somebody suspects it, or it missed a renewal.
    Doubt,
}

/// One probe to be made.
#[derive(Debug, Clone)]
pub(in crate::reconcile::health) struct Assignment {
    pub(in crate::reconcile::health) key: ServerKey,
    pub(in crate::reconcile::health) errand: Errand,
    pub(in crate::reconcile::health) incarnation: Revision,
    pub(in crate::reconcile::health) address: SocketAddr,
    /// The name that the server was added by.
    pub(in crate::reconcile::health) hostname: Option<Arc<str>>,
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

/// A probe under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flight {
    began: Duration,
    grounds: Grounds,
    /// Whether the other probe decided meanwhile: what this one finds may be from before that.
    outdated: bool,
}

/// One incarnation of a server under inspection.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) incarnation: Revision,
    pub(super) address: SocketAddr,
    pub(super) hostname: Option<Arc<str>>,
    pub(super) pool: Arc<Stamped<Pool>>,
    pub(super) state: RiseFall,
    /// Why a probe failed last.
    pub(super) reason: String,
    /// When the first of the last probes, none of which got any answer, had waited for half of its time: an answer from before
    /// that may be the last of a server that was lost while it was probed.
    pub(super) silent_since: Option<Duration>,
    /// For how long there was none when the last one ended.
    pub(super) silent: Duration,
    /// What the registry says of it.
    pub(super) recorded: Health,
    /// Its last regular turn, and the one it waits for.
    pub(super) turn: Option<u64>,
    pub(super) planned: Option<u64>,
    pub(super) doubted: bool,
    /// The probes under way.
    pub(super) on_turn: Option<Flight>,
    pub(super) on_doubt: Option<Flight>,
    /// When it was last probed since somebody suspected it.
    pub(super) suspected: Option<Duration>,
}

impl Subject {
    pub(super) fn new(sighting: Sighting<'_>) -> Self {
        Self {
            incarnation: sighting.server.incarnation,
            address: sighting.server.value.address,
            hostname: hostname(sighting.server),
            pool: sighting.pool,
            state: RiseFall::inherited(sighting.recorded),
            reason: String::new(),
            silent_since: None,
            silent: Duration::ZERO,
            recorded: sighting.recorded,
            turn: None,
            planned: None,
            doubted: false,
            on_turn: None,
            on_doubt: None,
            suspected: None,
        }
    }

    /// Takes over the server's name and its pool as they are now; answers whether that moves the server's turns.
    pub(super) fn adopt(&mut self, server: &Stamped<Server>, pool: Arc<Stamped<Pool>>) -> bool {
        if self.hostname.as_deref() != server.value.hostname.as_deref() {
            self.hostname = hostname(server);
        }
        let changed = self.pool.value.health.interval != pool.value.health.interval;
        self.pool = pool;
        if changed {
            self.turn = None;
        }
        changed
    }

    /// What a probe found; answers the verdict where it changed. Doubt that came while it was under way makes
    /// its failure count, but is not refuted by its success.
    pub(super) fn take_in(
        &mut self,
        errand: Errand,
        outcome: Result<(), Failure>,
        now: Duration,
    ) -> Option<Health> {
        let flight = self.flight(errand).take()?;
        if flight.outdated {
            return None;
        }
        let suspected =
            self.doubted || self.on_doubt.is_some() || flight.grounds == Grounds::Suspicion;
        let succeeded = outcome.is_ok();
        self.note_silence(&outcome, flight.began, now);
        if let Err(failure) = outcome {
            self.reason = failure.to_string();
        }
        self.doubted &= succeeded;
        let check = &self.pool.value.health;
        let verdict = self.state.observe(succeeded, grounds(suspected), check)?;
        let others = [&mut self.on_turn, &mut self.on_doubt].into_iter();
        others.flatten().for_each(|other| other.outdated = true);
        Some(verdict)
    }

    fn note_silence(&mut self, outcome: &Result<(), Failure>, began: Duration, now: Duration) {
        let is_silent = outcome.as_ref().is_err_and(Failure::is_silence);
        let half = began + now.saturating_sub(began) / 2;
        let since = is_silent.then(|| *self.silent_since.get_or_insert(half));
        self.silent_since = since;
        self.silent = since.map_or(Duration::ZERO, |since| now - since);
    }

    /// Sets out on a probe.
    pub(super) fn launch(
        &mut self,
        errand: Errand,
        key: ServerKey,
        lapsed: bool,
        now: Duration,
    ) -> Assignment {
        let suspected = match errand {
            Errand::Turn => {
                self.turn = self.planned.take().or(self.turn);
                lapsed
            }
            Errand::Doubt => {
                self.doubted = false;
                self.suspected = Some(now);
                true
            }
        };
        *self.flight(errand) = Some(Flight {
            began: now,
            grounds: grounds(suspected),
            outdated: false,
        });
        Assignment {
            incarnation: self.incarnation,
            address: self.address,
            hostname: self.hostname.clone(),
            pool: Arc::clone(&self.pool),
            key,
            errand,
        }
    }

    fn flight(&mut self, errand: Errand) -> &mut Option<Flight> {
        match errand {
            Errand::Turn => &mut self.on_turn,
            Errand::Doubt => &mut self.on_doubt,
        }
    }

    /// Whether its probes found otherwise than the registry says.
    pub(super) fn is_contrary(&self) -> bool {
        self.is_news(self.state.health())
    }

    /// Whether a verdict is another than the registry's.
    pub(super) fn is_news(&self, health: Health) -> bool {
        health != self.recorded && health != Health::Unknown
    }

    /// What its own probes make of it.
    pub(super) fn verdict(&self) -> Verdict {
        let health = self.state.health();
        let (reason, silent) = match health {
            Health::Down => (self.reason.as_str(), self.silent),
            Health::Up | Health::Unknown => ("", Duration::ZERO),
        };
        Verdict {
            incarnation: self.incarnation,
            health,
            reason: reason.into(),
            silent_ms: u64::try_from(silent.as_millis()).unwrap_or(u64::MAX),
            unknown: model::Unknown::default(),
        }
    }
}

fn hostname(server: &Stamped<Server>) -> Option<Arc<str>> {
    server.value.hostname.as_deref().map(Into::into)
}

fn grounds(suspected: bool) -> Grounds {
    if suspected {
        Grounds::Suspicion
    } else {
        Grounds::Routine
    }
}
