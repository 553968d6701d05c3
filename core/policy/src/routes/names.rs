//! What routes name, found once and shared by all that name it: with thousands of routes, what they have in common stays in the near caches.

use std::cell::RefCell;
use std::sync::Arc;

use model::{LimitId, PoolId, Snapshot};

use crate::Firewall;
use crate::firewall::Lists;

/// Where routes find what they name.
#[derive(Debug)]
pub(super) struct Names<'a> {
    snapshot: &'a Snapshot,
    lists: &'a Lists,
    /// The latest rule: routes that have the same one mostly come one after another.
    latest: RefCell<Option<(&'a model::Firewall, Arc<Firewall>)>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, lists: &'a Lists) -> Self {
        Self {
            snapshot,
            lists,
            latest: RefCell::default(),
        }
    }

    pub(super) fn pool(&self, id: &PoolId) -> PoolId {
        let known = self.snapshot.pools.get_key_value(id);
        known.map_or(id, |(known, _)| known).clone()
    }

    pub(super) fn limit(&self, id: &LimitId) -> LimitId {
        let known = self.snapshot.limits.get_key_value(id);
        known.map_or(id, |(known, _)| known).clone()
    }

    /// Nothing where everybody may come.
    pub(super) fn firewall(&self, rule: &'a model::Firewall) -> Option<Arc<Firewall>> {
        let mut latest = self.latest.borrow_mut();
        if let Some((_, firewall)) = latest.as_ref().filter(|(known, _)| *known == rule) {
            return Some(Arc::clone(firewall));
        }
        let firewall = Arc::new(Firewall::compile(rule, self.lists));
        if firewall.is_open() {
            return None;
        }
        *latest = Some((rule, Arc::clone(&firewall)));
        Some(firewall)
    }
}
