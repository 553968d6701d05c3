//! Makes routes of a snapshot and those before.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use model::{
    Collection, Fault, RouteId, Snapshot, Stamped, differing, first_grave, validate_route,
};

use super::names::Names;
use super::tree::Tree;
use super::{Compiled, Route, Routes, Source};
use crate::Firewall;
use crate::firewall::Lists;

pub(super) fn compile(snapshot: &Snapshot, previous: &Routes) -> Routes {
    let before = &previous.0;
    if before
        .source
        .as_ref()
        .is_some_and(|source| source.says_the_same(snapshot))
    {
        return previous.clone();
    }
    let lists = Lists::compile(snapshot, &before.lists);
    let (by_id, faults) = Compilation::new(snapshot, &lists, before).compile();
    let mut compiled = Compiled {
        lists: Arc::new(lists),
        faults,
        source: Some(Source::of(snapshot)),
        ..Compiled::default()
    };
    compiled.plant(&by_id);
    compiled.by_id = by_id;
    Routes(Arc::new(compiled))
}

/// Routes that are being made.
struct Compilation<'a> {
    snapshot: &'a Snapshot,
    lists: &'a Lists,
    names: Names<'a>,
    before: &'a Compiled,
    /// The slots of routes that stay.
    kept: HashSet<u32>,
    next_slot: u32,
    faults: Vec<Fault>,
}

impl<'a> Compilation<'a> {
    fn new(snapshot: &'a Snapshot, lists: &'a Lists, before: &'a Compiled) -> Self {
        let known = before.by_id.iter();
        let kept = known.filter(|(id, _)| snapshot.routes.contains_key(*id));
        Self {
            snapshot,
            lists,
            names: Names::new(snapshot, lists),
            before,
            kept: kept.map(|(_, route)| route.slot()).collect(),
            next_slot: 0,
            faults: Vec::new(),
        }
    }

    /// All of them, and what is wrong with some.
    fn compile(mut self) -> (BTreeMap<RouteId, Arc<Route>>, Vec<Fault>) {
        let mut by_id = BTreeMap::new();
        for (id, definition) in &self.snapshot.routes {
            if let Some(route) = self.route(id, definition) {
                self.faults.extend(missing(&route, self.snapshot));
                by_id.insert(id.clone(), route);
            }
        }
        (by_id, self.faults)
    }

    /// The route as it is now, or where it breaks a rule as it was.
    fn route(
        &mut self,
        id: &RouteId,
        definition: &'a Arc<Stamped<model::Route>>,
    ) -> Option<Arc<Route>> {
        let known = self.before.by_id.get(id);
        if let Some(known) = known.filter(|known| self.would_be_same(known, definition)) {
            return Some(Arc::clone(known));
        }
        if let Some(problem) = first_grave(validate_route(&definition.value)) {
            self.faults.push(fault(id, problem.to_string()));
            return known.map(|known| self.still(known));
        }
        let slot = known.map(|known| known.slot());
        let slot = slot.unwrap_or_else(|| self.free_slot());
        Some(Arc::new(Route::compile(definition, slot, &self.names)))
    }

    fn would_be_same(&self, known: &Route, definition: &Arc<Stamped<model::Route>>) -> bool {
        let is_same =
            Arc::ptr_eq(known.definition(), definition) || known.definition() == definition;
        is_same && self.finds_the_same_lists(known)
    }

    fn finds_the_same_lists(&self, known: &Route) -> bool {
        self.lists
            .agree(&self.before.lists, &known.settings().firewall)
    }

    /// A route that stays as it was, by the lists of now.
    fn still(&self, known: &'a Arc<Route>) -> Arc<Route> {
        match self.finds_the_same_lists(known) {
            true => Arc::clone(known),
            false => Arc::new(Route::compile(
                known.definition(),
                known.slot(),
                &self.names,
            )),
        }
    }

    /// The lowest that no route keeps.
    fn free_slot(&mut self) -> u32 {
        while self.kept.contains(&self.next_slot) {
            self.next_slot += 1;
        }
        self.next_slot += 1;
        self.next_slot - 1
    }
}

/// What a route names that is not there.
fn missing(route: &Route, snapshot: &Snapshot) -> Option<Fault> {
    let settings = route.settings();
    let pools = settings.action.pools();
    let pools = pools.filter(|pool| !snapshot.has_pool(pool));
    let pools = pools.map(|pool| format!("there is no pool {:?}", pool.as_str()));
    let lists = route.firewall().map_or(&[][..], Firewall::missing).iter();
    let lists = lists.map(|list| format!("there is no list of networks {:?}", list.as_str()));
    let reasons: Vec<_> = pools.chain(lists).collect();
    (!reasons.is_empty()).then(|| fault(&settings.id, reasons.join(", ")))
}

fn fault(id: &RouteId, reason: String) -> Fault {
    Fault {
        collection: Collection::Routes,
        key: id.to_string(),
        reason,
    }
}

impl Compiled {
    /// Puts every route where requests find it.
    fn plant(&mut self, routes: &BTreeMap<RouteId, Arc<Route>>) {
        let mut order = Vec::with_capacity(routes.len());
        for route in routes.values() {
            let standings = route.standings().iter();
            order.extend(standings.map(|standing| (standing, route)));
        }
        order.sort_unstable_by(|(one, _), (other, _)| one.rank.cmp(&other.rank));
        for (place, (standing, route)) in (0..).zip(order) {
            let tree = self.tree_of(standing.host.as_deref());
            tree.add(place, route, route.path());
        }
    }

    fn tree_of(&mut self, host: Option<&str>) -> &mut Tree {
        let (hosts, name) = match host.map(|host| (host, host.strip_prefix("*."))) {
            None => return &mut self.any,
            Some((_, Some(name))) => (&mut self.wildcards, name),
            Some((host, None)) => (&mut self.hosts, host),
        };
        hosts.entry(name.as_bytes().into()).or_default()
    }
}

impl Source {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            routes: snapshot.routes.clone(),
            lists: snapshot.networks.clone(),
            listeners: snapshot.listeners.clone(),
            pools: snapshot.pools.clone(),
            unread: snapshot.unread.clone(),
        }
    }

    /// Whether a snapshot has the same routes, what they name, and what shares that with them.
    fn says_the_same(&self, snapshot: &Snapshot) -> bool {
        let comes_or_goes =
            |pool| self.pools.contains_key(pool) != snapshot.pools.contains_key(pool);
        differing(&self.routes, &snapshot.routes).next().is_none()
            && differing(&self.lists, &snapshot.networks).next().is_none()
            && differing(&self.listeners, &snapshot.listeners)
                .next()
                .is_none()
            && !differing(&self.pools, &snapshot.pools).any(comes_or_goes)
            && self.unread == snapshot.unread
    }
}
