//! A snapshot made of what a backend read: stored texts parsed, nonsense named, digests compared with the head.

use std::collections::BTreeMap;

use model::{Collection, Fault, Snapshot};

use crate::{Digest, Head, Snapshotted};

/// Builds a snapshot, one collection after the other.
#[derive(Debug)]
pub(crate) struct Assembly {
    head: Head,
    snapshot: Snapshot,
    found: BTreeMap<Collection, Digest>,
    unreadable: BTreeMap<Collection, String>,
}

impl Assembly {
    pub(crate) fn new(head: Head) -> Self {
        let mut snapshot = Snapshot::empty(head.position);
        snapshot.desired = head.desired;
        Self {
            head,
            snapshot,
            found: BTreeMap::new(),
            unreadable: BTreeMap::new(),
        }
    }

    /// Takes one stored element.
    pub(crate) fn take(&mut self, collection: Collection, key: &[u8], stored: &[u8]) {
        self.found.entry(collection).or_default().add(key, stored);
        self.snapshot.apply_stored(collection, key, stored);
    }

    /// Leaves out a collection of which nothing can be read: damage, and a fault, so that a follower keeps its own. A newer version
    /// may well keep one of its own some other way.
    pub(crate) fn unreadable(&mut self, collection: Collection, reason: String) {
        if collection.is_other() {
            return;
        }
        self.snapshot.faults.push(Fault {
            collection,
            key: Fault::WHOLE_COLLECTION.into(),
            reason: reason.clone(),
        });
        self.unreadable.insert(collection, reason);
    }

    pub(crate) fn finish(mut self) -> Snapshotted {
        self.snapshot.sort_faults();
        // What becomes of a newer version's collection is not for this one to judge.
        let damage = Collection::ALL
            .into_iter()
            .filter_map(|collection| self.damage(collection))
            .collect();
        Snapshotted {
            head: self.head,
            snapshot: self.snapshot,
            damage,
        }
    }

    fn damage(&self, collection: Collection) -> Option<Fault> {
        let reason = match self.unreadable.get(&collection) {
            Some(reason) => reason.clone(),
            None => self.difference(collection)?,
        };
        Some(Fault {
            collection,
            key: Fault::WHOLE_COLLECTION.into(),
            reason,
        })
    }

    /// What is otherwise than the head says.
    fn difference(&self, collection: Collection) -> Option<String> {
        let expected = self
            .head
            .digests
            .get(&collection)
            .copied()
            .unwrap_or_default();
        let found = self.found.get(&collection).copied().unwrap_or_default();
        if found == expected {
            return None;
        }
        Some(if found.count == expected.count {
            format!(
                "not what was committed: {} elements, at least one of them by other hands",
                found.count
            )
        } else {
            format!(
                "not what was committed: {} elements where there should be {}",
                found.count, expected.count
            )
        })
    }
}
