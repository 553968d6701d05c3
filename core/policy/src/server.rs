//! A server as the data plane sees it: its definition, the verdict on it, and what is going on with it right now.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use model::{Health, Revision, ServerKey, ServerLoad, ServerState, Stamped};

use crate::admission::Places;
use crate::flights::{Counted, Flights};
use crate::latency::Latency;
use crate::outlier;
use crate::pick::Ranked;
use crate::signs::Signs;
use crate::warmth::Warmth;
use crate::{Gate, Place, Unpicked};

/// The parts of a request in flight, in which loads are compared.
pub(crate) const LOAD_PARTS: u64 = 100;

/// One server of a table.
#[derive(Debug)]
pub struct Server {
    definition: Arc<Stamped<model::Server>>,
    health: Health,
    live: Arc<Live>,
}

/// What changes from request to request: shared by all threads, and by every table that knows this incarnation.
#[derive(Debug)]
pub struct Live {
    /// Unique within the process.
    number: u64,
    key: ServerKey,
    incarnation: Revision,
    in_flight: AtomicU64,
    /// What each other balancer of the fleet has in flight to it, damped, in hundredths of a request; 0 where nobody compares by it.
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
    places: Places,
    latency: Latency,
    ranked: Ranked,
    warmth: Warmth,
    signs: Signs,
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered, at this time on the callers' clock.
    Answered { at: Duration },
    /// It answered that it cannot serve the request: a status of 500 or above, but none of the next.
    ServerError,
    /// It answered as a gateway would that has no server: 502, 503 or 504.
    GatewayError,
    /// It failed.
    Failed,
    /// Nobody waits for it any more: the client went, or another try is made.
    Abandoned,
}

/// A request in flight to a server, tunnels included; dropping it ends the flight and counts how it went.
#[derive(Debug)]
#[must_use = "dropping it says that the request is over"]
pub struct InFlight {
    server: Arc<Server>,
    outcome: Outcome,
    /// Reserved for its connection, where the server has a bound.
    place: Option<Place>,
    wants_latency: bool,
    /// Among all of its pool, where that counts them.
    counted: Option<Counted>,
}

impl Server {
    pub(crate) fn new(
        definition: Arc<Stamped<model::Server>>,
        health: Health,
        live: Arc<Live>,
    ) -> Self {
        Self {
            definition,
            health,
            live,
        }
    }

    pub fn key(&self) -> &ServerKey {
        &self.live.key
    }

    pub fn address(&self) -> SocketAddr {
        self.definition.value.address
    }

    pub fn health(&self) -> Health {
        self.health
    }

    pub fn state(&self) -> ServerState {
        self.definition.value.state
    }

    pub fn weight(&self) -> u16 {
        self.definition.value.weight
    }

    pub(crate) fn is_backup(&self) -> bool {
        self.definition.value.backup
    }

    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Whether it may get new requests, its health aside.
    pub fn is_wanted(&self) -> bool {
        self.state() == ServerState::Active && self.weight() > 0
    }

    /// What is in the way of one more request: whoever picks passes over a server that has no room.
    pub fn room(&self) -> Result<(), Unpicked> {
        self.live.places.room(self.live.in_flight())
    }

    /// What sorts servers by creation.
    pub(crate) fn age(&self) -> (Revision, u32) {
        self.definition.age()
    }

    /// Whether this is what a table for these would hold.
    pub(crate) fn is_current(
        &self,
        definition: &Arc<Stamped<model::Server>>,
        health: Health,
    ) -> bool {
        self.health == health
            && (Arc::ptr_eq(&self.definition, definition) || self.definition == *definition)
    }
}

impl Live {
    pub(crate) fn new(number: u64, key: ServerKey, incarnation: Revision, gate: Arc<Gate>) -> Self {
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
            places: Places::new(gate),
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

    /// What algorithms compare servers by, before the weight: hundredths of a request in flight, the other balancers' included where
    /// the pool asks for them.
    pub(crate) fn compared_load(&self) -> u64 {
        self.in_flight() * LOAD_PARTS + self.elsewhere()
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

    /// What each other balancer of the fleet has in flight to it, in hundredths of a request.
    pub fn elsewhere(&self) -> u64 {
        self.elsewhere.load(Ordering::Relaxed)
    }

    pub(crate) fn set_elsewhere(&self, hundredths: u64) {
        self.elsewhere.store(hundredths, Ordering::Relaxed);
    }

    /// How many tries it answered.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// How many tries it failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether it answered a request well within `recent` before `now`, on the callers' clock, and has failed none since.
    pub fn has_answered_within(&self, recent: Duration, now: Duration) -> bool {
        match self.answered_at.load(Ordering::Relaxed) {
            0 => false,
            at => Duration::from_millis(at - 1) + recent >= now,
        }
    }

    /// Whether idle connections to it are worth keeping: not once it leaves or is down.
    pub fn keeps_connections(&self) -> bool {
        self.keeps_connections.load(Ordering::Relaxed)
    }

    /// Whether the latest verdict on it is that it is down.
    pub fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    pub(crate) fn judge(&self, health: Health) {
        self.is_down
            .store(health == Health::Down, Ordering::Relaxed);
    }

    /// Whether this balancer has taken it out for a while on its own evidence: it is picked only where nothing else is left.
    pub fn is_ejected(&self) -> bool {
        self.signs.is_ejected()
    }

    pub(crate) fn signs(&self) -> &Signs {
        &self.signs
    }

    /// What it has done so far.
    pub(crate) fn tally(&self) -> outlier::Tally {
        self.signs.tally(self.answered() + self.failed())
    }

    /// One more try failed. Where that is one too many, the server is ejected at once.
    fn note_failure(&self, gateway: bool) {
        self.answered_at.store(0, Ordering::Relaxed);
        if let Some(rule) = self.signs.failed(gateway) {
            self.gate().ejections().accuse(self, rule);
        }
    }

    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// What stands before its pool's servers.
    pub(crate) fn gate(&self) -> &Arc<Gate> {
        self.places.gate()
    }

    /// Whether it takes only so many connections at the same time.
    pub fn is_bounded(&self) -> bool {
        self.places.connections_max() > 0
    }

    /// Connections to it that are open or about to be.
    pub fn connections(&self) -> u64 {
        self.places.connections() as u64
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
    }

    /// It leaves. If it was leaving already, the time that was said first counts.
    pub(crate) fn leave(&self, by: Duration) {
        self.keeps_connections.store(false, Ordering::Relaxed);
        self.leaves_by.fetch_min(millis(by), Ordering::Relaxed);
    }

    /// Counts one more request in flight, where the circuit lets it.
    fn count_in(&self) -> Result<(), Unpicked> {
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
    fn count_out(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        if self.places.requests_max() > 0 {
            self.gate().come_free();
        }
    }

    pub(crate) fn load(&self) -> ServerLoad {
        ServerLoad {
            incarnation: self.incarnation,
            in_flight: self.in_flight(),
        }
    }
}

impl InFlight {
    /// Takes the server where it has room, in one step: nobody else takes the same place.
    ///
    /// # Errors
    /// What is in the way.
    pub(crate) fn begin(server: Arc<Server>) -> Result<Self, Unpicked> {
        // Asked first, since giving back what was taken in vain calls those who wait.
        server.room()?;
        server.live.count_in()?;
        // Given back by hand: the end of a flight is told to the ranking that may be choosing right now.
        let place = Place::reserve(&server.live).inspect_err(|_| server.live.count_out())?;
        Ok(Self {
            server,
            outcome: Outcome::Abandoned,
            wants_latency: false,
            counted: None,
            place,
        })
    }

    /// The place for the connection that it uses, where one was reserved.
    pub fn take_place(&mut self) -> Option<Place> {
        self.place.take()
    }

    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Whether the pool's algorithm wants to know how long the first byte of the answer takes.
    pub fn wants_latency(&self) -> bool {
        self.wants_latency
    }

    /// Says how long the answer took to begin, where that is wanted.
    pub fn answered_after(&self, took: Duration, now: Duration) {
        self.server.live.latency.observe(took, now);
    }

    /// Says how long it took to fail, where latencies are wanted.
    pub fn failed_after(&self, took: Duration, now: Duration) {
        self.server.live.latency.observe_failure(took, now);
    }

    pub(crate) fn want_latency(&mut self) {
        self.wants_latency = true;
    }

    pub(crate) fn count_in(&mut self, flights: &Flights) {
        self.counted = Some(flights.count_in());
    }

    /// Notes how long the first byte of the answer took, by which the pool's servers are compared.
    pub fn took(&self, latency: Duration) {
        self.server.live.signs.took(latency);
    }

    /// Notes how the try went; the flight goes on until this is dropped.
    pub fn note(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX - 1)
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let live = &self.server.live;
        match self.outcome {
            Outcome::Answered { at } => {
                live.answered.fetch_add(1, Ordering::Relaxed);
                live.answered_at.store(millis(at) + 1, Ordering::Relaxed);
                live.signs.succeeded();
            }
            Outcome::ServerError | Outcome::GatewayError => {
                live.answered.fetch_add(1, Ordering::Relaxed);
                live.note_failure(self.outcome == Outcome::GatewayError);
            }
            Outcome::Failed => {
                live.failed.fetch_add(1, Ordering::Relaxed);
                live.note_failure(true);
            }
            Outcome::Abandoned => {}
        }
        live.count_out();
        live.ranked.ended(live);
    }
}
