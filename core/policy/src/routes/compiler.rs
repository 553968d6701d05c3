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
    let names = Names::new(snapshot, &lists);
    let mut free = free_places(snapshot, before);
    let mut faults = Vec::new();
    let mut by_id = BTreeMap::new();
    for (id, definition) in &snapshot.routes {
        let known = before.by_id.get(id);
        let route = match of_before(known, definition, &lists, &before.lists) {
            Some(route) => Some(Arc::clone(route)),
            None => match first_grave(validate_route(&definition.value)) {
                None => {
                    let place = known.map(|known| known.place());
                    let place = place.or_else(|| free.next()).expect("places do not end");
                    Some(Arc::new(Route::compile(definition, place, &names)))
                }
                Some(problem) => {
                    faults.push(fault(id, problem.to_string()));
                    known.map(|known| still(known, &names, &lists, &before.lists))
                }
            },
        };
        if let Some(route) = route {
            faults.extend(missing(&route, snapshot));
            by_id.insert(id.clone(), route);
        }
    }
    drop(names);
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

/// The places that no route has which stays, from the first on.
fn free_places(snapshot: &Snapshot, before: &Compiled) -> impl Iterator<Item = u32> {
    let stay = before.by_id.iter();
    let stay = stay.filter(|(id, _)| snapshot.routes.contains_key(*id));
    let taken: HashSet<_> = stay.map(|(_, route)| route.place()).collect();
    (0..).filter(move |place| !taken.contains(place))
}

/// The route as it was, where it would be the same.
fn of_before<'a>(
    known: Option<&'a Arc<Route>>,
    definition: &Arc<Stamped<model::Route>>,
    lists: &Lists,
    before: &Lists,
) -> Option<&'a Arc<Route>> {
    let known = known?;
    let is_same = Arc::ptr_eq(known.definition(), definition) || known.definition() == definition;
    let agrees = || lists.agree(before, &definition.value.firewall);
    (is_same && agrees()).then_some(known)
}

/// A route that stays as it was, by the lists of now.
fn still<'a>(
    known: &'a Arc<Route>,
    names: &Names<'a>,
    lists: &Lists,
    before: &Lists,
) -> Arc<Route> {
    match lists.agree(before, &known.settings().firewall) {
        true => Arc::clone(known),
        false => Arc::new(Route::compile(known.definition(), known.place(), names)),
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
