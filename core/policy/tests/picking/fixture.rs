//! A pool and its balancer, whose time and chance the tests decide.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{
    Algorithm, Epoch, Health, Pool, PoolId, Position, Revision, RevisionId, Server, Snapshot,
    Stamped, Verdict,
};
use policy::{Ask, InFlight, Outcome, Stick, Table, Tried, Unpicked};
use rand::SeedableRng;
use rand::rngs::SmallRng;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) const ALGORITHMS: [Algorithm; 7] = [
    Algorithm::RoundRobin,
    Algorithm::Random,
    Algorithm::LeastConnections,
    Algorithm::FleetLeastConnections,
    Algorithm::P2c,
    Algorithm::IpHash,
    Algorithm::Hash,
];

/// A fleet's state, which tests change.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) snapshot: Snapshot,
    last: u64,
}

/// One balancer: the table that it has, its clock and its chance.
pub(crate) struct Balancer {
    pub(crate) table: Arc<Table>,
    pub(crate) now: Duration,
    chance: SmallRng,
    start: u64,
}

impl State {
    /// The pool `default`, without a bound of hashes, with servers of these weights that are up, named `s0`, `s1` and so on.
    pub(crate) fn of(algorithm: Algorithm, weights: &[u16]) -> Self {
        let mut pool = Pool::new(PoolId::standard());
        pool.algorithm = algorithm;
        pool.hash.bound = 0.0;
        let mut snapshot = Snapshot::empty(Position {
            epoch: Epoch::random(),
            revision: Revision(1),
            id: RevisionId::random(),
        });
        let pool = Arc::new(Stamped::new(Revision(1), pool));
        snapshot.pools.insert(PoolId::standard(), pool);
        let mut state = Self { snapshot, last: 1 };
        for (index, weight) in weights.iter().enumerate() {
            state.put(index, |server| server.weight = *weight);
            state.judge(index, Health::Up);
        }
        state
    }

    pub(crate) fn change_pool(&mut self, change: impl FnOnce(&mut Pool)) {
        let pool = self.snapshot.pools.get_mut(&PoolId::standard());
        change(&mut Arc::make_mut(pool.expect("the pool")).value);
    }

    /// Creates a server, or changes it.
    pub(crate) fn put(&mut self, index: usize, change: impl Fn(&mut Server)) {
        self.last += 1;
        let fresh = || {
            let address = format!("10.0.{}.{}:80", index / 256, index % 256);
            let address = address.parse().expect("an address");
            let id = format!("s{index}").parse().expect("a name");
            Stamped::new(
                Revision(self.last),
                Server::new(PoolId::standard(), id, address),
            )
        };
        let known = self.snapshot.servers.get(&key(index));
        let mut stamped = known.map_or_else(fresh, |known| Stamped::clone(known));
        change(&mut stamped.value);
        self.snapshot.servers.insert(key(index), Arc::new(stamped));
    }

    pub(crate) fn remove(&mut self, index: usize) {
        self.snapshot.servers.remove(&key(index));
        self.snapshot.health.remove(&key(index));
    }

    pub(crate) fn judge(&mut self, index: usize, health: Health) {
        let verdict = Verdict {
            incarnation: self.snapshot.servers[&key(index)].incarnation,
            health,
            reason: String::new(),
            silent_ms: 0,
            unknown: model::Unknown::default(),
        };
        let verdict = Arc::new(Stamped::new(Revision(1), verdict));
        self.snapshot.health.insert(key(index), verdict);
    }
}

fn key(index: usize) -> model::ServerKey {
    format!("default/s{index}").parse().expect("a key")
}

/// The index in the server's name.
pub(crate) fn index_of(flight: &InFlight) -> usize {
    let name = flight.server().key().server.as_str();
    name[1..].parse().expect("a number")
}

impl Balancer {
    pub(crate) fn new(state: &State, seed: u64) -> Self {
        let mut balancer = Self {
            table: Arc::default(),
            now: Duration::ZERO,
            chance: SmallRng::seed_from_u64(seed),
            start: seed,
        };
        balancer.follow(state);
        balancer
    }

    /// Takes in what the state is now.
    pub(crate) fn follow(&mut self, state: &State) {
        let table = Table::compile(&state.snapshot, &self.table, self.start, self.now);
        self.table = Arc::new(table);
    }

    pub(crate) fn pick(&mut self) -> Option<InFlight> {
        self.pick_for(0, &Tried::default())
    }

    pub(crate) fn pick_for(&mut self, hash: u64, tried: &Tried) -> Option<InFlight> {
        self.ask(hash, Stick::Loose, tried).ok()
    }

    /// Picks for a client that is known again.
    pub(crate) fn pick_by(&mut self, stick: Stick) -> Result<InFlight, Unpicked> {
        self.ask(0, stick, &Tried::default())
    }

    pub(crate) fn ask(
        &mut self,
        hash: u64,
        stick: Stick,
        tried: &Tried,
    ) -> Result<InFlight, Unpicked> {
        let ask = Ask {
            tried,
            hash,
            stick,
            now: self.now,
        };
        let pool = self.table.route().ok_or(Unpicked::Nothing)?;
        pool.pick(&ask, &mut self.chance)
    }

    /// Picks for so many requests, each of which ends before the next, and counts who got how many.
    pub(crate) fn picks(&mut self, count: usize) -> BTreeMap<usize, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..count {
            let mut flight = self.pick().expect("a server");
            flight.note(Outcome::Answered { at: self.now });
            *counts.entry(index_of(&flight)).or_default() += 1;
        }
        counts
    }

    /// Who gets so many requests, none of which ends, in the order of the picks.
    pub(crate) fn keep(&mut self, count: usize) -> Vec<InFlight> {
        let picks = (0..count).map(|_| self.pick().expect("a server"));
        picks.collect()
    }

    pub(crate) fn in_flight(&self) -> BTreeMap<String, u64> {
        let servers = self.table.servers();
        servers
            .map(|server| (server.key().server.to_string(), server.live().in_flight()))
            .collect()
    }
}
