//! Listeners as resources.

use model::{
    Change, Collection, Elements, Listener, ListenerId, Snapshot, Unknown, validate_listener,
};

use super::Resource;
use super::reference::{Reference, of_firewall};

impl Resource for Listener {
    type Key = ListenerId;

    const KIND: &'static str = "listener";
    const COLLECTION: Collection = Collection::Listeners;
    const MAX: usize = 100;

    fn all(snapshot: &Snapshot) -> &Elements<ListenerId, Self> {
        &snapshot.listeners
    }

    fn key(&self) -> ListenerId {
        self.id.clone()
    }

    fn change(key: ListenerId, value: Option<Self>) -> Change {
        Change::Listener(key, value)
    }

    fn validate(&self) -> Result<(), Vec<model::Problem>> {
        validate_listener(self)
    }

    fn references(&self) -> Vec<Reference<'_>> {
        of_firewall(&self.firewall).collect()
    }

    fn unknown(&mut self) -> Vec<(String, &mut Unknown)> {
        self.unknown_mut()
    }
}
