//! `/v1/pools/{pool}/servers`.

use http::Method;
use model::{Health, PoolId, Revision, ServerId, ServerKey, ServerState};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::transport::Call;
use crate::{Changed, Client, Demand, Error};

/// A server as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerView {
    pub pool: PoolId,
    pub id: ServerId,
    pub address: String,
    pub weight: u16,
    #[serde(default)]
    pub zone: String,
    pub state: ServerState,
    pub health: Health,
    /// Why it is so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The desired revision that last changed it: its `ETag`.
    pub revision: Revision,
    /// Whatever else the API says.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A server to be added. What is not given, the API chooses.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NewServer {
    /// An address and a port, or a name and a port that the API resolves.
    pub address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<ServerId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub backup: bool,
}

/// What is to change about a server; the rest stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ServerPatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<ServerState>,
}

/// A server that was removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Removed {
    pub revision: Revision,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Client {
    /// A pool's servers, in the order of their creation.
    pub async fn servers(&self, pool: &PoolId) -> Result<Vec<ServerView>, Error> {
        self.transport.read(Call::get(servers_path(pool))).await
    }

    pub async fn add_server(
        &self,
        pool: &PoolId,
        server: &NewServer,
        demand: &Demand,
    ) -> Result<Changed<ServerView>, Error> {
        let call = demand.call(Method::POST, &servers_path(pool));
        self.change(call.json(server)).await
    }

    pub async fn patch_server(
        &self,
        key: &ServerKey,
        patch: &ServerPatch,
        demand: &Demand,
    ) -> Result<Changed<ServerView>, Error> {
        let call = demand.call(Method::PATCH, &server_path(key));
        self.change(call.json(patch)).await
    }

    pub async fn remove_server(
        &self,
        key: &ServerKey,
        demand: &Demand,
    ) -> Result<Changed<Removed>, Error> {
        self.change(demand.call(Method::DELETE, &server_path(key)))
            .await
    }
}

fn servers_path(pool: &PoolId) -> String {
    format!("/pools/{pool}/servers")
}

// Names hold nothing that a path would have to escape.
fn server_path(key: &ServerKey) -> String {
    format!("/pools/{}/servers/{}", key.pool, key.server)
}
