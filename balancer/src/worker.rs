//! A worker: one thread with its own runtime, its own listener and its own connections to servers.
//!
//! Threads share the immutable table, atomics of its pools and servers, and a few locks. Each is held for a few steps, and never over an
//! await. A request by round robin that goes well, to a server without a bound, takes none that another worker takes. Those there are:
//! - a pool's ranking, at the pick and at the end of a request by least connections;
//! - each server's place in that ranking, at the same moments;
//! - a pool's queue (`Admission`), where a request waits for a place, or gives one back while others wait;
//! - the shelf of a server that has a bound, and the map of shelves (`SharedIdle`), for the connections that rest there;
//! - a pool's retry budget, where a retry has to be paid for;
//! - a pool's quota of ejections, where a failure breaks a rule of ejection;
//! - the queue of suspicions, where a server fails;
//! - a part of the `Ledger`, and the queue of questions about it, where a request is held to a limit;
//! - a shard of the `Crowd`, where a client's connection begins and where it ends;
//! - those of the `Condition`, where a listener is asked `/readyz`;
//! - the counters of this thread, for each answer, which only a scrape takes beside it.
//!
//! A worker takes each new table over between two turns of its loop and says so, which is what makes "applied" true: no request of
//! this thread can pick from an older one.

use std::cell::{Cell, Ref, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use model::{LimitId, ListenerId, PoolId};
use policy::{Ask, InFlight, Limit, Pool, Stick, Table, Tried, Unpicked};
use rand::rngs::SmallRng;
use tokio::sync::Notify;

use crate::adoption::Adoption;
use crate::clock::{Clock, Millis};
use crate::condition::Condition;
use crate::crowd::{Crowd, Full, Place};
use crate::limiting::Limiting;
use crate::listen::Entrance;
use crate::metrics::Counters;
use crate::request_id::RequestIds;
use crate::settings::{LAST_REQUEST_WITHIN, Settings};
use crate::suspecting::Suspecting;
use crate::timers::Timers;
use crate::tls::Tls;
use crate::upstream::{Connections, Idle, IdleRoom, SharedIdle};

/// How often the worker's clock moves on and its timers are looked at.
const TICK: Duration = Duration::from_millis(10);

/// What the connections of one thread share.
pub(crate) struct Worker {
    pub(crate) settings: Settings,
    pub(crate) clock: Rc<Clock>,
    pub(crate) timers: Rc<Timers>,
    pub(crate) idle: Idle,
    /// To servers that speak HTTP/2.
    pub(crate) http2: Rc<Connections>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) suspecting: Suspecting,
    pub(crate) limiting: Limiting,
    pub(crate) request_ids: RequestIds,
    /// Of the whole process.
    pub(crate) condition: Condition,
    crowd: Arc<Crowd>,
    table: RefCell<Arc<Table>>,
    /// Tables taken over so far.
    table_number: Cell<u64>,
    tls: RefCell<Arc<Tls>>,
    /// Whether the table is too old to be used.
    stale: Cell<bool>,
    gates: [Gate; Entrance::ALL.len()],
    chance: RefCell<SmallRng>,
    stopping: Cell<bool>,
    /// How long a connection is kept for its next request once the worker stops.
    last_request_within: Cell<Duration>,
    connections: Cell<usize>,
    /// Told when the last connection ends.
    ended: Notify,
}

/// What a request is asked at a listener, as the current table has it.
struct Gate {
    /// The name by which the table has it.
    listener: ListenerId,
    /// Whether it has a rule.
    guarded: Cell<bool>,
    /// Whether it answers about this balancer's health.
    answers_health: Cell<bool>,
}

/// What a server is picked for: a request that goes to this pool, and has been to these servers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want<'a> {
    pub(crate) pool: &'a PoolId,
    pub(crate) tried: &'a Tried,
    /// That of the request.
    pub(crate) hash: u64,
    pub(crate) stick: Stick,
}

/// Counts one client connection while it lives.
pub(crate) struct Presence {
    worker: Rc<Worker>,
    /// Its place among the connections of all threads.
    _place: Place,
}

impl Worker {
    pub(crate) fn new(
        settings: Settings,
        counters: Arc<Counters>,
        suspecting: Suspecting,
        limiting: Limiting,
        crowd: Arc<Crowd>,
        condition: Condition,
        shared_idle: Arc<SharedIdle>,
    ) -> Self {
        let clock = Rc::new(Clock::new(settings.started));
        Self {
            http2: Rc::new(Connections::new(Rc::clone(&clock))),
            clock,
            timers: Rc::new(Timers::new()),
            idle: Idle::new(
                shared_idle,
                IdleRoom {
                    crowd: Arc::clone(&crowd),
                    files: settings.files,
                    workers: settings.workers,
                },
            ),
            counters,
            suspecting,
            limiting,
            request_ids: RequestIds::new(),
            settings,
            condition,
            crowd,
            table: RefCell::default(),
            table_number: Cell::new(0),
            tls: RefCell::default(),
            stale: Cell::new(false),
            gates: Entrance::ALL.map(Gate::of),
            chance: RefCell::new(rand::make_rng()),
            stopping: Cell::new(false),
            last_request_within: Cell::new(LAST_REQUEST_WITHIN),
            connections: Cell::new(0),
            ended: Notify::new(),
        }
    }

    /// The current table, for a step without an await.
    pub(crate) fn table(&self) -> Ref<'_, Table> {
        Ref::map(self.table.borrow(), Arc::as_ref)
    }

    /// Which table it is: another number with each that is taken over.
    pub(crate) fn table_number(&self) -> u64 {
        self.table_number.get()
    }

    fn gate(&self, entrance: Entrance) -> &Gate {
        &self.gates[entrance as usize]
    }

    /// Whether the listener's firewall has a rule.
    pub(crate) fn is_guarded(&self, entrance: Entrance) -> bool {
        self.gate(entrance).guarded.get()
    }

    /// Whether the listener answers about this balancer's health.
    pub(crate) fn answers_health(&self, entrance: Entrance) -> bool {
        self.gate(entrance).answers_health.get()
    }

    /// Whether the listener's firewall lets a client in.
    pub(crate) fn lets_in(&self, entrance: Entrance, client: IpAddr) -> bool {
        let table = self.table.borrow();
        let firewall = table.listener_firewall(&self.gate(entrance).listener);
        firewall.is_none_or(|firewall| firewall.lets_in(client))
    }

    /// Whether a connection may begin. Those of trusted proxies are those of many clients, who are judged one by one.
    pub(crate) fn opens_to(&self, entrance: Entrance, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        !self.is_guarded(entrance)
            || self.settings.trusted.contains(peer)
            || self.lets_in(entrance, peer)
    }

    /// Lends the thread's source of chance.
    pub(crate) fn with_chance<T>(&self, borrow: impl FnOnce(&mut SmallRng) -> T) -> T {
        borrow(&mut self.chance.borrow_mut())
    }

    /// A pool as the current table has it.
    pub(crate) fn pool(&self, id: &PoolId) -> Option<Arc<Pool>> {
        self.table.borrow().pool(id).cloned()
    }

    /// A limit as the current table has it.
    pub(crate) fn limit(&self, id: &LimitId) -> Option<Arc<Limit>> {
        self.table.borrow().limit(id).cloned()
    }

    /// What TLS is spoken with, for a step without an await.
    pub(crate) fn tls(&self) -> Ref<'_, Tls> {
        Ref::map(self.tls.borrow(), Arc::as_ref)
    }

    /// Whether the current table is too old to be used.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale.get()
    }

    /// Picks a server of the current table and takes it, in one step.
    pub(crate) fn pick(&self, want: Want<'_>) -> Result<InFlight, Unpicked> {
        let table = self.table.borrow();
        let pool = table.pool(want.pool).ok_or(Unpicked::Nothing)?;
        self.pick_from(pool, want)
    }

    /// The same for a request that does not wait in the queue: those who do come first.
    pub(crate) fn pick_in_turn(&self, want: Want<'_>) -> Result<InFlight, Unpicked> {
        let table = self.table.borrow();
        let pool = table.pool(want.pool).ok_or(Unpicked::Nothing)?;
        if pool.is_bounded() && pool.admission().waiting() > 0 {
            return Err(Unpicked::Full);
        }
        self.pick_from(pool, want)
    }

    fn pick_from(&self, pool: &Pool, want: Want<'_>) -> Result<InFlight, Unpicked> {
        // Those who waited in line, or would try again, are not served by it either.
        if self.stale.get() {
            return Err(Unpicked::Nothing);
        }
        let ask = Ask {
            tried: want.tried,
            hash: want.hash,
            stick: want.stick,
            now: self.clock.now().since_start(),
        };
        pool.pick(&ask, &mut *self.chance.borrow_mut())
    }

    /// Whether the pool has a server that was not tried, by the current table.
    pub(crate) fn has_another(&self, pool: &PoolId, tried: &Tried) -> bool {
        let table = self.table.borrow();
        table.pool(pool).is_some_and(|pool| pool.has_another(tried))
    }

    /// The same of those that are not ejected.
    pub(crate) fn has_a_sound_other(&self, pool: &PoolId, tried: &Tried) -> bool {
        let table = self.table.borrow();
        table
            .pool(pool)
            .is_some_and(|pool| pool.has_a_sound_other(tried))
    }

    /// Closes all connections to servers that nobody uses, where there are files for nothing else.
    pub(crate) fn give_way(&self) {
        self.idle.give_way();
        self.http2.give_way();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// A place for one more client connection, where there is one. Connections of trusted proxies are those of many clients.
    pub(crate) fn admit(self: &Rc<Self>, address: IpAddr) -> Result<Presence, Full> {
        let address = address.to_canonical();
        let client = Some(address).filter(|address| !self.settings.trusted.contains(*address));
        let place = self.crowd.enter(client)?;
        self.connections.set(self.connections.get() + 1);
        self.counters.connection_opened();
        Ok(Presence {
            worker: Rc::clone(self),
            _place: place,
        })
    }

    /// How long a connection is kept for its next request once the worker stops.
    pub(crate) fn last_request_within(&self) -> Duration {
        self.last_request_within.get()
    }

    /// From now on nothing is kept alive; connections that wait for a request are woken to see it. Where a successor serves
    /// already, they are waited for longer: nobody waits for this process to end.
    pub(crate) fn stop(&self, has_successor: bool) {
        if has_successor {
            self.last_request_within.set(self.settings.farewell_within);
        }
        self.stopping.set(true);
        self.timers.wake_all();
    }

    /// Returns when there is no client connection any more.
    pub(crate) async fn emptied(&self) {
        while self.connections.get() > 0 {
            self.ended.notified().await;
        }
    }

    /// Moves the clock on and fires timers, for ever.
    pub(crate) async fn tick(&self) {
        let mut next_sweep = Millis::ZERO;
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let now = self.clock.advance();
            self.timers.advance(now);
            if now >= next_sweep {
                self.idle.sweep(now);
                self.http2.sweep(now);
                next_sweep = now.after(Duration::from_secs(1));
            }
        }
    }

    /// Takes over each table that is published, and says so. Ends when no more will come. The publisher keeps the older table until all
    /// workers have let go of it, so that freeing its thousands of servers holds up no request.
    pub(crate) async fn adopt(&self, mut adoption: Adoption) {
        while let Some(published) = adoption.next().await {
            self.counters.know(&published.table, &self.table.borrow());
            self.stale.set(published.stale);
            for gate in &self.gates {
                let firewall = published.table.listener_firewall(&gate.listener);
                gate.guarded
                    .set(firewall.is_some_and(|rules| !rules.is_open()));
                let answers_health = published.table.listener_answers_health(&gate.listener);
                gate.answers_health.set(answers_health);
            }
            self.tls.replace(published.tls);
            let before = self.table.replace(published.table);
            self.table_number.set(self.table_number.get() + 1);
            self.idle.sweep(self.clock.now());
            self.http2.sweep(self.clock.now());
            for pool in before.pools().chain(self.table.borrow().pools()) {
                pool.admission().change();
            }
            drop(before);
            adoption.done();
        }
    }
}

impl Gate {
    fn of(entrance: Entrance) -> Self {
        Self {
            listener: entrance.as_str().parse().expect("a valid name"),
            guarded: Cell::new(false),
            answers_health: Cell::new(false),
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let worker = &self.worker;
        let left = worker.connections.get() - 1;
        worker.connections.set(left);
        worker.counters.connection_closed();
        if left == 0 {
            worker.ended.notify_one();
        }
    }
}
