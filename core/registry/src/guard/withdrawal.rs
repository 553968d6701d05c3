//! Withdrawals that are held back: which servers, since when, and until when.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    Author, Collection, Delta, Entry, Fault, HoldDecision, PoolId, Position, ServerKey, Snapshot,
};

use super::{Cause, decision_on, exceeds, share_of};

/// What the registry no longer has and is still in use, by pool.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Withdrawals {
    pools: BTreeMap<PoolId, Held>,
}

#[derive(Debug, Clone, PartialEq)]
struct Held {
    /// The servers, and where the registry stood when each was seen to be gone.
    servers: BTreeMap<ServerKey, Position>,
    /// How many servers the pool had when the hold began, or at the fewest since.
    of: usize,
    /// The collection was damaged: nobody removed anything, so the share does not count.
    damaged: bool,
}

impl Withdrawals {
    /// Judges a new state. Whether what is held has changed.
    pub(super) fn update(&mut self, truth: &Snapshot, before: &Snapshot, cause: Cause<'_>) -> bool {
        if matches!(cause, Cause::Tick) {
            return false;
        }
        let mut pools = std::mem::take(&mut self.pools);
        let old = pools.clone();
        if let Cause::Snapshot(damage) = cause {
            let damaged = damage.iter().any(is_of_membership);
            pools.values_mut().for_each(|held| held.damaged = damaged);
        }
        for key in newly_gone(truth, before, cause) {
            let held = pools.entry(key.pool.clone()).or_insert_with(|| Held {
                servers: BTreeMap::new(),
                of: count(before, &key.pool),
                damaged: matches!(cause, Cause::Snapshot(damage) if damage.iter().any(is_of_membership)),
            });
            held.servers.entry(key).or_insert(truth.position);
        }
        pools.retain(|pool, held| stays(pool, held, truth, before, cause));
        self.pools = pools;
        self.pools != old
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    pub(super) fn held(&self) -> impl Iterator<Item = (&ServerKey, Position)> {
        let servers = self.pools.values().flat_map(|held| &held.servers);
        servers.map(|(key, since)| (key, *since))
    }

    /// Puts back what is held, as it was in force before, with the pool's own definition.
    pub(super) fn lay_over(&self, in_force: &mut Snapshot, before: &Snapshot) {
        for (pool, held) in &self.pools {
            if let (false, Some(old)) = (in_force.pools.contains_key(pool), before.pools.get(pool))
            {
                in_force.pools.insert(pool.clone(), Arc::clone(old));
            }
            for key in held.servers.keys() {
                put_back(in_force, before, key);
            }
        }
    }
}

fn put_back(in_force: &mut Snapshot, before: &Snapshot, key: &ServerKey) {
    let Some(server) = before.servers.get(key) else {
        return;
    };
    if in_force.servers.contains_key(key) {
        return;
    }
    in_force.servers.insert(key.clone(), Arc::clone(server));
    if let Some(verdict) = before.health.get(key) {
        in_force.health.insert(key.clone(), Arc::clone(verdict));
    }
}

/// Drops what has come back or was confirmed; whether enough is left to hold.
fn stays(
    pool: &PoolId,
    held: &mut Held,
    truth: &Snapshot,
    before: &Snapshot,
    cause: Cause<'_>,
) -> bool {
    if let Cause::Delta(delta) = cause
        && is_operators(delta)
        && removes(&delta.entries, Collection::Pools, pool.as_str())
    {
        return false;
    }
    let unseen = matches!(cause, Cause::Snapshot(_)) && truth.position != before.position;
    held.servers.retain(|key, since| {
        if since.epoch != truth.position.epoch || since.revision > truth.position.revision {
            // Another history: a ruling has to name what it can know.
            *since = truth.position;
        }
        let is_confirmed = decision_on(truth, pool, *since) == Some(HoldDecision::Confirm);
        let stays = is_gone(truth, before, key) && !is_confirmed;
        if unseen {
            // A branch on which it was withdrawn anew, perhaps: whoever waits for that has to know.
            *since = truth.position;
        }
        stays
    });
    held.of = held.of.min(count(before, pool));
    let share = share_of(pool, truth, before);
    let many = exceeds(share, held.servers.len(), held.of);
    many || (held.damaged && !held.servers.is_empty())
}

/// The servers in force that this change takes away, unless an operator does.
fn newly_gone(truth: &Snapshot, before: &Snapshot, cause: Cause<'_>) -> Vec<ServerKey> {
    let gone = |key: &ServerKey| is_gone(truth, before, key);
    match cause {
        Cause::Tick => Vec::new(),
        Cause::Delta(delta) if is_operators(delta) => Vec::new(),
        Cause::Snapshot(_) => {
            let keys = before.servers.keys();
            keys.filter(|key| gone(key)).cloned().collect()
        }
        Cause::Delta(delta) => {
            let mut keys = removed(delta, before);
            keys.retain(gone);
            keys
        }
    }
}

/// The servers in force that a delta removes, or the pool of. Most deltas are verdicts, which remove nothing: they must not cost
/// a look at every server.
fn removed(delta: &Delta, before: &Snapshot) -> Vec<ServerKey> {
    let mut keys = Vec::new();
    for entry in delta.entries.iter().filter(|it| it.value.is_none()) {
        match entry.collection {
            Collection::Servers => {
                let key = entry.key.parse().ok();
                keys.extend(key.filter(|key| before.servers.contains_key(key)));
            }
            Collection::Pools => {
                let pool = entry.key.parse().ok();
                let servers = pool.map(|pool| before.servers_of(&pool)).into_iter();
                keys.extend(servers.flatten().map(|server| server.value.key()));
            }
            _ => {}
        }
    }
    keys
}

/// Whether the registry has the server no longer, or lacks the pool that it would serve.
fn is_gone(truth: &Snapshot, before: &Snapshot, key: &ServerKey) -> bool {
    let pool_gone = before.pools.contains_key(&key.pool) && !truth.pools.contains_key(&key.pool);
    pool_gone || !truth.servers.contains_key(key)
}

fn removes(entries: &[Entry], collection: Collection, key: &str) -> bool {
    let removal = |entry: &Entry| entry.collection == collection && entry.value.is_none();
    entries
        .iter()
        .any(|entry| removal(entry) && entry.key == key)
}

fn is_operators(delta: &Delta) -> bool {
    matches!(delta.author, Author::Operator { .. })
}

fn is_of_membership(fault: &Fault) -> bool {
    matches!(fault.collection, Collection::Pools | Collection::Servers)
}

fn count(snapshot: &Snapshot, pool: &PoolId) -> usize {
    snapshot.servers_of(pool).len()
}
