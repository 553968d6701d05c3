//! The whole state of a fleet at one position, and how a revision changes it.

mod saved;
mod unread;

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{
    Certificate, CertificateId, Change, CheckKind, Collection, Delta, Elements, Entry, Epoch,
    Health, Limit, LimitId, Listener, ListenerId, NetworkList, NetworkListId, Pool, PoolId,
    Position, Problem, Revision, RevisionId, Route, RouteId, Ruling, Secret, SecretId, Server,
    ServerKey, Stamped, Verdict, first_grave, validate_certificate, validate_limit,
    validate_listener, validate_networks, validate_pool, validate_route, validate_server,
};

pub use unread::Unread;

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

    /// That this version makes nothing of a collection which a newer one keeps.
    fn of_other(collection: Collection) -> Self {
        Self {
            collection,
            key: Self::WHOLE_COLLECTION.into(),
            reason: "this version does not know the collection: what a newer one keeps there stays as it is, unused".into(),
        }
    }
}

/// Everything that the registry holds of desired and observed state, at one position.
///
/// A clone shares its elements, and costs a few pointers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    pub position: Position,
    /// The revision of the last desired change.
    pub desired: Revision,
    pub pools: Elements<PoolId, Pool>,
    pub servers: Elements<ServerKey, Server>,
    pub health: Elements<ServerKey, Verdict>,
    pub holds: Elements<PoolId, Ruling>,
    pub routes: Elements<RouteId, Route>,
    pub listeners: Elements<ListenerId, Listener>,
    pub networks: Elements<NetworkListId, NetworkList>,
    pub certificates: Elements<CertificateId, Certificate>,
    pub limits: Elements<LimitId, Limit>,
    pub secrets: Elements<SecretId, Secret>,
    /// What could not be used, by collection and key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// What a newer version stored, of what could not be used. The last good element may be in its place.
    #[serde(skip_serializing_if = "Unread::is_empty")]
    pub unread: Unread,
}

impl Snapshot {
    /// A fleet that holds nothing yet.
    pub fn empty(position: Position) -> Self {
        Self {
            position,
            desired: position.revision,
            pools: Elements::new(),
            servers: Elements::new(),
            health: Elements::new(),
            holds: Elements::new(),
            routes: Elements::new(),
            listeners: Elements::new(),
            networks: Elements::new(),
            certificates: Elements::new(),
            limits: Elements::new(),
            secrets: Elements::new(),
            faults: Vec::new(),
            unread: Unread::default(),
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
        let (collection, key) = (entry.collection, entry.key.as_str());
        if collection.is_other() {
            let value = entry.value.as_ref();
            let text = value.map(|value| unread::committed(value).unwrap_or(value.to_string()));
            return self.apply_other(collection, key, text);
        }
        self.faults
            .retain(|fault| fault.collection != collection || fault.key != key);
        self.unread.forget(collection, key);
        if let Err(reason) = self.put(entry, true) {
            let kept = entry.value.as_ref().and_then(unread::committed);
            if let Some(text) = kept {
                self.unread.keep(collection, key, text);
            }
            self.blame(collection, key, reason);
        }
    }

    /// Applies one element as a registry holds it. What cannot be used of it is kept to the letter.
    pub fn apply_stored(&mut self, collection: Collection, key: &[u8], stored: &[u8]) {
        let name = String::from_utf8_lossy(key);
        if collection.is_other() {
            let text = String::from_utf8_lossy(stored).into_owned();
            return self.apply_other(collection, &name, Some(text));
        }
        let value = match serde_json::from_slice(stored) {
            Ok(value) => Some(value),
            Err(error) => return self.blame(collection, &name, format!("is not JSON: {error}")),
        };
        let key = name.into_owned();
        let entry = Entry {
            collection,
            key,
            value,
        };
        self.apply(&entry);
        if self.unread.contains(collection, &entry.key) {
            let text = String::from_utf8_lossy(stored).into_owned();
            self.unread.keep(collection, &entry.key, text);
        }
    }

    /// Keeps, or forgets, an element of a collection that this version does not know.
    fn apply_other(&mut self, collection: Collection, key: &str, text: Option<String>) {
        match text {
            Some(text) => self.unread.keep(collection, key, text),
            None => self.unread.forget(collection, key),
        }
        let told = Fault::of_other(collection);
        let holds_any = self.unread.keys_of(collection).next().is_some();
        match self.faults.iter().position(|fault| *fault == told) {
            None if holds_any => self.faults.push(told),
            Some(place) if !holds_any => drop(self.faults.remove(place)),
            _ => {}
        }
    }

    /// Brings the faults into the order of their names.
    pub fn sort_faults(&mut self) {
        self.faults
            .sort_by(|a, b| (a.collection, &a.key).cmp(&(b.collection, &b.key)));
    }

    fn blame(&mut self, collection: Collection, key: &str, reason: String) {
        let key = key.into();
        self.faults.push(Fault {
            collection,
            key,
            reason,
        });
    }

    /// Puts an element where it belongs, if it can be read and, unless it was in force before, keeps the rules.
    fn put(&mut self, entry: &Entry, checks: bool) -> Result<(), String> {
        match entry.collection {
            Collection::Pools => put(&mut self.pools, entry, |id, pool| {
                check(checks, id, &pool.id, "pool", || validate_pool(pool))
            }),
            Collection::Servers => self.put_server(entry, checks),
            Collection::Health => put(&mut self.health, entry, |_, _| Ok(())),
            Collection::Holds => put(&mut self.holds, entry, |_, _| Ok(())),
            Collection::Routes => put(&mut self.routes, entry, |id, route| {
                check(checks, id, &route.id, "route", || validate_route(route))
            }),
            Collection::Listeners => put(&mut self.listeners, entry, |id, listener| {
                let validate = || validate_listener(listener);
                check(checks, id, &listener.id, "listener", validate)
            }),
            Collection::Networks => put(&mut self.networks, entry, |id, list| {
                check(checks, id, &list.id, "list", || validate_networks(list))
            }),
            Collection::Certificates => put(&mut self.certificates, entry, |id, it| {
                let validate = || validate_certificate(it);
                check(checks, id, &it.id, "certificate", validate)
            }),
            Collection::Limits => put(&mut self.limits, entry, |id, limit| {
                check(checks, id, &limit.id, "limit", || validate_limit(limit))
            }),
            Collection::Secrets => put(&mut self.secrets, entry, |id, secret| {
                check(checks, id, &secret.id, "secret", || Ok(()))
            }),
            Collection::Other(_) => Err("is for a newer version".into()),
        }
    }

    /// A server that goes takes its verdict with it.
    fn put_server(&mut self, entry: &Entry, checks: bool) -> Result<(), String> {
        put(&mut self.servers, entry, |key, server| {
            let validate = || validate_server(server);
            check(checks, key, &server.key(), "server", validate)
        })?;
        if let (None, Ok(key)) = (&entry.value, entry.key.parse::<ServerKey>()) {
            self.health.remove(&key);
        }
        Ok(())
    }

    /// Whether there is such a pool, though it may be one that only a newer version can read.
    pub fn has_pool(&self, id: &PoolId) -> bool {
        self.pools.contains_key(id) || self.unread.contains(Collection::Pools, id.as_str())
    }

    /// The keys of a pool's servers that only a newer version can read.
    pub fn unread_servers_of(&self, pool: &PoolId) -> impl Iterator<Item = ServerKey> {
        let keys = self.unread.keys_of(Collection::Servers);
        let keys = keys.filter_map(|key| key.parse().ok());
        keys.filter(move |key: &ServerKey| key.pool == *pool)
    }

    /// The faults of single elements, and that there are collections which this version does not know. A known one that cannot be
    /// read as a whole is among the registry's damage too, for those who show both.
    pub fn element_faults(&self) -> impl Iterator<Item = &Fault> {
        let faults = self.faults.iter();
        faults.filter(|fault| fault.key != Fault::WHOLE_COLLECTION || fault.collection.is_other())
    }

    /// The element that a change replaces or removes, as the text that a commit would have stored.
    pub fn text_before(&self, change: &Change) -> Option<String> {
        match change {
            Change::Pool(id, _) => text(&self.pools, id),
            Change::Server(key, _) => text(&self.servers, key),
            Change::Verdict(key, _) => text(&self.health, key),
            Change::Ruling(pool, _) => text(&self.holds, pool),
            Change::Route(id, _) => text(&self.routes, id),
            Change::Listener(id, _) => text(&self.listeners, id),
            Change::Networks(id, _) => text(&self.networks, id),
            Change::Certificate(id, _) => text(&self.certificates, id),
            Change::Limit(id, _) => text(&self.limits, id),
            Change::Secret(id, _) => text(&self.secrets, id),
        }
    }

    /// What is known of a server's health. A verdict on another incarnation says nothing.
    pub fn health_of(&self, key: &ServerKey) -> Health {
        let Some(server) = self.servers.get(key) else {
            return Health::Unknown;
        };
        if self.is_uninspected(&key.pool) {
            return Health::Up;
        }
        health_by(self.health.get(key), server)
    }

    /// A pool's servers in the order of their creation.
    pub fn servers_of(&self, pool: &PoolId) -> Vec<&Arc<Stamped<Server>>> {
        let of_pool = range_of(&self.servers, pool);
        let mut servers: Vec<_> = of_pool.map(|(_, server)| server).collect();
        servers.sort_by_key(|server| server.age());
        servers
    }

    /// The same, each with what is known of its health.
    pub fn judged_servers_of(&self, pool: &PoolId) -> Vec<(&Arc<Stamped<Server>>, Health)> {
        let is_uninspected = self.is_uninspected(pool);
        let mut servers = Vec::new();
        let mut verdicts = range_of(&self.health, pool).peekable();
        for (key, server) in range_of(&self.servers, pool) {
            // Both come in the order of their keys: looking each up would cost more than all the rest.
            while verdicts.next_if(|(other, _)| *other < key).is_some() {}
            let verdict = verdicts.next_if(|(other, _)| *other == key);
            let health = match is_uninspected {
                true => Health::Up,
                false => health_by(verdict.map(|(_, verdict)| verdict), server),
            };
            // The ages side by side, so that sorting does not go back to each server.
            servers.push((server.age(), server, health));
        }
        servers.sort_by_key(|(age, _, _)| *age);
        let judged = |(_, server, health)| (server, health);
        servers.into_iter().map(judged).collect()
    }

    fn is_uninspected(&self, pool: &PoolId) -> bool {
        let pool = self.pools.get(pool);
        pool.is_some_and(|pool| pool.value.health.kind == CheckKind::None)
    }
}

/// What a verdict says of this incarnation.
fn health_by(verdict: Option<&Arc<Stamped<Verdict>>>, server: &Stamped<Server>) -> Health {
    let verdict = verdict.filter(|found| found.value.incarnation == server.incarnation);
    verdict.map_or(Health::Unknown, |found| found.value.health)
}

/// What is kept of a pool's servers, in the order of their keys.
fn range_of<'a, V>(
    elements: &'a Elements<ServerKey, V>,
    pool: &PoolId,
) -> impl Iterator<Item = (&'a ServerKey, &'a Arc<Stamped<V>>)> {
    // Keys sort by pool first, and no id is smaller than "0".
    let first = ServerKey::new(pool.clone(), "0".parse().expect("a digit is a name"));
    let pool = pool.clone();
    elements
        .range(first..)
        .take_while(move |(key, _)| key.pool == pool)
}

fn text<K: Ord, V: Serialize>(elements: &Elements<K, V>, key: &K) -> Option<String> {
    let stamped = elements.get(key)?;
    // By way of a JSON value, which sorts the fields, as a commit's values are sorted.
    let value = serde_json::to_value(&stamped.value);
    let value = value.expect("model types hold nothing that JSON cannot");
    Some(stamped.with(value).to_text())
}

/// Whether an element that is written anew, or that was never in force, may be.
fn check<K: PartialEq + fmt::Display>(
    checks: bool,
    key: &K,
    own: &K,
    kind: &str,
    validate: impl FnOnce() -> Result<(), Vec<Problem>>,
) -> Result<(), String> {
    if !checks {
        return Ok(());
    }
    if own != key {
        return Err(format!("holds a {kind} named {:?}", own.to_string()));
    }
    first_grave(validate()).map_or(Ok(()), |problem| Err(problem.to_string()))
}

fn put<K, V>(
    elements: &mut Elements<K, V>,
    entry: &Entry,
    check: impl Fn(&K, &V) -> Result<(), String>,
) -> Result<(), String>
where
    K: Clone + Ord + TryFrom<String, Error: ToString>,
    V: DeserializeOwned,
{
    let key = K::try_from(entry.key.clone());
    let Some(value) = &entry.value else {
        // What has no name of its own was never put in.
        key.iter().for_each(|key| drop(elements.remove(key)));
        return Ok(());
    };
    let key = key.map_err(|error| error.to_string())?;
    let stamped: Stamped<V> = Stamped::deserialize(value).map_err(|error| error.to_string())?;
    check(&key, &stamped.value)?;
    elements.insert(key, Arc::new(stamped));
    Ok(())
}

#[cfg(test)]
mod tests;
