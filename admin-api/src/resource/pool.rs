//! Pools as resources.

use std::sync::Arc;

use model::{
    Change, Collection, Health, Pool, PoolId, Revision, ServerKey, Snapshot, Stamped, validate_pool,
};
use serde_json::{Map, Value, json};

use super::Resource;
use crate::extract::PoolPath;
use crate::problem::Problem;

/// How many pools a fleet may have.
const POOLS_MAX: usize = 1_000;

impl Resource for Pool {
    type Key = PoolId;
    type Path = PoolPath;

    const KIND: &'static str = "pool";
    const COLLECTION: Collection = Collection::Pools;
    const READ_ONLY: &'static [&'static str] = &["revision", "created", "servers"];

    fn key(&self) -> PoolId {
        self.id.clone()
    }

    fn path(key: &PoolId) -> String {
        format!("/v1/pools/{key}")
    }

    fn names(key: &PoolId) -> Map<String, Value> {
        Map::from_iter([("id".into(), json!(key))])
    }

    fn find<'a>(snapshot: &'a Snapshot, key: &PoolId) -> Option<&'a Arc<Stamped<Self>>> {
        snapshot.pools.get(key)
    }

    fn change(key: PoolId, value: Option<Self>) -> Change {
        Change::Pool(key, value.map(Box::new))
    }

    fn validate(&self) -> Result<(), Vec<model::Problem>> {
        validate_pool(self)
    }

    fn check_among(&self, snapshot: &Snapshot, is_new: bool) -> Result<(), Problem> {
        if is_new && snapshot.pools.len() >= POOLS_MAX {
            return Err(Problem::Full {
                kind: Self::KIND,
                limit: POOLS_MAX,
            });
        }
        Ok(())
    }

    fn check_removal(&self, snapshot: &Snapshot) -> Result<(), Problem> {
        if self.id == PoolId::standard() {
            return Err(Problem::DefaultPool);
        }
        match snapshot.servers_of(&self.id).len() {
            0 => Ok(()),
            servers => Err(Problem::PoolInUse {
                pool: self.id.clone(),
                servers,
            }),
        }
    }

    fn inherit(&mut self, _: &Self) {}

    fn is_same(&self, _: &Self) -> bool {
        true
    }

    fn leaving(
        _: Option<&Stamped<Self>>,
        _: Option<&Stamped<Self>>,
    ) -> Option<(ServerKey, Revision)> {
        None
    }

    fn observed(stamped: &Stamped<Self>, snapshot: &Snapshot) -> Map<String, Value> {
        let servers = snapshot.servers_of(&stamped.value.id);
        let count = |health| {
            let of_health = |server: &&&Arc<Stamped<model::Server>>| {
                snapshot.health_of(&server.value.key()) == health
            };
            servers.iter().filter(of_health).count()
        };
        let counts = json!({
            "total": servers.len(),
            "up": count(Health::Up),
            "down": count(Health::Down),
            "unknown": count(Health::Unknown),
        });
        Map::from_iter([("servers".into(), counts)])
    }
}
