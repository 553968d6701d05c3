//! A held withdrawal that an operator rejects: what was taken away is put back, as it last was, by the revision that also
//! holds the ruling. So the registry, and every balancer, also one that comes later, has again what the holders kept.
//!
//! All of it is put back or nothing: of a rest, the balancers would let go what alone is not too much for them.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Change, Collection, Hold, Pool, PoolId, Position, Revision, Ruling, Server, ServerKey, Snapshot,
};
use registry::HistoryEntry;

use crate::app::App;
use crate::history::pairs;
use crate::problem::Problem;
use crate::resource::Resource;

/// What a rejection commits.
#[derive(Debug, Clone)]
pub(crate) struct Rejection {
    /// The registry's own state that it was decided on, in which what is held is not.
    position: Position,
    desired: Revision,
    pool: Option<Pool>,
    servers: Vec<Server>,
    pub(crate) ruling: Ruling,
}

impl Rejection {
    /// What it changes, unless others have changed the state since it was decided on.
    pub(crate) fn changes(&self, pool: &PoolId, seen: &Snapshot) -> Result<Vec<Change>, Problem> {
        let seen = (seen.position.epoch, seen.desired);
        if seen != (self.position.epoch, self.desired) {
            return Err(Problem::Contended);
        }
        let definition = self.pool.iter().cloned().map(Change::put_pool);
        let servers = self.servers.iter().cloned().map(Change::put_server);
        let ruling = Change::Ruling(pool.clone(), Some(self.ruling.clone()));
        Ok(definition.chain(servers).chain([ruling]).collect())
    }
}

impl App {
    /// Finds what is to be put back of a pool where the balancers hold this back.
    pub(crate) async fn rejection(
        &self,
        truth: &Snapshot,
        pool: &PoolId,
        holds: &[Hold],
        ruling: Ruling,
    ) -> Result<Rejection, Problem> {
        // What this process follows is guarded too: it still has what it saw go.
        let kept = self.snapshot()?;
        if (kept.position.epoch, kept.desired) != (truth.position.epoch, truth.desired) {
            return Err(Problem::Contended);
        }
        let gone = gone(truth, &kept, pool, holds)?;
        let pool_is_gone = !truth.pools.contains_key(pool);
        let history = self.history_of(&kept, pool, pool_is_gone, &gone).await?;
        let stored = || kept.pools.get(pool).map(|it| it.value.clone());
        let definition = match pool_is_gone {
            true => Some(found(stored(), &history, pool)?),
            false => None,
        };
        let mut servers = Vec::new();
        for key in &gone {
            let stored = kept.servers.get(key).map(|it| it.value.clone());
            servers.push(found(stored, &history, key)?);
        }
        check_addresses(truth, &servers)?;
        Ok(Rejection {
            position: truth.position,
            desired: truth.desired,
            pool: definition,
            servers,
            ruling,
        })
    }

    /// The history as far back as it tells what those were that are not kept here.
    async fn history_of(
        &self,
        kept: &Snapshot,
        pool: &PoolId,
        pool_is_gone: bool,
        gone: &BTreeSet<ServerKey>,
    ) -> Result<Vec<HistoryEntry>, Problem> {
        let servers = gone.iter().filter(|key| !kept.servers.contains_key(*key));
        let servers = servers.map(|key| (Collection::Servers, key.to_string()));
        let is_unknown = pool_is_gone && !kept.pools.contains_key(pool);
        let pool = is_unknown.then(|| (Collection::Pools, pool.to_string()));
        let unknown: BTreeSet<_> = servers.chain(pool).collect();
        if unknown.is_empty() {
            return Ok(Vec::new());
        }
        let tells_all = |history: &[HistoryEntry]| {
            let elements = history.iter().flat_map(|entry| &entry.after);
            let told = elements.map(|it| (it.collection, it.key.clone()));
            let told: BTreeSet<_> = told.filter(|it| unknown.contains(it)).collect();
            told.len() == unknown.len()
        };
        self.history_until(tells_all).await
    }
}

/// The servers of a pool that are held back and that the registry has no longer: by the holders' names, and by what this process
/// holds back itself.
fn gone(
    truth: &Snapshot,
    kept: &Snapshot,
    pool: &PoolId,
    holds: &[Hold],
) -> Result<BTreeSet<ServerKey>, Problem> {
    let is_gone = |key: &&ServerKey| !truth.servers.contains_key(*key);
    let named = holds.iter().flat_map(|hold| &hold.servers);
    let own = kept.servers.keys().filter(|key| key.pool == *pool);
    let gone: BTreeSet<_> = named.chain(own).filter(is_gone).cloned().collect();
    // A hold names the servers that are gone before those that are down.
    let is_short = |hold: &&Hold| hold.servers.iter().all(|key| is_gone(&key));
    let unnamed = holds.iter().filter(|hold| hold.size() > hold.servers.len());
    let all = unnamed.filter(is_short).map(Hold::size).max();
    match all {
        Some(all) if all > gone.len() => {
            let named = gone.len();
            let reason = format!(
                "of {all} servers only {named} are known by name; restore a revision from before they went instead"
            );
            Err(Problem::Irretrievable { reason })
        }
        _ => Ok(gone),
    }
}

/// What an element was: as it is kept here, or as the history last had it.
fn found<R: Resource>(
    kept: Option<R>,
    history: &[HistoryEntry],
    key: &R::Key,
) -> Result<R, Problem> {
    let key = key.to_string();
    let mut told = history.iter().flat_map(pairs);
    let last = || {
        let (_, before, after) =
            told.find(|(it, ..)| it.collection == R::COLLECTION && it.key == key)?;
        R::deserialize(after.or(before)?).ok()
    };
    kept.or_else(last).ok_or_else(|| {
        let kind = R::KIND;
        let reason = format!(
            "neither this process nor the history knows what the {kind} {key:?} was; make it anew, or confirm that it goes"
        );
        Problem::Irretrievable { reason }
    })
}

/// Another server may have come meanwhile in a server's place.
fn check_addresses(truth: &Snapshot, servers: &[Server]) -> Result<(), Problem> {
    let mut taken = BTreeMap::new();
    for other in truth.servers.values() {
        taken.insert((&other.value.pool, other.value.address), &other.value);
    }
    for server in servers {
        if let Some(other) = taken.get(&(&server.pool, server.address)) {
            return Err(Problem::AddressTaken {
                address: server.address.to_string(),
                server: other.key(),
                state: other.state,
            });
        }
    }
    Ok(())
}
