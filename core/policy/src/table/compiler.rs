//! Makes a table of a snapshot and the table before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Health, PoolId, Revision, ServerKey, ServerState, Snapshot, Stamped, StickyKind};

use super::differences::Differences;
use super::listeners::Listeners;
use super::{Departed, Pools, Table};
use crate::limit::Limits;
use crate::pool::Surroundings;
use crate::sticky::Keys;
use crate::{Admission, Live, Pool, Routes, Server};

/// How many removed servers are remembered at most, those with requests in flight aside.
const DEPARTED_MAX: usize = 4096;

/// One compilation.
pub(super) struct Compiler<'a> {
    snapshot: &'a Snapshot,
    previous: &'a Table,
    /// From the snapshot of the table before, if there was one.
    differences: Option<Differences<'a>>,
    /// Where the rotation of a new pool begins.
    start: u64,
    now: Duration,
    /// What cookies are made with.
    keys: Option<Arc<Keys>>,
    /// The last number given to an incarnation or a pool.
    last_number: u64,
    /// Incarnations that had departed, and may come back.
    departed: HashMap<(&'a ServerKey, Revision), &'a Arc<Live>>,
    /// The numbers of those that have.
    returned: HashSet<u64>,
    /// Incarnations that depart with this table.
    newly_departed: Vec<Departed>,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        previous: &'a Table,
        start: u64,
        now: Duration,
    ) -> Self {
        let departed = previous.departed.iter().map(|departed| &departed.live);
        let source = previous.source.as_ref();
        Self {
            snapshot,
            previous,
            differences: source.map(|before| Differences::between(before, snapshot)),
            start,
            now,
            keys: Keys::of(snapshot, previous.keys.as_ref()),
            last_number: previous.last_number,
            departed: departed
                .map(|live| ((live.key(), live.incarnation()), live))
                .collect(),
            returned: HashSet::new(),
            newly_departed: Vec::new(),
        }
    }

    pub(super) fn compile(mut self) -> Table {
        let (snapshot, previous) = (self.snapshot, self.previous);
        let mut pools = Pools::default();
        pools.reserve(snapshot.pools.len());
        for (id, definition) in &snapshot.pools {
            pools.insert(id.clone(), self.pool(definition));
        }
        for (id, pool) in &previous.pools {
            if !pools.contains_key(id) {
                self.depart(pool, pool.servers().iter().map(|server| server.live()));
            }
        }
        let routes = Routes::compile(snapshot, &previous.routes);
        let listeners = Listeners::compile(snapshot, routes.lists(), &previous.listeners);
        let limits = Limits::compile(snapshot, &previous.limits);
        let faults = routes.faults().iter().chain(limits.faults()).cloned();
        Table {
            position: Some(snapshot.position),
            faults: faults.chain(listeners.faults()).collect(),
            routes,
            listeners,
            limits,
            standard: pools.get(&PoolId::standard()).cloned(),
            pools,
            keys: self.keys.clone(),
            last_number: self.last_number,
            source: Some(snapshot.clone()),
            departed: self.all_departed(),
        }
    }

    /// The pool of the table before, where this one's would be the same; else made anew, of what has changed where that is enough.
    fn pool(&mut self, definition: &Arc<Stamped<model::Pool>>) -> Arc<Pool> {
        let id = &definition.value.id;
        let previous = self.previous.pools.get(id);
        let differences = self.differences.as_ref();
        let changed = differences.and_then(|differences| differences.within(id));
        if let (Some(previous), Some(changed)) = (previous, &changed)
            && changed.is_empty()
            && previous.grows_at().is_none()
            && !self.has_other_keys(&definition.value)
        {
            return Arc::clone(previous);
        }
        let previous = previous.map(Arc::as_ref);
        let admission = self.admission(id, previous);
        let replaced = match (previous, changed) {
            (Some(previous), Some(changed)) => {
                self.replaced(&definition.value, previous, &changed, &admission)
            }
            _ => None,
        };
        let servers =
            replaced.unwrap_or_else(|| self.servers(&definition.value, previous, &admission));
        let number = previous.map_or_else(|| self.next_number(), Pool::number);
        let definition = Arc::clone(definition);
        let surroundings = Surroundings {
            previous,
            keys: self.keys.as_ref(),
            start: self.start,
            now: self.now,
        };
        let pool = Pool::new(number, definition, servers, admission, surroundings);
        Arc::new(pool)
    }

    /// Whether the pool's cookies are made with other keys than before.
    fn has_other_keys(&self, pool: &model::Pool) -> bool {
        let before = self.previous.keys.as_ref().map(Arc::as_ptr);
        pool.sticky.kind == StickyKind::Cookie && before != self.keys.as_ref().map(Arc::as_ptr)
    }

    /// The servers of the table before with those in their places that have changed. Nothing where some came or went.
    fn replaced(
        &mut self,
        settings: &model::Pool,
        previous: &'a Pool,
        changed: &[&ServerKey],
        admission: &Arc<Admission>,
    ) -> Option<Vec<Arc<Server>>> {
        let mut places = Vec::with_capacity(changed.len());
        for key in changed {
            let definition = self.snapshot.servers.get(*key)?;
            places.push((previous.place_of(definition)?, definition, *key));
        }
        let mut servers = previous.servers().to_vec();
        let mut gone = Vec::new();
        for (place, definition, key) in places {
            let health = self.snapshot.health_of(key);
            let known = Some(&previous.servers()[place]);
            servers[place] = self.server(definition, health, known, &mut gone, admission, settings);
        }
        self.depart(previous, gone.into_iter());
        Some(servers)
    }

    /// All servers, each compared with what the table before had.
    fn servers(
        &mut self,
        settings: &model::Pool,
        previous: Option<&'a Pool>,
        admission: &Arc<Admission>,
    ) -> Vec<Arc<Server>> {
        let mut former = Former::of(previous);
        let mut gone = Vec::new();
        let servers = self.snapshot.judged_servers_of(&settings.id).into_iter();
        let servers = servers
            .map(|(definition, health)| {
                let known = former.find(definition);
                self.server(definition, health, known, &mut gone, admission, settings)
            })
            .collect();
        if let Some(previous) = previous {
            self.depart(previous, gone.into_iter().chain(former.gone()));
        }
        servers
    }

    /// A server, with what goes on with it. What went on with another incarnation at its place is added to what is gone.
    fn server(
        &mut self,
        definition: &Arc<Stamped<model::Server>>,
        health: Health,
        known: Option<&'a Arc<Server>>,
        gone: &mut Vec<&'a Arc<Live>>,
        admission: &Arc<Admission>,
        pool: &model::Pool,
    ) -> Arc<Server> {
        let current = known.filter(|server| server.is_current(definition, health));
        let server = match current {
            Some(server) => Arc::clone(server),
            None => Arc::new(self.new_server(definition, health, known, gone, admission, pool)),
        };
        let places = server.live().places();
        places.bound(
            definition.value.max_connections,
            pool.circuit.server_requests,
        );
        server
    }

    fn new_server(
        &mut self,
        definition: &Arc<Stamped<model::Server>>,
        health: Health,
        known: Option<&'a Arc<Server>>,
        gone: &mut Vec<&'a Arc<Live>>,
        admission: &Arc<Admission>,
        pool: &model::Pool,
    ) -> Server {
        let same = known.filter(|server| server.live().incarnation() == definition.incarnation);
        let live = match same {
            Some(server) => Arc::clone(server.live()),
            None => {
                gone.extend(known.map(|server| server.live()));
                self.returned_or_new(definition, admission)
            }
        };
        let server = Server::new(Arc::clone(definition), health, live);
        let live = server.live();
        live.judge(health);
        let is_first = self.previous.position.is_none();
        live.warmth().judge(health, is_first, self.now);
        match server.state() {
            ServerState::Active => live.stay(health != Health::Down),
            ServerState::Draining if pool.sticky.outlasts_drain() => {
                live.leave_after_clients(self.now, pool.timeouts.drain);
            }
            ServerState::Draining | ServerState::Disabled => {
                live.leave(self.now + pool.timeouts.drain);
            }
        }
        server
    }

    /// What goes on with an incarnation that the table before did not have.
    fn returned_or_new(
        &mut self,
        server: &Stamped<model::Server>,
        admission: &Arc<Admission>,
    ) -> Arc<Live> {
        let (key, incarnation) = (server.value.key(), server.incarnation);
        if let Some(live) = self.departed.get(&(&key, incarnation)) {
            self.returned.insert(live.number());
            return Arc::clone(live);
        }
        let number = self.next_number();
        Arc::new(Live::new(number, key, incarnation, Arc::clone(admission)))
    }

    /// The admission of a pool. Where the pool is gone, but servers of it may come back, theirs goes on.
    fn admission(&self, pool: &PoolId, previous: Option<&Pool>) -> Arc<Admission> {
        let departed = || {
            let live = self.departed.values().find(|live| live.key().pool == *pool);
            live.map(|live| Arc::clone(live.admission()))
        };
        let present = previous.map(|pool| Arc::clone(pool.admission()));
        present.or_else(departed).unwrap_or_default()
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Servers that this pool had leave it.
    fn depart(&mut self, pool: &Pool, lives: impl Iterator<Item = &'a Arc<Live>>) {
        let leaves_by = self.now + pool.settings().value.timeouts.drain;
        for live in lives {
            live.leave(leaves_by);
            self.newly_departed.push(Departed {
                live: Arc::clone(live),
                at_rest_since: None,
            });
        }
    }

    /// Those that had departed before and are not forgotten, and those that do now.
    fn all_departed(self) -> Vec<Departed> {
        let stay_away = |one: &&Departed| !self.returned.contains(&one.live.number());
        let before = self.previous.departed.iter().filter(stay_away);
        let mut departed: Vec<_> = before.cloned().chain(self.newly_departed).collect();
        departed.retain_mut(|one| one.is_remembered(self.now));
        let mut excess = departed.len().saturating_sub(DEPARTED_MAX);
        departed.retain(|one| {
            let forgotten = excess > 0 && one.live.in_flight() == 0;
            excess -= usize::from(forgotten);
            !forgotten
        });
        departed
    }
}

/// A pool's servers as the table before had them, looked for in the order of creation, in which they are kept.
struct Former<'a> {
    /// Those that come after the last one that was looked for.
    later: &'a [Arc<Server>],
    /// What went on with those that were passed over.
    gone: Vec<&'a Arc<Live>>,
}

impl<'a> Former<'a> {
    fn of(pool: Option<&'a Pool>) -> Self {
        Self {
            later: pool.map_or(&[], Pool::servers),
            gone: Vec::new(),
        }
    }

    fn find(&mut self, definition: &Stamped<model::Server>) -> Option<&'a Arc<Server>> {
        while let Some((server, later)) = self.later.split_first() {
            if server.age() > definition.age() {
                return None;
            }
            self.later = later;
            // Histories that have parted may have given two servers the same age.
            if server.age() == definition.age() && server.is_of(&definition.value) {
                return Some(server);
            }
            self.gone.push(server.live());
        }
        None
    }

    /// What went on with those that were not found to be there still.
    fn gone(self) -> impl Iterator<Item = &'a Arc<Live>> {
        let later = self.later.iter().map(|server| server.live());
        self.gone.into_iter().chain(later)
    }
}
