//! Who names which limits. No more of routes and pools is read than that, so that a newer version's are found too.

use std::collections::BTreeMap;

use model::LimitId;
use serde::Deserialize;

use crate::transport::Call;
use crate::{Client, Error};

/// A route or a pool, of which its limits alone are of interest.
#[derive(Deserialize)]
struct User {
    id: String,
    #[serde(default)]
    limits: Vec<LimitId>,
}

impl Client {
    /// The routes and pools that name each limit, such as `route api`, in the order of their names.
    pub async fn limit_users(&self) -> Result<BTreeMap<LimitId, Vec<String>>, Error> {
        let mut users: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (kind, path) in [("route", "/routes"), ("pool", "/pools")] {
            let all: Vec<User> = self.transport.read(Call::get(path)).await?;
            for User { id, limits } in all {
                for limit in limits {
                    users.entry(limit).or_default().push(format!("{kind} {id}"));
                }
            }
        }
        Ok(users)
    }
}
