//! What is going on with one incarnation of a server right now: counters, and marks that the tables set.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::time::Duration;

use model::{Health, Revision, ServerKey, ServerLoad};

use super::Outcome;
use crate::admission::Places;
use crate::latency::Latency;
use crate::outlier::Tally;
use crate::pick::Ranked;
use crate::signs::Signs;
use crate::warmth::Warmth;
use crate::{Admission, Unpicked};

/// The parts of a request in flight, in which loads are compared.
pub(crate) const LOAD_PARTS: u64 = 100;

/// What changes from request to request: shared by all threads, and by every table that knows this incarnation.
#[derive(Debug)]
pub struct Live {
    /// Unique within the process.
    number: u64,
    key: ServerKey,
    incarnation: Revision,
    in_flight: AtomicU64,
    /// What the other balancers of the fleet have in flight to it, damped and divided by the number of all balancers, in hundredths of a
    /// request; 0 where nobody compares by it.
    elsewhere: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    /// When it last answered well, in milliseconds since the moment that the callers count from, plus one; zero where it never
    /// did, or has failed since.
    answered_at: AtomicU64,
    keeps_connections: AtomicBool,
    is_down: AtomicBool,
    /// Where it is leaving: when what is still in flight is cut short, in the callers' milliseconds. `u64::MAX` where it stays.
    leaves_by: AtomicU64,
    /// Where it is leaving: until when it keeps the clients that are with it. `u64::MAX` where nothing was said of that.
    keeps_clients_until: AtomicU64,
    /// Whether it was told that it keeps none of them any more, whatever the tables say that some thread has.
    released: AtomicBool,
    places: Places,
    latency: Latency,
    ranked: Ranked,
    warmth: Warmth,
    signs: Signs,
}

impl Live {
    pub(crate) fn new(
        number: u64,
        key: ServerKey,
        incarnation: Revision,
        admission: Arc<Admission>,
    ) -> Self {
        Self {
            number,
            key,
            incarnation,
            in_flight: AtomicU64::new(0),
            elsewhere: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            answered_at: AtomicU64::new(0),
            keeps_connections: AtomicBool::new(true),
            is_down: AtomicBool::new(false),
            leaves_by: AtomicU64::new(u64::MAX),
            keeps_clients_until: AtomicU64::new(u64::MAX),
            released: AtomicBool::new(false),
            places: Places::new(admission),
            latency: Latency::default(),
            ranked: Ranked::default(),
            warmth: Warmth::default(),
            signs: Signs::default(),
        }
    }

    /// What tells it from every other incarnation of any server that this process has known.
    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn key(&self) -> &ServerKey {
        &self.key
    }

    pub fn incarnation(&self) -> Revision {
        self.incarnation
    }

    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// What the other balancers of the fleet have in flight to it, divided by the number of all, in hundredths of a request.
    pub fn elsewhere(&self) -> u64 {
        self.elsewhere.load(Ordering::Relaxed)
    }

    pub(crate) fn set_elsewhere(&self, parts: u64) {
        self.elsewhere.store(parts, Ordering::Relaxed);
    }

    /// What algorithms compare servers by, before the weight: hundredths of a request in flight, with the part of the other balancers'
    /// that counts where the pool asks for it.
    pub(crate) fn compared_load(&self) -> u64 {
        self.in_flight() * LOAD_PARTS + self.elsewhere()
    }

    pub(crate) fn load(&self) -> ServerLoad {
        ServerLoad {
            incarnation: self.incarnation,
            in_flight: self.in_flight(),
            sticky: false,
        }
    }

    /// The same of one that keeps no clients from now on.
    pub(crate) fn load_without_clients(&self) -> ServerLoad {
        self.release_clients();
        self.load()
    }

    /// Counts one more request in flight, where the circuit lets it.
    pub(super) fn count_in(&self) -> Result<(), Unpicked> {
        let max = u64::from(self.places.requests_max());
        if max == 0 {
            self.in_flight.fetch_add(1, Ordering::AcqRel);
            return Ok(());
        }
        let one_more = |count: u64| (count < max).then_some(count + 1);
        self.in_flight
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .map_err(|_| Unpicked::CircuitOpen)?;
        Ok(())
    }

    /// Counts one fewer.
    pub(super) fn count_out(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        if self.places.requests_max() > 0 {
            self.admission().come_free();
        }
    }

    /// Counts how a try went.
    pub(super) fn note(&self, outcome: Outcome) {
        match outcome {
            Outcome::Answered { at } => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                self.answered_at.store(millis(at) + 1, Ordering::Relaxed);
                self.signs.succeeded();
            }
            Outcome::ServerError | Outcome::GatewayError => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                self.note_failure(outcome == Outcome::GatewayError);
            }
            Outcome::Failed => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.note_failure(true);
            }
            Outcome::Abandoned => {}
        }
    }

    /// One more try failed. Where that is one too many, the server is ejected at once.
    fn note_failure(&self, gateway: bool) {
        self.answered_at.store(0, Ordering::Relaxed);
        if let Some(rule) = self.signs.failed(gateway) {
            self.admission().ejections().eject(self, rule);
        }
    }

    /// How many tries it answered.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// How many tries it failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// How long before `now`, on the callers' clock, it last answered a request well; nothing where it never did, or has failed one
    /// since.
    pub fn since_good_answer(&self, now: Duration) -> Option<Duration> {
        match self.answered_at.load(Ordering::Relaxed) {
            0 => None,
            at => Some(now.saturating_sub(Duration::from_millis(at - 1))),
        }
    }

    /// What it has done so far.
    pub(crate) fn tally(&self) -> Tally {
        self.signs.tally(self.answered() + self.failed())
    }

    /// Whether this balancer has taken it out for a while on its own evidence: it is picked only where nothing else is left.
    pub fn is_ejected(&self) -> bool {
        self.signs.is_ejected()
    }

    /// Whether the latest verdict on it is that it is down.
    pub fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    pub(crate) fn judge(&self, health: Health) {
        self.is_down
            .store(health == Health::Down, Ordering::Relaxed);
    }

    /// Whether idle connections to it are worth keeping: not once it leaves or is down.
    pub fn keeps_connections(&self) -> bool {
        self.keeps_connections.load(Ordering::Relaxed)
    }

    /// Whether it leaves, and the time that requests in flight were given is over.
    pub fn is_overdue(&self, now: Duration) -> bool {
        millis(now) >= self.leaves_by.load(Ordering::Relaxed)
    }

    /// It is, or stays, among those that may serve.
    pub(crate) fn stay(&self, keeps_connections: bool) {
        self.keeps_connections
            .store(keeps_connections, Ordering::Relaxed);
        self.leaves_by.store(u64::MAX, Ordering::Relaxed);
        self.keeps_clients_until.store(u64::MAX, Ordering::Relaxed);
        self.released.store(false, Ordering::SeqCst);
    }

    /// It leaves. If it was leaving already, the time that was said first counts.
    pub(crate) fn leave(&self, by: Duration) {
        self.keeps_connections.store(false, Ordering::Relaxed);
        self.leaves_by.fetch_min(millis(by), Ordering::Relaxed);
    }

    /// It leaves, and keeps the clients that are with it until that moment. What is in flight then is given as much time again.
    pub(crate) fn leave_after_clients(&self, now: Duration, drain: Duration) {
        // What was said first counts: a drain that has ended does not begin anew.
        if self.leaves_by.load(Ordering::Relaxed) == u64::MAX {
            self.keeps_clients_until
                .store(millis(now + drain), Ordering::Relaxed);
            self.released.store(false, Ordering::SeqCst);
        }
        self.leave(now + 2 * drain);
    }

    /// Whether it leaves, and keeps the clients that are with it.
    pub(crate) fn keeps_clients(&self, now: Duration) -> bool {
        let until = self.keeps_clients_until.load(Ordering::Relaxed);
        until != u64::MAX && millis(now) < until && !self.was_released()
    }

    /// From now on it keeps no clients, whichever table a thread has. What is counted as in flight after this is all that there will be.
    pub(crate) fn release_clients(&self) {
        self.released.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Whether that was said. Asked by whoever has counted a request as in flight, so that one of the two sees the other.
    pub(crate) fn was_released(&self) -> bool {
        fence(Ordering::SeqCst);
        self.released.load(Ordering::SeqCst)
    }

    /// Whether it takes only so many connections at the same time.
    pub fn is_bounded(&self) -> bool {
        self.places.connections_max() > 0
    }

    /// Connections to it that are open or about to be.
    pub fn connections(&self) -> u64 {
        self.places.connections() as u64
    }

    pub(crate) fn latency(&self) -> &Latency {
        &self.latency
    }

    pub(crate) fn ranked(&self) -> &Ranked {
        &self.ranked
    }

    pub(crate) fn warmth(&self) -> &Warmth {
        &self.warmth
    }

    pub(crate) fn signs(&self) -> &Signs {
        &self.signs
    }

    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// What stands before its pool's servers.
    pub(crate) fn admission(&self) -> &Arc<Admission> {
        self.places.admission()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX - 1)
}
