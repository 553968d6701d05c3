//! What the fleet as a whole is doing: `/v1/status`, `/v1/balancers`.

use std::collections::BTreeMap;

use model::{
    CertificateId, Collection, Epoch, Hold, InstanceId, Nack, Origin, Revision, ServerKey, Term,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::transport::Call;
use crate::{Client, Error};

/// The fleet at a glance. Before the admin API has read any state of it, nothing is said of that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub epoch: Option<Epoch>,
    /// Where the admin API's own view stands.
    pub revision: Option<Revision>,
    /// The last desired change in it.
    pub desired: Option<Revision>,
    pub leader: Option<InstanceId>,
    pub term: Option<Term>,
    /// Whether changes arrive from the registry.
    pub connected: bool,
    pub pools: Option<usize>,
    pub servers: Option<ServerCounts>,
    #[serde(default)]
    pub certificates: Vec<CertificateSummary>,
    /// Nothing where the registry could not be asked.
    pub balancers: Option<Vec<InstanceSummary>>,
    pub orchestrators: Option<Vec<InstanceSummary>>,
    pub alarms: Vec<Alarm>,
    /// Whatever else the API says.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// How many servers are how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerCounts {
    pub total: usize,
    pub up: usize,
    pub down: usize,
    pub unknown: usize,
    pub draining: usize,
    pub disabled: usize,
}

/// A certificate in the status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertificateSummary {
    pub id: CertificateId,
    /// RFC 3339; nothing where its chain cannot be read.
    pub not_after: Option<String>,
    /// The fingerprint of the seal key that opens its private key.
    pub sealed_to: String,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// An instance in the status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceSummary {
    pub id: InstanceId,
    pub advertise: String,
    pub revision: Option<Revision>,
    /// How many revisions it is behind; nothing where that cannot be said.
    pub lag: Option<u64>,
    pub lost: bool,
    /// Of a balancer: whether what it works by is old.
    #[serde(default)]
    pub stale: bool,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Something that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    pub kind: String,
    pub subject: String,
    pub detail: String,
    /// How many things it stands for: more than one where it says only how many more there are.
    #[serde(default = "one")]
    pub count: u64,
}

fn one() -> u64 {
    1
}

/// A balancer, by its last report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BalancerView {
    pub id: InstanceId,
    pub advertise: String,
    pub zone: String,
    pub revision: Option<Revision>,
    /// How many revisions it is behind; nothing where that cannot be said.
    pub lag: Option<u64>,
    /// How many milliseconds ago the oldest of them was committed, by the registry's own clock.
    #[serde(default)]
    pub lag_ms: Option<u64>,
    /// Whether what it works by is old: it is lost, or has lagged for longer than it may be silent, or works from its disk.
    #[serde(default)]
    pub stale: bool,
    pub origin: Origin,
    /// Of the report: a duration.
    pub age: String,
    pub lost: bool,
    /// Servers that take no new request, and what is still in flight to them.
    pub leaving: Vec<Leaving>,
    pub nacks: Vec<Nack>,
    /// How many others it cannot apply, of each kind that has some.
    #[serde(default)]
    pub more_nacks: BTreeMap<Collection, u64>,
    pub holds: Vec<Hold>,
    /// Servers that it has ejected on its own evidence.
    #[serde(default)]
    pub ejected: Vec<ServerKey>,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A server that one balancer is letting go of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    pub server: ServerKey,
    pub incarnation: Revision,
    pub in_flight: u64,
    /// Whether the clients that are with it may still send it more.
    #[serde(default)]
    pub sticky: bool,
}

impl Client {
    pub async fn status(&self) -> Result<Status, Error> {
        self.transport.read(Call::get("/status")).await
    }

    pub async fn balancers(&self) -> Result<Vec<BalancerView>, Error> {
        self.transport.read(Call::get("/balancers")).await
    }
}
