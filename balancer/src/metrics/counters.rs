//! One thread's counters. That thread alone writes; whoever scrapes reads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::{LimitId, PoolId, RouteId};
use parking_lot::Mutex;
use policy::{Cause, Refusal, Rule, Table};

use crate::tls::Made;

/// The upper bounds of the latency buckets, in microseconds.
pub(super) const BUCKETS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// One thread's counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) closed: AtomicU64,
    pub(super) tries: AtomicU64,
    pub(super) cut_short: AtomicU64,
    /// By what failed, in the order of `Cause::ALL`.
    pub(super) retries: [AtomicU64; Cause::ALL.len()],
    /// In the order of `NoRetry::ALL`.
    pub(super) retries_refused: [AtomicU64; NoRetry::ALL.len()],
    pub(super) refusals: Mutex<BTreeMap<&'static str, u64>>,
    /// Clients' connections that the balancer ended without a refusal, by reason.
    pub(super) endings: Mutex<BTreeMap<&'static str, u64>>,
    pub(super) clients_tls: Handshakes,
    pub(super) servers_tls: Handshakes,
    /// By number. Locked by the thread that counts, and for a moment by whoever scrapes.
    pub(super) pools: Mutex<Vec<PoolCounters>>,
    /// By slot, those of the table alone.
    pub(super) routes: Mutex<Vec<RouteCounters>>,
    /// By id, those of the table alone.
    pub(super) limits: Mutex<Vec<LimitCounters>>,
}

/// Handshakes of TLS with one side.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    pub(super) made: Mutex<BTreeMap<Made, u64>>,
    /// By what went wrong.
    pub(super) failed: Mutex<BTreeMap<&'static str, u64>>,
}

/// Ejections of servers, by rule, in the order of `Rule::ALL`: the whole balancer's.
#[derive(Debug, Default)]
pub(crate) struct Ejected(pub(super) [AtomicU64; Rule::ALL.len()]);

/// Why a request that might have been sent again was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRetry {
    /// The pool's budget was used up.
    Budget,
    /// It would have had to wait for longer than an answer may take.
    Time,
}

/// What is counted of a pool's requests.
#[derive(Debug, Clone)]
pub(super) struct PoolCounters {
    pub(super) number: u64,
    pub(super) id: PoolId,
    /// Answers by the first digit of their status.
    pub(super) classes: [u64; 6],
    /// By bucket, not summed up; the last one takes what is longer than every bound.
    pub(super) latency: [u64; BUCKETS.len() + 1],
    pub(super) latency_sum: Duration,
}

/// What is counted of a route.
#[derive(Debug, Clone, Default)]
pub(super) struct RouteCounters {
    /// None where no route has the slot.
    pub(super) id: Option<RouteId>,
    pub(super) requests: u64,
    pub(super) denied: u64,
}

/// What is counted of a limit.
#[derive(Debug, Clone)]
pub(super) struct LimitCounters {
    pub(super) id: LimitId,
    pub(super) passed: u64,
    pub(super) rate: u64,
    pub(super) concurrent: u64,
    /// Of all of them, those that this balancer counted alone, since the new keys were too many to tell the registry of.
    pub(super) untold: u64,
}

impl Counters {
    pub(crate) fn connection_opened(&self) {
        count(&self.accepted);
    }

    pub(crate) fn connection_closed(&self) {
        count(&self.closed);
    }

    pub(crate) fn tried(&self) {
        count(&self.tries);
    }

    pub(crate) fn cut_short(&self) {
        count(&self.cut_short);
    }

    pub(crate) fn retried(&self, cause: Cause) {
        let index = Cause::ALL.iter().position(|one| *one == cause);
        count(&self.retries[index.expect("every cause is listed")]);
    }

    pub(crate) fn retry_refused(&self, reason: NoRetry) {
        let index = NoRetry::ALL.iter().position(|one| *one == reason);
        count(&self.retries_refused[index.expect("every reason is listed")]);
    }

    pub(crate) fn refused(&self, token: &'static str) {
        *self.refusals.lock().entry(token).or_default() += 1;
    }

    /// The balancer ended a client's connection, and no answer says why.
    pub(crate) fn ended(&self, reason: &'static str) {
        *self.endings.lock().entry(reason).or_default() += 1;
    }

    /// A client's handshake was made.
    pub(crate) fn handshake_made(&self, made: Made) {
        self.clients_tls.add(made);
    }

    pub(crate) fn handshake_failed(&self, reason: &'static str) {
        self.clients_tls.add_failed(reason);
    }

    /// A handshake with a server was made.
    pub(crate) fn call_made(&self, made: Made) {
        self.servers_tls.add(made);
    }

    pub(crate) fn call_failed(&self, reason: &'static str) {
        self.servers_tls.add_failed(reason);
    }

    /// A request of a pool was answered, by a server or by the balancer.
    pub(crate) fn answered(&self, pool: u64, status: u16, latency: Duration) {
        let mut pools = self.pools.lock();
        let Ok(index) = pools.binary_search_by_key(&pool, |pool| pool.number) else {
            return;
        };
        let pool = &mut pools[index];
        pool.classes[usize::from(status / 100).min(5)] += 1;
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        pool.latency[BUCKETS.partition_point(|bound| *bound < micros)] += 1;
        pool.latency_sum += latency;
    }

    /// A route has claimed a request, and lets its client use it or not.
    pub(crate) fn claimed(&self, slot: u32, admits: bool) {
        if let Some(counted) = self.routes.lock().get_mut(slot as usize) {
            counted.requests += 1;
            counted.denied += u64::from(!admits);
        }
    }

    /// A request was held to a limit.
    pub(crate) fn limited(&self, limit: &LimitId, refusal: Option<Refusal>) {
        self.count_of(limit, |counters| match refusal {
            None => counters.passed += 1,
            Some(Refusal::Rate) => counters.rate += 1,
            Some(Refusal::Concurrent) => counters.concurrent += 1,
        });
    }

    /// The registry hears nothing of a request that is held to a limit.
    pub(crate) fn untold(&self, limit: &LimitId) {
        self.count_of(limit, |counters| counters.untold += 1);
    }

    #[cfg(test)]
    pub(crate) fn untold_of(&self, limit: &LimitId) -> Option<u64> {
        let limits = self.limits.lock();
        let counted = limits.iter().find(|counted| counted.id == *limit)?;
        Some(counted.untold)
    }

    fn count_of(&self, limit: &LimitId, count: impl FnOnce(&mut LimitCounters)) {
        let mut limits = self.limits.lock();
        if let Ok(index) = limits.binary_search_by(|known| known.id.cmp(limit)) {
            count(&mut limits[index]);
        }
    }

    /// Counts from now on for the pools, routes and limits of this table, which takes the place of the one before.
    pub(crate) fn know(&self, table: &Table, before: &Table) {
        self.know_pools(table);
        if !table.routes().is_same(before.routes()) {
            self.know_routes(table);
        }
        self.know_limits(table);
    }

    fn know_limits(&self, table: &Table) {
        let mut limits = self.limits.lock();
        limits.retain(|known| table.limit(&known.id).is_some());
        for limit in table.limits() {
            if let Err(index) = limits.binary_search_by(|known| known.id.cmp(limit.id())) {
                limits.insert(index, LimitCounters::new(limit.id().clone()));
            }
        }
    }

    fn know_routes(&self, table: &Table) {
        let mut routes = self.routes.lock();
        let known = std::mem::take(&mut *routes);
        for route in table.routes().iter() {
            let slot = route.slot() as usize;
            if slot >= routes.len() {
                routes.resize(slot + 1, RouteCounters::default());
            }
            let same = known
                .get(slot)
                .filter(|known| known.id.as_ref() == Some(route.id()));
            routes[slot] = same
                .cloned()
                .unwrap_or_else(|| RouteCounters::new(route.id().clone()));
        }
    }

    fn know_pools(&self, table: &Table) {
        let mut pools = self.pools.lock();
        pools.retain(|known| {
            table
                .pool(&known.id)
                .is_some_and(|pool| pool.number() == known.number)
        });
        for pool in table.pools() {
            if let Err(index) = pools.binary_search_by_key(&pool.number(), |known| known.number) {
                pools.insert(index, PoolCounters::new(pool.number(), pool.id().clone()));
            }
        }
    }
}

impl Handshakes {
    fn add(&self, made: Made) {
        *self.made.lock().entry(made).or_default() += 1;
    }

    fn add_failed(&self, reason: &'static str) {
        *self.failed.lock().entry(reason).or_default() += 1;
    }
}

impl Ejected {
    pub(crate) fn count(&self, rule: Rule) {
        let index = Rule::ALL.iter().position(|one| *one == rule);
        count(&self.0[index.expect("every rule is listed")]);
    }
}

impl NoRetry {
    pub(super) const ALL: [Self; 2] = [Self::Budget, Self::Time];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Time => "time",
        }
    }
}

impl RouteCounters {
    pub(super) fn new(id: RouteId) -> Self {
        Self {
            id: Some(id),
            ..Self::default()
        }
    }
}

impl LimitCounters {
    pub(super) fn new(id: LimitId) -> Self {
        Self {
            id,
            passed: 0,
            rate: 0,
            concurrent: 0,
            untold: 0,
        }
    }

    /// Adds another thread's.
    pub(super) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.rate += other.rate;
        self.concurrent += other.concurrent;
        self.untold += other.untold;
    }
}

impl PoolCounters {
    pub(super) fn new(number: u64, id: PoolId) -> Self {
        Self {
            number,
            id,
            classes: [0; 6],
            latency: [0; BUCKETS.len() + 1],
            latency_sum: Duration::ZERO,
        }
    }

    /// Adds another thread's.
    pub(super) fn add(&mut self, other: &Self) {
        for (sum, one) in self.classes.iter_mut().zip(other.classes) {
            *sum += one;
        }
        for (sum, one) in self.latency.iter_mut().zip(other.latency) {
            *sum += one;
        }
        self.latency_sum += other.latency_sum;
    }
}

/// An addition that needs no lock on the bus, since one thread alone writes.
fn count(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
