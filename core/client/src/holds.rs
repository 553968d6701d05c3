//! `/v1/holds`: withdrawals that balancers hold back, and an operator's word on them.

use http::Method;
use model::{Epoch, InstanceId, PoolId, Revision, ServerKey};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::transport::Call;
use crate::{Changed, Client, Demand, Error};

/// What is held back of one pool, all balancers together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldView {
    pub pool: PoolId,
    pub epoch: Epoch,
    /// The latest revision at which a balancer saw it.
    pub revision: Revision,
    /// The first of them by name, where they are very many.
    pub servers: Vec<ServerKey>,
    /// How many they are.
    #[serde(default)]
    pub total: usize,
    pub balancers: Vec<Holder>,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A balancer that holds servers back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub id: InstanceId,
    pub advertise: String,
    pub revision: Revision,
}

/// A hold that was released.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Confirmed {
    pub pool: PoolId,
    pub revision: Revision,
    /// What was decided, and up to which revision it holds.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A withdrawal that was undone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    pub pool: PoolId,
    pub revision: Revision,
    /// The servers that were put back.
    pub restored: Vec<ServerKey>,
    /// What was decided, and up to which revision it holds.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Client {
    pub async fn holds(&self) -> Result<Vec<HoldView>, Error> {
        self.transport.read(Call::get("/holds")).await
    }

    /// Confirms what was withdrawn of a pool up to a revision, or up to what is held now: the balancers
    /// do without these servers.
    pub async fn confirm_hold(
        &self,
        pool: &PoolId,
        up_to: Option<Revision>,
        demand: &Demand,
    ) -> Result<Changed<Confirmed>, Error> {
        let call = demand.call(Method::POST, &format!("/holds/{pool}/confirm"));
        self.change(call.json(&up_to_revision(up_to))).await
    }

    /// Rejects what is held back of a pool, if that is no more than what was withdrawn up to a revision: the servers are
    /// put back, and verdicts that the balancers contradict stay unbelieved.
    pub async fn reject_hold(
        &self,
        pool: &PoolId,
        up_to: Option<Revision>,
        demand: &Demand,
    ) -> Result<Changed<Rejected>, Error> {
        let call = demand.call(Method::POST, &format!("/holds/{pool}/reject"));
        self.change(call.json(&up_to_revision(up_to))).await
    }
}

fn up_to_revision(revision: Option<Revision>) -> Value {
    match revision {
        Some(revision) => json!({"revision": revision}),
        None => json!({}),
    }
}
