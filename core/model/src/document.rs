//! The desired state as one document, for people who keep it in a file: its elements without stamps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Certificate, CertificateId, Change, Collection, Elements, Limit, LimitId, Listener, ListenerId,
    NetworkList, NetworkListId, Pool, PoolId, Route, RouteId, Server, ServerKey, Snapshot, Unknown,
    Unread,
};

/// Every element that people keep, as desired. Written as lists in the order of the keys, so that the same state is the same text. What
/// there is none of is an empty list, which says so: a document without that list says nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fleet {
    #[serde(with = "list")]
    pub pools: BTreeMap<PoolId, Pool>,
    #[serde(with = "list")]
    pub servers: BTreeMap<ServerKey, Server>,
    #[serde(with = "list")]
    pub routes: BTreeMap<RouteId, Route>,
    #[serde(with = "list")]
    pub listeners: BTreeMap<ListenerId, Listener>,
    #[serde(with = "list")]
    pub networks: BTreeMap<NetworkListId, NetworkList>,
    #[serde(with = "list")]
    pub certificates: BTreeMap<CertificateId, Certificate>,
    #[serde(with = "list")]
    pub limits: BTreeMap<LimitId, Limit>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Fleet {
    /// The desired state of a snapshot. What a newer version wrote there, and this one cannot read, is not in it, nor
    /// what was in its place before.
    pub fn of(snapshot: &Snapshot) -> Self {
        // Which of all fields are documented is for `Collection::is_documented` to say: a new one must be decided on.
        let Snapshot {
            pools,
            servers,
            routes,
            listeners,
            networks,
            certificates,
            limits,
            unread,
            position: _,
            desired: _,
            health: _,
            holds: _,
            secrets: _,
            faults: _,
        } = snapshot;
        Self {
            pools: readable(pools, Collection::Pools, unread),
            servers: readable(servers, Collection::Servers, unread),
            routes: readable(routes, Collection::Routes, unread),
            listeners: readable(listeners, Collection::Listeners, unread),
            networks: readable(networks, Collection::Networks, unread),
            certificates: readable(certificates, Collection::Certificates, unread),
            limits: readable(limits, Collection::Limits, unread),
            unknown: Unknown::default(),
        }
    }

    /// What makes this state the other one: no more than what differs, removals included.
    pub fn changes_to(&self, wanted: &Self) -> Vec<Change> {
        let Self {
            pools,
            servers,
            routes,
            listeners,
            networks,
            certificates,
            limits,
            unknown: _,
        } = self;
        let mut changes = Vec::new();
        differing(pools, &wanted.pools, &mut changes, |id, pool| {
            Change::Pool(id, pool.map(Box::new))
        });
        differing(servers, &wanted.servers, &mut changes, Change::Server);
        differing(routes, &wanted.routes, &mut changes, |id, route| {
            Change::Route(id, route.map(Box::new))
        });
        differing(listeners, &wanted.listeners, &mut changes, Change::Listener);
        differing(networks, &wanted.networks, &mut changes, Change::Networks);
        let certificate = |id, it: Option<_>| Change::Certificate(id, it.map(Box::new));
        differing(
            certificates,
            &wanted.certificates,
            &mut changes,
            certificate,
        );
        differing(limits, &wanted.limits, &mut changes, Change::Limit);
        changes
    }
}

fn readable<K: Ord + Clone + ToString, V: Clone>(
    elements: &Elements<K, V>,
    collection: Collection,
    unread: &Unread,
) -> BTreeMap<K, V> {
    let is_readable = |key: &K| unread.is_empty() || !unread.contains(collection, &key.to_string());
    let elements = elements.iter().filter(|(key, _)| is_readable(key));
    elements
        .map(|(key, element)| (key.clone(), element.value.clone()))
        .collect()
}

/// Adds what puts what is new or another, and what removes what is gone.
fn differing<K: Ord + Clone, V: PartialEq + Clone>(
    present: &BTreeMap<K, V>,
    wanted: &BTreeMap<K, V>,
    changes: &mut Vec<Change>,
    change: impl Fn(K, Option<V>) -> Change,
) {
    let put = wanted
        .iter()
        .filter(|(key, value)| present.get(key) != Some(value));
    let put = put.map(|(key, value)| change(key.clone(), Some(value.clone())));
    changes.extend(put);
    let gone = present.keys().filter(|key| !wanted.contains_key(key));
    changes.extend(gone.map(|key| change(key.clone(), None)));
}

/// An element of a document, by whose key no other of its list may be.
trait Listed {
    type Key: Ord + ToString;

    fn key(&self) -> Self::Key;
}

/// Makes what has an id known by it.
macro_rules! known_by_id {
    ($($value:ty => $id:ty,)*) => {
        $(impl Listed for $value {
            type Key = $id;

            fn key(&self) -> $id {
                self.id.clone()
            }
        })*
    };
}

known_by_id! {
    Pool => PoolId,
    Route => RouteId,
    Listener => ListenerId,
    NetworkList => NetworkListId,
    Certificate => CertificateId,
    Limit => LimitId,
}

impl Listed for Server {
    type Key = ServerKey;

    fn key(&self) -> ServerKey {
        self.key()
    }
}

mod list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::Listed;

    pub(super) fn serialize<K, V: Serialize, S: Serializer>(
        elements: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(elements.values())
    }

    pub(super) fn deserialize<'de, V: Listed + Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<V::Key, V>, D::Error> {
        let mut elements = BTreeMap::new();
        for value in Vec::<V>::deserialize(deserializer)? {
            let key = value.key();
            let name = key.to_string();
            if elements.insert(key, value).is_some() {
                let twice = format!("{name:?} is given more than once");
                return Err(D::Error::custom(twice));
            }
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(id: &str, port: u16) -> serde_json::Value {
        json!({"pool": "default", "id": id, "address": format!("10.0.0.1:{port}"), "rack": 7})
    }

    fn fleet(servers: &[serde_json::Value]) -> Fleet {
        let document = json!({"pools": [{"id": "default"}], "servers": servers, "weather": []});
        serde_json::from_value(document).expect("a document")
    }

    #[test]
    fn a_document_is_sorted_and_keeps_what_it_does_not_know() {
        let document = serde_json::to_value(fleet(&[server("b", 2), server("a", 1)]));
        let document = document.expect("JSON");
        let ids = [&document["servers"][0]["id"], &document["servers"][1]["id"]];
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(document["servers"][0]["rack"], 7);
        assert_eq!(document["weather"], json!([]));
        assert_eq!(document["pools"][0]["health"]["path"], "/");
    }

    #[test]
    fn a_document_says_of_each_kind_that_there_is_none() {
        let document = serde_json::to_value(Fleet::default()).expect("JSON");
        let documented = Collection::ALL.into_iter();
        let documented = documented.filter(|it| it.is_documented());
        let expected = documented.map(|it| (it.to_string(), json!([])));
        assert_eq!(document, serde_json::Value::Object(expected.collect()));
    }

    #[test]
    fn an_element_that_is_there_twice_is_refused() {
        let twice = json!({"servers": [server("a", 1), server("a", 2)]});
        let error = serde_json::from_value::<Fleet>(twice).expect_err("twice");
        let text = error.to_string();
        assert!(
            text.contains("\"default/a\" is given more than once"),
            "{text}"
        );
    }

    #[test]
    fn the_changes_between_two_states_are_what_differs_and_nothing_else() {
        let present = fleet(&[server("a", 1), server("b", 2), server("c", 3)]);
        let wanted = fleet(&[server("b", 2), server("c", 9), server("d", 4)]);
        let changes = present.changes_to(&wanted);
        let told = changes
            .iter()
            .map(|change| (change.key(), change.value().is_some()));
        let expected = [
            ("default/c", true),
            ("default/d", true),
            ("default/a", false),
        ];
        let expected = expected.map(|(key, stays)| (key.to_owned(), stays));
        assert_eq!(told.collect::<Vec<_>>(), expected);
        assert!(present.changes_to(&present).is_empty());
    }
}
