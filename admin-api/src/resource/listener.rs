//! Listeners as resources.

use model::{
    Change, Collection, Elements, Listener, ListenerId, Snapshot, Unknown, validate_listener,
};

use super::Resource;
use super::certificate::check_roots;
use super::reference::{Reference, Target, of_firewall};

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
        let found = validate_listener(self);
        check_roots(found, "tls.client.ca", &self.tls.client.ca)
    }

    fn references(&self) -> Vec<Reference<'_>> {
        let tls = &self.tls;
        let named = tls.certificates.iter().enumerate();
        let named = named.map(|(index, id)| (format!("tls.certificates[{index}]"), id));
        let default = tls.default.iter().map(|id| ("tls.default".into(), id));
        let certificates = named.chain(default).map(|(field, id)| Reference {
            field,
            target: Target::Certificate(id),
        });
        of_firewall(&self.firewall).chain(certificates).collect()
    }

    fn unknown(&mut self) -> Vec<(String, &mut Unknown)> {
        self.unknown_mut()
    }
}
