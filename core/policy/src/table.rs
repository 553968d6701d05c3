//! The table: everything a thread needs to send a request on, immutable, compiled off the request path.

mod compiler;
mod differences;
mod listeners;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use model::{Fault, LimitId, ListenerId, PoolId, Position, ServerKey, ServerLoad, Snapshot};

use crate::limit::Limits;
use crate::sticky::Keys;
use crate::{Firewall, Limit, Live, Pool, Routes, Server};

use compiler::Compiler;
use listeners::Listeners;

/// How long a removed server is still reported on after its last request ended.
const DEPARTED_FOR: Duration = Duration::from_secs(300);

/// Pools by their ids, which operators choose: nobody gains by making them collide, and every try looks one up.
type Pools = HashMap<PoolId, Arc<Pool>, foldhash::fast::RandomState>;

/// A compiled snapshot.
#[derive(Debug, Default)]
pub struct Table {
    position: Option<Position>,
    pools: Pools,
    standard: Option<Arc<Pool>>,
    routes: Routes,
    listeners: Listeners,
    limits: Limits,
    /// What of the snapshot cannot be compiled, or names what is not there.
    faults: Vec<Fault>,
    departed: Vec<Departed>,
    /// What cookies are made with; nothing as long as the fleet has no secret for that.
    keys: Option<Arc<Keys>>,
    /// The last number given to an incarnation or a pool.
    last_number: u64,
    /// What it was compiled from: a pool of which the next one says the same is taken over whole.
    source: Option<Snapshot>,
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

impl Table {
    /// Compiles a snapshot. What goes on with each incarnation of a server is carried over from the table before; `start` is where
    /// the rotation of a new pool begins, different for each balancer of a fleet.
    pub fn compile(snapshot: &Snapshot, previous: &Self, start: u64, now: Duration) -> Self {
        Compiler::new(snapshot, previous, start, now).compile()
    }

    /// Where the snapshot stands that it was compiled from; nothing for the table before the first.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// What says which requests go where.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Which clients may connect to a listener. All, where nothing is said of it.
    pub fn listener_firewall(&self, id: &ListenerId) -> Option<&Firewall> {
        self.listeners.firewall(id)
    }

    /// Whether a listener answers about the balancer's health. Not, where nothing is said of it.
    pub fn listener_answers_health(&self, id: &ListenerId) -> bool {
        self.listeners.answers_health(id)
    }

    /// A limit. Of those that some route or pool names, one that is gone is as it was.
    pub fn limit(&self, id: &LimitId) -> Option<&Arc<Limit>> {
        self.limits.get(id)
    }

    pub fn limits(&self) -> impl Iterator<Item = &Arc<Limit>> {
        self.limits.iter()
    }

    /// What of the snapshot cannot be compiled, of which the last good one stays in force; and what names something that is not there.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The pool that takes what no route claims: `default`.
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
        self.standard.is_some() && self.pools().all(|pool| pool.is_judged())
    }

    /// The servers that this balancer has ejected.
    pub fn ejected(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.pools().flat_map(|pool| pool.ejected())
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
    /// left of all its incarnations that leave, under the latest of them. One that keeps its clients is said to; of which that is not
    /// said, none comes any more.
    pub fn leaving(&self, now: Duration) -> BTreeMap<ServerKey, ServerLoad> {
        let mut leaving: BTreeMap<ServerKey, ServerLoad> = BTreeMap::new();
        let present = self.pools().flat_map(|pool| pool.leaving_loads(now));
        let departed = self.departed.iter().map(|departed| &departed.live);
        let departed = departed.map(|live| (live, live.load_without_clients()));
        for (live, load) in present.chain(departed) {
            let entry = leaving.entry(live.key().clone()).or_insert(ServerLoad {
                in_flight: 0,
                ..load
            });
            entry.in_flight += load.in_flight;
            entry.incarnation = entry.incarnation.max(load.incarnation);
            entry.sticky |= load.sticky;
        }
        leaving
    }
}

#[cfg(test)]
mod tests;
