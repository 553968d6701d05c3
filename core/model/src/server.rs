//! A server: one address in one pool.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{PoolId, ServerId, ServerKey, Unknown};

/// The largest weight. Zero is allowed and means: no new requests, without draining.
pub const WEIGHT_MAX: u16 = 1000;

/// What the operator wants of a server. What the inspector found is its `Health`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    /// Takes requests while it is healthy.
    #[default]
    Active,
    /// Takes no new request; finishes those in flight.
    Draining,
    /// Takes no request and is not probed.
    Disabled,
}

/// One server of a pool, as desired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Server {
    pub pool: PoolId,
    pub id: ServerId,
    pub address: SocketAddr,
    /// The name that was resolved to `address` when the server was written, if it was given by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Its share of the requests, relative to the other servers' weights: 0 to `WEIGHT_MAX`.
    #[serde(default = "default_weight")]
    pub weight: u16,
    #[serde(default)]
    pub zone: String,
    #[serde(default)]
    pub state: ServerState,
    /// Connections that one balancer has open to it, at most, idle ones and tunnels included; more requests wait. 0 sets no
    /// bound.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_connections: u32,
    /// Takes requests only where no server of the pool that is not a backup is up.
    #[serde(default, skip_serializing_if = "is_default")]
    pub backup: bool,
    #[serde(flatten)]
    pub unknown: Unknown,
}

fn default_weight() -> u16 {
    1
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Server {
    /// An active server of weight 1.
    pub fn new(pool: PoolId, id: ServerId, address: SocketAddr) -> Self {
        Self {
            pool,
            id,
            address,
            hostname: None,
            weight: default_weight(),
            zone: String::new(),
            state: ServerState::default(),
            max_connections: 0,
            backup: false,
            unknown: Unknown::default(),
        }
    }

    pub fn key(&self) -> ServerKey {
        ServerKey::new(self.pool.clone(), self.id.clone())
    }

    /// The fields that this version does not know, by the part that has them.
    pub fn unknown_mut(&mut self) -> Vec<(String, &mut Unknown)> {
        vec![(String::new(), &mut self.unknown)]
    }
}
