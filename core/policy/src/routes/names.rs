//! What routes name, found once and shared by all that name it: with thousands of routes, what they have in common stays in the near caches.

use std::cell::RefCell;
use std::sync::Arc;

use model::{LimitId, PoolId, Snapshot};

use crate::Firewall;
use crate::firewall::Lists;

/// What the route before has, and what was made of it: routes that have the same mostly come one after another.
type Latest<'a, K, V> = RefCell<Option<(&'a K, Arc<V>)>>;

/// Where routes find what they name.
#[derive(Debug)]
pub(super) struct Names<'a> {
    snapshot: &'a Snapshot,
    lists: &'a Lists,
    firewall: Latest<'a, model::Firewall, Firewall>,
    limits: Latest<'a, [LimitId], [LimitId]>,
}

impl<'a> Names<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, lists: &'a Lists) -> Self {
        Self {
            snapshot,
            lists,
            firewall: RefCell::default(),
            limits: RefCell::default(),
        }
    }

    pub(super) fn pool(&self, id: &PoolId) -> PoolId {
        let known = self.snapshot.pools.get_key_value(id);
        known.map_or(id, |(known, _)| known).clone()
    }

    /// Nothing where there are none.
    pub(super) fn limits(&self, ids: &'a [LimitId]) -> Option<Arc<[LimitId]>> {
        let known = |id| self.snapshot.limits.get_key_value(id);
        let name = |id| known(id).map_or(id, |(known, _)| known).clone();
        let make = || ids.iter().map(name).collect();
        (!ids.is_empty()).then(|| latest_or(&self.limits, ids, make))
    }

    /// Nothing where everybody may come.
    pub(super) fn firewall(&self, rule: &'a model::Firewall) -> Option<Arc<Firewall>> {
        let is_given = !(rule.allow.is_empty() && rule.deny.is_empty());
        let make = || Arc::new(Firewall::compile(rule, self.lists));
        is_given.then(|| latest_or(&self.firewall, rule, make))
    }
}

/// The latest value, where it was made of the same.
fn latest_or<'a, K: PartialEq + ?Sized, V: ?Sized>(
    latest: &Latest<'a, K, V>,
    key: &'a K,
    make: impl FnOnce() -> Arc<V>,
) -> Arc<V> {
    let mut latest = latest.borrow_mut();
    if let Some((_, value)) = latest.as_ref().filter(|(known, _)| *known == key) {
        return Arc::clone(value);
    }
    let value = make();
    *latest = Some((key, Arc::clone(&value)));
    value
}
