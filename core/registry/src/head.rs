//! The head: where the registry's history stands, and who leads.

use std::collections::BTreeMap;

use model::{Collection, InstanceId, Position, Revision, Term};
use serde::{Deserialize, Serialize};

/// What the `head` key holds. It exists from the first initialisation on; where it is missing, the
/// registry has lost its memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub position: Position,
    /// The revision of the last desired change.
    pub desired: Revision,
    /// How often the lease was taken.
    pub term: Term,
    /// Who took it last, unless it was given back.
    pub leader: Option<InstanceId>,
    /// What each collection should hold, to notice what other hands or an eviction took.
    pub digests: BTreeMap<Collection, Digest>,
}

/// The number of a collection's elements and a sum over them that does not depend on their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Digest {
    pub count: u64,
    /// The sum, modulo 2^48, of the first 48 bits of SHA-1 over each `key NUL stored-json`.
    pub sum: u64,
}
