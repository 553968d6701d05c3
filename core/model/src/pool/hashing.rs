//! What the algorithm `hash` looks at.

use serde::{Deserialize, Serialize};

use crate::Unknown;

/// The part of a request that is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashOn {
    Header,
    Cookie,
    /// One parameter of the query.
    Query,
    /// The path without the query.
    #[default]
    Path,
}

/// What is hashed, for the algorithm `hash`, and how uneven the load may become, for `ip_hash` too. A request that has no such part is
/// hashed by the client's address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hashing {
    pub on: HashOn,
    /// The name of the header, cookie or parameter.
    pub name: String,
    /// A server takes at most this many times its fair share of the requests in flight; the next in the order of the hash takes
    /// what comes on top. A handful is taken in any case. 0 sets no bound.
    pub bound: f64,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Default for Hashing {
    fn default() -> Self {
        Self {
            on: HashOn::default(),
            name: String::new(),
            bound: 1.25,
            unknown: Unknown::default(),
        }
    }
}
