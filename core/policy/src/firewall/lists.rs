//! The lists of networks that some rule names, each compiled once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use model::{NetworkList, NetworkListId, Snapshot, Stamped};

use super::Networks;

/// What rules find their lists in.
#[derive(Debug, Default)]
pub(crate) struct Lists(HashMap<NetworkListId, List>);

#[derive(Debug, Clone)]
struct List {
    /// What it was compiled from, which others may hold too.
    source: Arc<Stamped<NetworkList>>,
    networks: Arc<Networks>,
    /// The snapshot has it no more.
    is_gone: bool,
}

impl Lists {
    /// Compiles those that some route or listener of the snapshot names, as far as they were not compiled before.
    pub(crate) fn compile(snapshot: &Snapshot, previous: &Self) -> Self {
        let routes = snapshot.routes.values().map(|route| &route.value.firewall);
        let listeners = snapshot.listeners.values();
        let rules = routes.chain(listeners.map(|listener| &listener.value.firewall));
        let named: BTreeSet<_> = rules.flat_map(model::Firewall::lists).collect();
        let compile = |id: &NetworkListId| {
            let list = List::compile(snapshot.networks.get(id), previous.0.get(id))?;
            Some((id.clone(), list))
        };
        Self(named.into_iter().filter_map(compile).collect())
    }

    pub(super) fn get(&self, id: &NetworkListId) -> Option<&Arc<Networks>> {
        self.0.get(id).map(|list| &list.networks)
    }

    pub(super) fn is_missing(&self, id: &NetworkListId) -> bool {
        self.0.get(id).is_none_or(|list| list.is_gone)
    }

    /// Whether a rule finds the same here as there.
    pub(crate) fn agree(&self, other: &Self, rule: &model::Firewall) -> bool {
        rule.lists()
            .all(|id| match (self.0.get(id), other.0.get(id)) {
                (Some(one), Some(other)) => {
                    Arc::ptr_eq(&one.networks, &other.networks) && one.is_gone == other.is_gone
                }
                (None, None) => true,
                _ => false,
            })
    }
}

impl List {
    /// A list that is gone stays as it was for as long as some rule names it.
    fn compile(
        source: Option<&Arc<Stamped<NetworkList>>>,
        previous: Option<&Self>,
    ) -> Option<Self> {
        let Some(source) = source else {
            let previous = previous?.clone();
            return Some(Self {
                is_gone: true,
                ..previous
            });
        };
        let is_same = |before: &&Self| {
            Arc::ptr_eq(&before.source, source)
                || before.source.value.networks == source.value.networks
        };
        let networks = match previous.filter(is_same) {
            Some(before) => Arc::clone(&before.networks),
            None => Arc::new(Networks::new(&source.value.networks)),
        };
        Some(Self {
            source: Arc::clone(source),
            networks,
            is_gone: false,
        })
    }
}
