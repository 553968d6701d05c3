//! What two snapshots say differently, pool by pool.

use std::collections::{BTreeSet, HashMap, HashSet};

use model::{PoolId, ServerKey, Snapshot, differing};

/// From one snapshot to another.
#[derive(Debug)]
pub(super) struct Differences<'a> {
    /// The pools whose own definition is another.
    pools: HashSet<&'a PoolId>,
    /// The servers that came, went or were changed, or whose verdict was.
    servers: HashMap<&'a PoolId, BTreeSet<&'a ServerKey>>,
}

impl<'a> Differences<'a> {
    pub(super) fn between(before: &'a Snapshot, after: &'a Snapshot) -> Self {
        let pools = differing(&before.pools, &after.pools).collect();
        let mut servers: HashMap<_, BTreeSet<_>> = HashMap::new();
        let defined = differing(&before.servers, &after.servers);
        let judged = differing(&before.health, &after.health);
        for key in defined.chain(judged) {
            servers.entry(&key.pool).or_default().insert(key);
        }
        Self { pools, servers }
    }

    /// The servers of a pool of which something else is said; nothing where that is so of the pool itself.
    pub(super) fn within(&self, pool: &PoolId) -> Option<Vec<&'a ServerKey>> {
        if self.pools.contains(pool) {
            return None;
        }
        let servers = self.servers.get(pool);
        Some(servers.into_iter().flatten().copied().collect())
    }
}
