//! Whose probes decide on a pool's servers.

use serde::{Deserialize, Serialize};

use crate::Unknown;

/// Who probes, and whose word counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbesFrom {
    /// The leading orchestrator alone.
    #[default]
    Leader,
    /// Every orchestrator; a verdict is what more than half of them find.
    Quorum,
}

/// Whose probes decide on the pool's servers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Probes {
    pub from: ProbesFrom,
    #[serde(flatten)]
    pub unknown: Unknown,
}
