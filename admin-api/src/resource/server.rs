//! Servers as resources.

use std::sync::Arc;

use model::{
    Change, Collection, Elements, InvalidName, Pool, PoolId, Server, ServerId, ServerKey,
    ServerState, Snapshot, Stamped, Unknown, WEIGHT_MAX, validate_server,
};
use registry::Leaving;
use serde_json::{Map, Value, json};

use super::{Known, Means, Misnamed, Resource, check_room, sent_name};
use crate::address::settle;
use crate::problem::Problem;

impl Resource for Server {
    type Key = ServerKey;

    const KIND: &'static str = "server";
    const COLLECTION: Collection = Collection::Servers;
    /// In one pool.
    const MAX: usize = 20_000;
    const READ_ONLY: &'static [&'static str] = &[
        "health",
        "reason",
        "hostname",
        "revision",
        "created",
        "incarnation",
    ];

    fn all(snapshot: &Snapshot) -> &Elements<ServerKey, Self> {
        &snapshot.servers
    }

    fn sent_key(sent: &Map<String, Value>) -> Result<ServerKey, Problem> {
        match (sent_name(sent, "pool"), sent_name(sent, "id")) {
            (Ok(pool), Ok(server)) => Ok(ServerKey::new(pool, server)),
            (pool, server) => {
                let wrong: [Option<Problem>; 2] = [pool.err(), server.err()];
                let errors = wrong.iter().flatten().flat_map(Problem::errors);
                Err(errors.collect::<Vec<_>>().into())
            }
        }
    }

    fn path_key(names: &[String]) -> Result<ServerKey, Misnamed> {
        let [pool, server] = names else {
            unreachable!("the path of a server has two names");
        };
        let refuse = |kind, name: &String, error: InvalidName| Misnamed {
            kind,
            name: name.clone(),
            error,
        };
        let pool_id = pool.parse();
        let pool_id = pool_id.map_err(|error| refuse(Pool::KIND, pool, error))?;
        let id = server.parse();
        let id = id.map_err(|error| refuse(Self::KIND, server, error))?;
        Ok(ServerKey::new(pool_id, id))
    }

    fn path(key: &ServerKey) -> String {
        format!("/v1/pools/{}/servers/{}", key.pool, key.server)
    }

    fn names(key: &ServerKey) -> Map<String, Value> {
        Map::from_iter([
            ("pool".into(), json!(key.pool)),
            ("id".into(), json!(key.server)),
        ])
    }

    fn key(&self) -> ServerKey {
        self.key()
    }

    fn change(key: ServerKey, value: Option<Self>) -> Change {
        Change::Server(key, value)
    }

    async fn prepare(
        _: Option<&ServerKey>,
        sent: &mut Map<String, Value>,
        _: &Means,
    ) -> Result<(), Problem> {
        settle(sent).await
    }

    fn rule(field: &str) -> Option<String> {
        let rule = || format!("must be a whole number from 0 to {WEIGHT_MAX}");
        (field == "weight").then(rule)
    }

    fn check_place(key: &ServerKey, snapshot: &Snapshot) -> Result<(), Problem> {
        check_pool(&key.pool, snapshot)
    }

    fn validate(&self) -> Result<(), Vec<model::Problem>> {
        validate_server(self)
    }

    fn check_among(&self, snapshot: &Snapshot, is_new: bool) -> Result<(), Problem> {
        check_pool(&self.pool, snapshot)?;
        if is_new {
            check_room::<Self>(snapshot.servers_of(&self.pool).len() + 1)?;
        }
        match twin(self, snapshot) {
            Some(other) => Err(Problem::AddressTaken {
                address: self.address.to_string(),
                server: other.value.key(),
                state: other.value.state,
            }),
            None => Ok(()),
        }
    }

    fn unknown(&mut self) -> Vec<(String, &mut Unknown)> {
        self.unknown_mut()
    }

    /// The name stays with the address that it was resolved to.
    fn inherit(&mut self, stored: &Self) {
        if self.hostname.is_none() && self.address == stored.address {
            self.hostname.clone_from(&stored.hostname);
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.address == other.address
    }

    fn leaving(before: Option<&Stamped<Self>>, after: Option<&Stamped<Self>>) -> Option<Leaving> {
        let leaving = match after {
            None => before?,
            Some(after) if after.value.state != ServerState::Active => after,
            Some(_) => return None,
        };
        Some(leaving.into())
    }

    fn observed(stamped: &Stamped<Self>, Known { snapshot, .. }: Known<'_>) -> Map<String, Value> {
        let key = stamped.value.key();
        let known = snapshot
            .servers
            .get(&key)
            .filter(|known| known.incarnation == stamped.incarnation);
        let health = known.map(|_| snapshot.health_of(&key)).unwrap_or_default();
        let mut observed = Map::from_iter([
            ("incarnation".into(), json!(stamped.incarnation)),
            ("health".into(), json!(health)),
        ]);
        let verdict = snapshot.health.get(&key).map(|verdict| &verdict.value);
        let verdict = verdict.filter(|verdict| verdict.incarnation == stamped.incarnation);
        if let Some(verdict) = verdict.filter(|verdict| !verdict.reason.is_empty()) {
            observed.insert("reason".into(), json!(verdict.reason));
        }
        observed
    }
}

/// Servers may be in any pool that there is, also in one that only a newer version can read.
pub(crate) fn check_pool(pool: &PoolId, snapshot: &Snapshot) -> Result<(), Problem> {
    match snapshot.has_pool(pool) {
        true => Ok(()),
        false => Err(Problem::not_found(Pool::KIND, pool)),
    }
}

/// The server of the same pool that has this one's address, under another id.
pub(crate) fn twin<'a>(
    server: &Server,
    snapshot: &'a Snapshot,
) -> Option<&'a Arc<Stamped<Server>>> {
    let others = snapshot.servers_of(&server.pool).into_iter();
    let mut others = others.filter(|other| other.value.id != server.id);
    others.find(|other| other.value.address == server.address)
}

/// The id of a server whose author gave none: one more than the largest `s<number>` of its pool.
pub(crate) fn next_id(snapshot: &Snapshot, pool: &PoolId) -> ServerId {
    let servers = snapshot.servers_of(pool).into_iter();
    let ids = servers.map(|server| server.value.id.clone());
    let unread = snapshot.unread_servers_of(pool).map(|key| key.server);
    let numbers = ids.chain(unread).filter_map(|id| {
        let digits = id.as_str().strip_prefix('s')?;
        digits.parse().ok()
    });
    // Ids that count beyond what people count to are left alone.
    let largest: u32 = numbers
        .filter(|number| *number < u32::MAX)
        .max()
        .unwrap_or(0);
    let id = format!("s{}", largest + 1);
    id.parse().expect("a letter and digits are a name")
}
