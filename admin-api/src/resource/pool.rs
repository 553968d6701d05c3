//! Pools as resources.

use std::sync::Arc;

use model::{
    Change, Collection, Elements, Health, Pool, PoolId, Snapshot, Stamped, Unknown, validate_pool,
};
use serde_json::{Map, Value, json};

use super::certificate::check_roots;
use super::reference::{Reference, of_limits};
use super::{Known, Resource, Target};
use crate::problem::Problem;

impl Resource for Pool {
    type Key = PoolId;

    const KIND: &'static str = "pool";
    const COLLECTION: Collection = Collection::Pools;
    const MAX: usize = 1_000;
    const READ_ONLY: &'static [&'static str] = &["revision", "created", "servers"];

    fn all(snapshot: &Snapshot) -> &Elements<PoolId, Self> {
        &snapshot.pools
    }

    fn key(&self) -> PoolId {
        self.id.clone()
    }

    fn change(key: PoolId, value: Option<Self>) -> Change {
        Change::Pool(key, value.map(Box::new))
    }

    fn validate(&self) -> Result<(), Vec<model::Problem>> {
        check_roots(validate_pool(self), "tls.ca", &self.tls.ca)
    }

    fn references(&self) -> Vec<Reference<'_>> {
        let certificate = self.tls.certificate.iter();
        let reference = |id| Reference {
            field: "tls.certificate".into(),
            target: Target::Certificate(id),
        };
        let limits = of_limits(&self.limits);
        limits.chain(certificate.map(reference)).collect()
    }

    fn check_removal(key: &PoolId, snapshot: &Snapshot) -> Result<(), Problem> {
        if *key == PoolId::standard() {
            return Err(Problem::DefaultPool);
        }
        let unread = snapshot.unread_servers_of(key);
        let unread = unread.filter(|server| !snapshot.servers.contains_key(server));
        match snapshot.servers_of(key).len() + unread.count() {
            0 => Target::Pool(key).check_unused(snapshot),
            servers => Err(Problem::PoolInUse {
                pool: key.clone(),
                servers,
            }),
        }
    }

    fn unknown(&mut self) -> Vec<(String, &mut Unknown)> {
        self.unknown_mut()
    }

    fn observed(stamped: &Stamped<Self>, Known { snapshot, .. }: Known<'_>) -> Map<String, Value> {
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
