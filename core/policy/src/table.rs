//! The table: everything a thread needs to send a request on, immutable, compiled off the request path.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use model::{
    Health, PoolId, Position, Revision, ServerKey, ServerLoad, ServerState, Snapshot, Stamped,
};

use crate::{Gate, Live, Pool, Server};

/// How long a removed server is still reported on after its last request ended.
const DEPARTED_FOR: Duration = Duration::from_secs(300);

/// How many removed servers are remembered at most, those with requests in flight aside.
const DEPARTED_MAX: usize = 4096;

/// A compiled snapshot.
#[derive(Debug, Default)]
pub struct Table {
    position: Option<Position>,
    pools: HashMap<PoolId, Arc<Pool>>,
    standard: Option<Arc<Pool>>,
    departed: Vec<Departed>,
    /// The last number given to an incarnation or a pool.
    last_number: u64,
}

/// A server that the snapshot no longer has, or has at another address.
#[derive(Debug, Clone)]
struct Departed {
    live: Arc<Live>,
    /// When it was first seen to have nothing in flight any more, on the callers' clock.
    at_rest_since: Option<Duration>,
}

impl Departed {
    /// Whether it is still reported on.
    fn is_remembered(&mut self, now: Duration) -> bool {
        if self.live.in_flight() > 0 {
            return true;
        }
        now < *self.at_rest_since.get_or_insert(now) + DEPARTED_FOR
    }
}

/// What the table before knew.
struct Known<'a> {
    /// Nothing was known: it is the process's first table.
    nothing: bool,
    servers: HashMap<&'a ServerKey, &'a Arc<Server>>,
    departed: HashMap<(&'a ServerKey, Revision), &'a Arc<Live>>,
}

impl<'a> Known<'a> {
    fn of(table: &'a Table) -> Self {
        let departed = table.departed.iter().map(|departed| &departed.live);
        Self {
            nothing: table.position.is_none(),
            servers: table
                .servers()
                .map(|server| (server.key(), server))
                .collect(),
            departed: departed
                .map(|live| ((live.key(), live.incarnation()), live))
                .collect(),
        }
    }

    /// What goes on with an incarnation; one that had departed may come back.
    fn live(&self, key: &ServerKey, incarnation: Revision) -> Option<&'a Arc<Live>> {
        let present = self.servers.get(key).map(|server| server.live());
        let present = present.filter(|live| live.incarnation() == incarnation);
        present.or_else(|| self.departed.get(&(key, incarnation)).copied())
    }

    /// The gate of a pool: where that is gone, but servers of it may come back, they still stand behind it.
    fn gate(&self, pool: &PoolId, previous: Option<&Pool>) -> Arc<Gate> {
        let departed = || {
            let live = self.departed.values().find(|live| live.key().pool == *pool);
            live.map(|live| Arc::clone(live.gate()))
        };
        let present = previous.map(|pool| Arc::clone(pool.gate()));
        present.or_else(departed).unwrap_or_default()
    }
}

impl Table {
    /// Compiles a snapshot. What goes on with each incarnation of a server is carried over from the table before; `start` is where
    /// the rotation of a new pool begins, different for each balancer of a fleet.
    pub fn compile(snapshot: &Snapshot, previous: &Self, start: u64, now: Duration) -> Self {
        let mut table = Self {
            position: Some(snapshot.position),
            last_number: previous.last_number,
            ..Self::default()
        };
        let known = Known::of(previous);
        for (id, definition) in &snapshot.pools {
            let before = previous.pools.get(id);
            let before = before.map(Arc::as_ref);
            let pool = table.compile_pool(snapshot, definition, before, &known, start, now);
            table.pools.insert(id.clone(), Arc::new(pool));
        }
        table.standard = table.pools.get(&PoolId::standard()).cloned();
        table.departed = table.departed_since(previous, now);
        table
    }

    /// Where the snapshot stands that it was compiled from; nothing for the table before the first.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// The pool that takes a request. All go to the pool `default`.
    pub fn route(&self) -> Option<&Arc<Pool>> {
        self.standard.as_ref()
    }

    pub fn pool(&self, id: &PoolId) -> Option<&Arc<Pool>> {
        self.pools.get(id)
    }

    pub fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.pools.values()
    }

    /// When to compile the same snapshot anew: weights of servers in slow start should have grown then. Nothing while there is none.
    pub fn grows_at(&self) -> Option<Duration> {
        self.pools().filter_map(|pool| pool.grows_at()).min()
    }

    pub fn servers(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.pools().flat_map(|pool| pool.servers())
    }

    /// Whether the pool `default` exists, and each server that wants requests has been inspected.
    pub fn has_first_verdicts(&self) -> bool {
        let inspected =
            |server: &Arc<Server>| !server.is_wanted() || server.health() != Health::Unknown;
        self.standard.is_some() && self.servers().all(inspected)
    }

    /// Whether some pool's servers are compared by what the whole fleet has in flight to them.
    pub fn compares_by_fleet(&self) -> bool {
        self.pools().any(|pool| pool.compares_by_fleet())
    }

    /// Requests in flight to the servers of such pools; those that have none are left out.
    pub fn fleet_loads(&self) -> BTreeMap<ServerKey, ServerLoad> {
        let pools = self.pools().filter(|pool| pool.compares_by_fleet());
        let lives = pools.flat_map(|pool| pool.servers()).map(|one| one.live());
        let loads = lives.map(|live| (live.key().clone(), live.load()));
        loads.filter(|(_, load)| load.in_flight > 0).collect()
    }

    /// Requests in flight to each server that is leaving: draining, disabled or removed. A key that was used again counts what is
    /// left of all its incarnations that leave, under the latest of them.
    pub fn leaving(&self) -> BTreeMap<ServerKey, ServerLoad> {
        let mut leaving: BTreeMap<ServerKey, ServerLoad> = BTreeMap::new();
        let leaves = |server: &&Arc<Server>| server.state() != ServerState::Active;
        let present = self.servers().filter(leaves).map(|server| server.live());
        for live in present.chain(self.departed.iter().map(|departed| &departed.live)) {
            let load = live.load();
            let entry = leaving.entry(live.key().clone()).or_insert(ServerLoad {
                in_flight: 0,
                ..load
            });
            entry.in_flight += load.in_flight;
            entry.incarnation = entry.incarnation.max(load.incarnation);
        }
        leaving
    }

    fn compile_pool(
        &mut self,
        snapshot: &Snapshot,
        definition: &Arc<Stamped<model::Pool>>,
        previous: Option<&Pool>,
        known: &Known<'_>,
        start: u64,
        now: Duration,
    ) -> Pool {
        let leaves_by = now + definition.value.timeouts.drain;
        let gate = known.gate(&definition.value.id, previous);
        let requests_max = definition.value.circuit.server_requests;
        let servers = snapshot.servers_of(&definition.value.id);
        let servers = servers
            .into_iter()
            .map(|server| {
                let connections_max = server.value.max_connections;
                let server = self.compile_server(snapshot, server, known, &gate, leaves_by, now);
                let places = server.live().places();
                places.bound(connections_max, requests_max);
                server
            })
            .collect();
        let number = previous.map_or_else(|| self.next_number(), Pool::number);
        let definition = Arc::clone(definition);
        Pool::new(number, definition, servers, previous, gate, start, now)
    }

    fn compile_server(
        &mut self,
        snapshot: &Snapshot,
        definition: &Arc<Stamped<model::Server>>,
        known: &Known<'_>,
        gate: &Arc<Gate>,
        leaves_by: Duration,
        now: Duration,
    ) -> Arc<Server> {
        let key = definition.value.key();
        let health = snapshot.health_of(&key);
        if let Some(server) = known.servers.get(&key)
            && server.is_current(definition, health)
        {
            return Arc::clone(server);
        }
        let live = match known.live(&key, definition.incarnation) {
            Some(live) => Arc::clone(live),
            None => {
                let number = self.next_number();
                let incarnation = definition.incarnation;
                Arc::new(Live::new(number, key, incarnation, Arc::clone(gate)))
            }
        };
        let server = Server::new(Arc::clone(definition), health, live);
        server.live().judge(health);
        server.live().warmth().judge(health, known.nothing, now);
        match server.state() {
            ServerState::Active => server.live().stay(health != Health::Down),
            ServerState::Draining | ServerState::Disabled => server.live().leave(leaves_by),
        }
        Arc::new(server)
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Those that had departed before and are not forgotten, and those that this table no longer has.
    fn departed_since(&self, previous: &Self, now: Duration) -> Vec<Departed> {
        let present: HashSet<u64> = self
            .servers()
            .map(|server| server.live().number())
            .collect();
        let is_gone = |live: &Live| !present.contains(&live.number());
        let mut newly = Vec::new();
        for pool in previous.pools() {
            let leaves_by = now + pool.settings().value.timeouts.drain;
            let lives = pool.servers().iter().map(|server| server.live());
            for live in lives.filter(|live| is_gone(live)) {
                live.leave(leaves_by);
                newly.push(Departed {
                    live: Arc::clone(live),
                    at_rest_since: None,
                });
            }
        }
        let before = previous.departed.iter().filter(|one| is_gone(&one.live));
        let mut departed: Vec<_> = before.cloned().chain(newly).collect();
        departed.retain_mut(|one| one.is_remembered(now));
        let mut excess = departed.len().saturating_sub(DEPARTED_MAX);
        departed.retain(|one| {
            let forgotten = excess > 0 && one.live.in_flight() == 0;
            excess -= usize::from(forgotten);
            !forgotten
        });
        departed
    }
}

#[cfg(test)]
mod tests;
