//! What can be changed, and a change as it is announced.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Epoch, InstanceId, Pool, PoolId, Position, Revision, RevisionId, Ruling, Server, ServerKey,
    Term, Verdict,
};

/// The kinds of element that the registry holds, one hash each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Collection {
    Pools,
    Servers,
    /// Verdicts, by server key.
    Health,
    /// Rulings on held withdrawals, by pool.
    Holds,
}

impl Collection {
    pub const ALL: [Self; 4] = [Self::Pools, Self::Servers, Self::Health, Self::Holds];

    /// Its name in registry keys and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pools => "pools",
            Self::Servers => "servers",
            Self::Health => "health",
            Self::Holds => "holds",
        }
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One element to write (`Some`) or to remove (`None`).
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Pool(PoolId, Option<Box<Pool>>),
    Server(ServerKey, Option<Server>),
    Verdict(ServerKey, Option<Verdict>),
    Ruling(PoolId, Option<Ruling>),
}

impl Change {
    pub fn put_pool(pool: Pool) -> Self {
        Self::Pool(pool.id.clone(), Some(Box::new(pool)))
    }

    pub fn put_server(server: Server) -> Self {
        Self::Server(server.key(), Some(server))
    }

    pub fn collection(&self) -> Collection {
        match self {
            Self::Pool(..) => Collection::Pools,
            Self::Server(..) => Collection::Servers,
            Self::Verdict(..) => Collection::Health,
            Self::Ruling(..) => Collection::Holds,
        }
    }

    /// The element's field in its collection's hash.
    pub fn key(&self) -> String {
        match self {
            Self::Pool(id, _) | Self::Ruling(id, _) => id.to_string(),
            Self::Server(key, _) | Self::Verdict(key, _) => key.to_string(),
        }
    }

    /// The value as JSON, without its stamp; nothing for a removal.
    pub fn value(&self) -> Option<serde_json::Value> {
        let value = match self {
            Self::Pool(_, value) => value.as_ref().map(serde_json::to_value),
            Self::Server(_, value) => value.as_ref().map(serde_json::to_value),
            Self::Verdict(_, value) => value.as_ref().map(serde_json::to_value),
            Self::Ruling(_, value) => value.as_ref().map(serde_json::to_value),
        };
        value.map(|json| json.expect("model types hold nothing that JSON cannot"))
    }
}

/// Who makes a change. An operator's own changes are never held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Author {
    /// A person or a deploy script, through the admin API.
    Operator { name: String },
    /// Something that follows another truth: registrations, discovery.
    Source { name: String },
    /// The leading orchestrator, with the term that it believes it holds.
    Leader { instance: InstanceId, term: Term },
}

/// One element as a revision left it: its stamped value, or nothing where it was removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub collection: Collection,
    pub key: String,
    /// JSON of a `Stamped`.
    pub value: Option<serde_json::Value>,
}

/// One revision: what is logged and published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    pub epoch: Epoch,
    pub revision: Revision,
    pub id: RevisionId,
    /// The id of the revision before. It applies to no other.
    pub previous: RevisionId,
    /// The revision of the last desired change, this one included.
    pub desired: Revision,
    pub author: Author,
    pub entries: Vec<Entry>,
}

impl Delta {
    /// Where a follower stands that has applied it.
    pub fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            revision: self.revision,
            id: self.id,
        }
    }
}
