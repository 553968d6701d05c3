//! `/v1/routes/explain`: which route would take a request.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::Method;
use model::{Action, PoolId, RouteId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::transport::Call;
use crate::{Client, Error};

/// A request of which somebody asks which route would take it. What is not given is as the API says.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Inquiry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    pub host: String,
    pub path: String,
    pub query: String,
    pub headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
}

/// Which route takes a request, and why the others do not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// Nothing where no route claims it: then the pool `default` answers.
    pub route: Option<RouteId>,
    #[serde(default)]
    pub action: Option<Action>,
    /// Whether the route's firewall lets the client use it.
    pub is_let_in: bool,
    /// The path as it was compared.
    pub path: String,
    /// The pools that may answer.
    pub pools: Vec<PoolShare>,
    /// The routes that take it or come near, those first that go before the others, and those last that are for another host or path.
    pub considered: Vec<Considered>,
    /// How many more of these there are.
    #[serde(default)]
    pub left_out: usize,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A pool, and how likely it answers: 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolShare {
    pub pool: PoolId,
    pub share: f64,
}

/// A route that takes a request or comes near.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Considered {
    pub route: RouteId,
    pub priority: i32,
    /// The parts of its claim that the request does not fulfil.
    pub unmet: Vec<String>,
    /// By what the one that takes the request goes before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outranked_by: Option<String>,
}

impl Client {
    /// Which route would take a request.
    pub async fn explain(&self, inquiry: &Inquiry) -> Result<Explained, Error> {
        let call = Call::new(Method::POST, "/routes/explain");
        self.transport.read(call.json(inquiry)).await
    }
}
