//! The whole state of a fleet at one position, and how a revision changes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{
    CheckKind, Collection, Delta, Entry, Epoch, Health, Pool, PoolId, Position, Problem, Revision,
    RevisionId, Ruling, Server, ServerKey, Stamped, Verdict, first_grave, validate_pool,
    validate_server,
};

/// An element of the registry that cannot be used, by name. The last good one stays in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{collection} {key:?}: {reason}")]
pub struct Fault {
    pub collection: Collection,
    pub key: String,
    pub reason: String,
}

impl Fault {
    /// The key that stands for a collection as a whole.
    pub const WHOLE_COLLECTION: &'static str = "*";
}

/// Everything that the registry holds of desired and observed state, at one position.
///
/// Elements are shared, so that a clone costs a pointer an element.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub position: Position,
    /// The revision of the last desired change.
    pub desired: Revision,
    pub pools: BTreeMap<PoolId, Arc<Stamped<Pool>>>,
    pub servers: BTreeMap<ServerKey, Arc<Stamped<Server>>>,
    pub health: BTreeMap<ServerKey, Arc<Stamped<Verdict>>>,
    pub holds: BTreeMap<PoolId, Arc<Stamped<Ruling>>>,
    /// What could not be used, by collection and key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

impl Snapshot {
    /// A fleet that holds nothing yet.
    pub fn empty(position: Position) -> Self {
        Self {
            position,
            desired: position.revision,
            pools: BTreeMap::new(),
            servers: BTreeMap::new(),
            health: BTreeMap::new(),
            holds: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    /// A new fleet at its first revision: the pool `default`, and nothing in it.
    pub fn first(epoch: Epoch, id: RevisionId) -> Self {
        let revision = Revision(1);
        let mut first = Self::empty(Position {
            epoch,
            revision,
            id,
        });
        let pool = Stamped::new(revision, Pool::new(PoolId::standard()));
        first.pools.insert(PoolId::standard(), pool.into());
        first
    }

    /// Applies one revision; whether it is the next one is for the follower to know.
    pub fn advance(&mut self, delta: &Delta) {
        for entry in &delta.entries {
            self.apply(entry);
        }
        self.position = delta.position();
        self.desired = delta.desired;
    }

    /// Applies one element. One that cannot be used becomes a fault, and what was there stays.
    pub fn apply(&mut self, entry: &Entry) {
        self.faults
            .retain(|fault| fault.collection != entry.collection || fault.key != entry.key);
        let result = match entry.collection {
            Collection::Pools => put(&mut self.pools, entry, check_pool),
            Collection::Servers => self.apply_server(entry),
            Collection::Health => put(&mut self.health, entry, |_, _| Ok(())),
            Collection::Holds => put(&mut self.holds, entry, |_, _| Ok(())),
        };
        if let Err(reason) = result {
            self.faults.push(Fault {
                collection: entry.collection,
                key: entry.key.clone(),
                reason,
            });
        }
    }

    /// The faults of single elements. A collection that cannot be read as a whole is among the registry's damage too, for those
    /// who show both.
    pub fn element_faults(&self) -> impl Iterator<Item = &Fault> {
        let faults = self.faults.iter();
        faults.filter(|fault| fault.key != Fault::WHOLE_COLLECTION)
    }

    /// A server that goes takes its verdict with it.
    fn apply_server(&mut self, entry: &Entry) -> Result<(), String> {
        put(&mut self.servers, entry, check_server)?;
        if entry.value.is_none() {
            self.health.retain(|key, _| self.servers.contains_key(key));
        }
        Ok(())
    }

    /// What is known of a server's health. A verdict on another incarnation says nothing.
    pub fn health_of(&self, key: &ServerKey) -> Health {
        let Some(server) = self.servers.get(key) else {
            return Health::Unknown;
        };
        let uninspected = |pool: &Arc<Stamped<Pool>>| pool.value.health.kind == CheckKind::None;
        if self.pools.get(&key.pool).is_some_and(uninspected) {
            return Health::Up;
        }
        match self.health.get(key) {
            Some(verdict) if verdict.value.incarnation == server.incarnation => {
                verdict.value.health
            }
            _ => Health::Unknown,
        }
    }

    /// A pool's servers in the order of their creation.
    pub fn servers_of(&self, pool: &PoolId) -> Vec<&Arc<Stamped<Server>>> {
        // Keys sort by pool first, and no id is smaller than "0".
        let first = ServerKey::new(pool.clone(), "0".parse().expect("a digit is a name"));
        let of_pool = self
            .servers
            .range(first..)
            .take_while(|(key, _)| key.pool == *pool);
        let mut servers: Vec<_> = of_pool.map(|(_, server)| server).collect();
        servers.sort_by_key(|server| server.age());
        servers
    }
}

fn check_pool(key: &PoolId, pool: &Pool) -> Result<(), String> {
    if pool.id != *key {
        return Err(format!("holds a pool named {:?}", pool.id.as_str()));
    }
    refuse(first_grave(validate_pool(pool)))
}

fn check_server(key: &ServerKey, server: &Server) -> Result<(), String> {
    if server.key() != *key {
        return Err(format!(
            "holds a server named {:?}",
            server.key().to_string()
        ));
    }
    refuse(first_grave(validate_server(server)))
}

fn refuse(problem: Option<Problem>) -> Result<(), String> {
    problem.map_or(Ok(()), |problem| Err(problem.to_string()))
}

fn put<K, V>(
    elements: &mut BTreeMap<K, Arc<Stamped<V>>>,
    entry: &Entry,
    check: impl Fn(&K, &V) -> Result<(), String>,
) -> Result<(), String>
where
    K: Ord + TryFrom<String, Error: ToString>,
    V: DeserializeOwned,
{
    let key = K::try_from(entry.key.clone()).map_err(|error| error.to_string())?;
    let Some(value) = &entry.value else {
        elements.remove(&key);
        return Ok(());
    };
    let stamped: Stamped<V> = Stamped::deserialize(value).map_err(|error| error.to_string())?;
    check(&key, &stamped.value)?;
    elements.insert(key, Arc::new(stamped));
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot::empty(Position {
            epoch: Epoch::random(),
            revision: Revision(1),
            id: RevisionId::random(),
        })
    }

    fn server(key: &str, created: u64, incarnation: u64) -> Entry {
        let (pool, id) = key.split_once('/').expect("a key");
        Entry {
            collection: Collection::Servers,
            key: key.into(),
            value: Some(
                json!({"revision": created, "created": created, "incarnation": incarnation,
                "value": {"pool": pool, "id": id, "address": "10.0.0.1:80"}}),
            ),
        }
    }

    fn verdict(key: &str, incarnation: u64) -> Entry {
        Entry {
            collection: Collection::Health,
            key: key.into(),
            value: Some(json!({"revision": 9, "created": 9, "incarnation": 9,
                "value": {"incarnation": incarnation, "health": "up"}})),
        }
    }

    #[test]
    fn servers_are_listed_in_the_order_of_creation_and_pools_do_not_mix() {
        let mut snapshot = snapshot();
        for entry in [
            server("a/s10", 2, 2),
            server("a/s9", 3, 3),
            server("a-b/s1", 1, 1),
            server("b/s1", 1, 1),
        ] {
            snapshot.apply(&entry);
        }
        let pool = "a".parse().expect("a name");
        let ids: Vec<_> = snapshot
            .servers_of(&pool)
            .iter()
            .map(|server| server.value.id.to_string())
            .collect();
        assert_eq!(ids, ["s10", "s9"]);
    }

    #[test]
    fn a_verdict_on_an_old_incarnation_says_nothing() {
        let mut snapshot = snapshot();
        let key: ServerKey = "a/s1".parse().expect("a key");
        snapshot.apply(&server("a/s1", 2, 2));
        snapshot.apply(&verdict("a/s1", 2));
        assert_eq!(snapshot.health_of(&key), Health::Up);
        snapshot.apply(&server("a/s1", 2, 5));
        assert_eq!(snapshot.health_of(&key), Health::Unknown);
    }

    #[test]
    fn a_removed_server_takes_its_verdict_with_it() {
        let mut snapshot = snapshot();
        snapshot.apply(&server("a/s1", 2, 2));
        snapshot.apply(&verdict("a/s1", 2));
        snapshot.apply(&Entry {
            value: None,
            ..server("a/s1", 2, 2)
        });
        assert!(snapshot.health.is_empty() && snapshot.servers.is_empty());
    }

    #[test]
    fn nonsense_is_reported_by_name_and_the_last_good_element_stays() {
        let mut snapshot = snapshot();
        snapshot.apply(&server("a/s1", 2, 2));
        snapshot.apply(&Entry {
            value: Some(json!("nonsense")),
            ..server("a/s1", 2, 2)
        });
        assert_eq!(snapshot.servers.len(), 1);
        assert_eq!(snapshot.faults.len(), 1);
        assert_eq!(snapshot.faults[0].key, "a/s1");
        snapshot.apply(&server("a/s1", 2, 3));
        assert!(
            snapshot.faults.is_empty(),
            "a good element clears its fault"
        );
    }

    #[test]
    fn a_server_written_by_hand_is_held_to_every_rule_but_a_newer_versions_field() {
        let with = |field: &str, value: serde_json::Value| {
            let mut entry = server("a/s1", 2, 2);
            let stamped = entry.value.as_mut().expect("a value");
            stamped["value"][field] = value;
            entry
        };
        for (field, value) in [
            ("address", json!("0.0.0.0:0")),
            ("address", json!("10.0.0.1:0")),
            ("weight", json!(1001)),
            ("zone", json!("z".repeat(64))),
        ] {
            let mut snapshot = snapshot();
            snapshot.apply(&with(field, value));
            assert!(snapshot.servers.is_empty(), "{field}");
            let reason = &snapshot.faults[0].reason;
            assert!(reason.starts_with(field), "{reason}");
        }
        let mut snapshot = snapshot();
        snapshot.apply(&with("from_the_future", json!(1)));
        assert!(snapshot.servers.len() == 1 && snapshot.faults.is_empty());
    }
}
