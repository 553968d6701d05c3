//! A worker: one thread with its own runtime, its own listener and its own connections to servers.
//!
//! Threads share the immutable table, atomics of the servers, and nothing else. A worker takes each new table over between two
//! turns of its loop and says so, which is what makes "applied" true: no request of this thread can pick from an older one.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use policy::{Ask, InFlight, Pool, Table, Tried, Unpicked};
use rand::rngs::SmallRng;
use tokio::sync::Notify;

use crate::adoption::Adoption;
use crate::clock::{Clock, Millis};
use crate::crowd::{Crowd, Full, Place};
use crate::metrics::Counters;
use crate::request_id::RequestIds;
use crate::settings::{LAST_REQUEST_WITHIN, Settings};
use crate::suspecting::Suspecting;
use crate::timers::Timers;
use crate::upstream::{Common, Idle, IdleRoom};

/// How often the worker's clock moves on and its timers are looked at.
const TICK: Duration = Duration::from_millis(10);

/// What the connections of one thread share.
pub(crate) struct Worker {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) timers: Rc<Timers>,
    pub(crate) idle: Idle,
    pub(crate) counters: Arc<Counters>,
    pub(crate) suspecting: Suspecting,
    pub(crate) request_ids: RequestIds,
    crowd: Arc<Crowd>,
    table: RefCell<Arc<Table>>,
    chance: RefCell<SmallRng>,
    stopping: Cell<bool>,
    /// How long a connection is kept for its next request once the worker stops.
    last_request_within: Cell<Duration>,
    connections: Cell<usize>,
    /// Told when the last connection ends.
    ended: Notify,
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
        crowd: Arc<Crowd>,
        common: Arc<Common>,
    ) -> Self {
        Self {
            clock: Clock::new(settings.started),
            timers: Rc::new(Timers::new()),
            idle: Idle::new(
                common,
                IdleRoom {
                    crowd: Arc::clone(&crowd),
                    files: settings.files,
                    workers: settings.workers,
                },
            ),
            counters,
            suspecting,
            request_ids: RequestIds::new(),
            settings,
            crowd,
            table: RefCell::default(),
            chance: RefCell::new(rand::make_rng()),
            stopping: Cell::new(false),
            last_request_within: Cell::new(LAST_REQUEST_WITHIN),
            connections: Cell::new(0),
            ended: Notify::new(),
        }
    }

    /// The pool that takes a request, by the current table.
    pub(crate) fn route(&self) -> Option<Arc<Pool>> {
        self.table.borrow().route().cloned()
    }

    /// Picks a server of the current table and takes it, in one step; `hash` is that of the request.
    pub(crate) fn pick(&self, tried: &Tried, hash: u64) -> Result<InFlight, Unpicked> {
        let table = self.table.borrow();
        let pool = table.route().ok_or(Unpicked::Nothing)?;
        self.pick_from(pool, tried, hash)
    }

    /// The same for a request that does not wait in line: those who do come first.
    pub(crate) fn pick_in_turn(&self, tried: &Tried, hash: u64) -> Result<InFlight, Unpicked> {
        let table = self.table.borrow();
        let pool = table.route().ok_or(Unpicked::Nothing)?;
        if pool.is_bounded() && pool.gate().waiting() > 0 {
            return Err(Unpicked::Full);
        }
        self.pick_from(pool, tried, hash)
    }

    fn pick_from(&self, pool: &Pool, tried: &Tried, hash: u64) -> Result<InFlight, Unpicked> {
        let ask = Ask {
            tried,
            hash,
            now: self.clock.now().since_start(),
        };
        pool.pick(&ask, &mut *self.chance.borrow_mut())
    }

    /// Whether the current table has a server that was not tried.
    pub(crate) fn has_another(&self, tried: &Tried) -> bool {
        let table = self.table.borrow();
        table.route().is_some_and(|pool| pool.has_another(tried))
    }

    /// The same of those that are not ejected.
    pub(crate) fn has_a_sound_other(&self, tried: &Tried) -> bool {
        let table = self.table.borrow();
        table
            .route()
            .is_some_and(|pool| pool.has_a_sound_other(tried))
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
    pub(crate) fn stop(&self, succeeded: bool) {
        if succeeded {
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
                next_sweep = now.after(Duration::from_secs(1));
            }
        }
    }

    /// Takes over each table that is published, and says so. Ends when no more will come. The publisher keeps the older table until all
    /// workers have let go of it, so that freeing its thousands of servers holds up no request.
    pub(crate) async fn adopt(&self, mut adoption: Adoption) {
        while let Some(table) = adoption.next().await {
            self.counters.know(&table);
            let before = self.table.replace(table);
            self.idle.sweep(self.clock.now());
            for pool in before.pools().chain(self.table.borrow().pools()) {
                pool.gate().change();
            }
            drop(before);
            adoption.done();
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
