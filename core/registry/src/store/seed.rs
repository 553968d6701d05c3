//! Making the head: the beginning of a history, from nothing or from a copy that outlived the registry's memory.

use model::{Author, Collection, Delta, RevisionId, Snapshot, Stamped, Term};
use serde::Serialize;
use uuid::Uuid;

use super::element::Stamp;
use super::{Answers, Mark, Store};
use crate::{Digest, Head};

/// A snapshot as the elements that a backend writes.
#[derive(Debug)]
pub(crate) struct Seed {
    pub(crate) elements: Vec<SeedElement>,
    /// The log's first entry. It lets a follower that starts here catch up, and changes nothing itself.
    pub(crate) origin: Delta,
}

#[derive(Debug)]
pub(crate) struct SeedElement {
    pub(crate) collection: Collection,
    pub(crate) key: String,
    pub(crate) stored: String,
}

impl Seed {
    /// What only a newer version can read goes in as it was stored, in the place of the last good element, if there is one.
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        // Every collection is seeded, or it would be lost: a new field must be decided on.
        let Snapshot {
            position,
            desired,
            pools,
            servers,
            health,
            holds,
            routes,
            listeners,
            networks,
            certificates,
            limits,
            secrets,
            unread,
            faults: _,
        } = snapshot;
        let mut elements = Vec::new();
        add(&mut elements, Collection::Pools, pools);
        add(&mut elements, Collection::Servers, servers);
        add(&mut elements, Collection::Health, health);
        add(&mut elements, Collection::Holds, holds);
        add(&mut elements, Collection::Routes, routes);
        add(&mut elements, Collection::Listeners, listeners);
        add(&mut elements, Collection::Networks, networks);
        add(&mut elements, Collection::Certificates, certificates);
        add(&mut elements, Collection::Limits, limits);
        add(&mut elements, Collection::Secrets, secrets);
        elements.retain(|it: &SeedElement| !unread.contains(it.collection, &it.key));
        elements.extend(unread.iter().map(SeedElement::unread));
        let origin = Delta {
            epoch: position.epoch,
            revision: position.revision,
            id: position.id,
            previous: RevisionId(Uuid::nil()),
            desired: *desired,
            author: Author::Source {
                name: "seed".into(),
            },
            entries: Vec::new(),
            time: None,
        };
        Self { elements, origin }
    }
}

impl SeedElement {
    fn unread((collection, key, text): (Collection, &str, &str)) -> Self {
        let (key, stored) = (key.into(), text.into());
        Self {
            collection,
            key,
            stored,
        }
    }
}

fn add<'a, K: ToString + 'a, T: Serialize + 'a>(
    elements: &mut Vec<SeedElement>,
    collection: Collection,
    stamped: impl IntoIterator<Item = (&'a K, &'a std::sync::Arc<Stamped<T>>)>,
) {
    for (key, element) in stamped {
        let stamp = Stamp {
            revision: element.revision,
            created: element.created,
            ordinal: element.ordinal,
            incarnation: element.incarnation,
        };
        // By way of a JSON value, as a commit's values are, so that both write the same text.
        let value = serde_json::to_value(&element.value);
        let value = value.expect("model types hold nothing that JSON cannot");
        elements.push(SeedElement {
            collection,
            key: key.to_string(),
            stored: stamp.wrap(&value.to_string()),
        });
    }
}

impl Store {
    /// Makes the head with every element of the snapshot; the answer is what to announce. Does nothing where
    /// a head exists. What a lost head left behind is cleared away, but for the history.
    pub fn seed(&mut self, snapshot: &Snapshot) -> Option<Delta> {
        if self.head.is_some() {
            return None;
        }
        let Seed { elements, origin } = Seed::new(snapshot);
        let mut head = Head {
            position: snapshot.position,
            desired: snapshot.desired,
            term: Term(0),
            leader: None,
            digests: Collection::ALL
                .map(|collection| (collection, Digest::default()))
                .into(),
        };
        self.elements.clear();
        for element in elements {
            let digest = head.digests.entry(element.collection).or_default();
            digest.add(element.key.as_bytes(), element.stored.as_bytes());
            self.elements
                .entry(element.collection)
                .or_default()
                .insert(element.key, element.stored);
        }
        self.head = Some(head);
        self.lease = None;
        self.answers = Answers::default();
        self.log = [origin.clone()].into();
        self.mark_instances(Mark::Seed);
        Some(origin)
    }
}
