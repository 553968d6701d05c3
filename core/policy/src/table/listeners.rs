//! What the listeners of a snapshot let in, compiled, and what they answer themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Collection, Fault, ListenerId, Snapshot, Stamped};

use crate::Firewall;
use crate::firewall::Lists;

/// Every listener's firewall, and what else is said of it.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    by_id: BTreeMap<ListenerId, Arc<Listener>>,
    lists: Arc<Lists>,
}

#[derive(Debug)]
struct Listener {
    source: Arc<Stamped<model::Listener>>,
    firewall: Firewall,
}

impl Listeners {
    /// Where neither a listener nor a list that it names has changed, its firewall is the one of before.
    pub(super) fn compile(snapshot: &Snapshot, lists: &Arc<Lists>, previous: &Self) -> Self {
        let compile = |(id, source): (&ListenerId, &Arc<Stamped<model::Listener>>)| {
            let rule = &source.value.firewall;
            let is_same = |known: &&Arc<Listener>| {
                known.source == *source && lists.agree(&previous.lists, rule)
            };
            let known = previous.by_id.get(id).filter(is_same);
            let listener = known.cloned().unwrap_or_else(|| {
                Arc::new(Listener {
                    firewall: Firewall::compile(rule, lists),
                    source: Arc::clone(source),
                })
            });
            (id.clone(), listener)
        };
        Self {
            by_id: snapshot.listeners.iter().map(compile).collect(),
            lists: Arc::clone(lists),
        }
    }

    pub(super) fn firewall(&self, id: &ListenerId) -> Option<&Firewall> {
        self.by_id.get(id).map(|listener| &listener.firewall)
    }

    /// Whether it answers about the balancer's health.
    pub(super) fn answers_health(&self, id: &ListenerId) -> bool {
        let listener = self.by_id.get(id);
        listener.is_some_and(|listener| listener.source.value.health)
    }

    /// Those that name a list which is not there.
    pub(super) fn faults(&self) -> impl Iterator<Item = Fault> {
        self.by_id.iter().filter_map(|(id, listener)| {
            let missing = listener.firewall.missing().first()?;
            Some(Fault {
                collection: Collection::Listeners,
                key: id.to_string(),
                reason: format!("there is no list of networks {:?}", missing.as_str()),
            })
        })
    }
}
