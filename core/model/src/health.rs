//! What the inspector knows of a server.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Revision;

/// Whether a server may be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not inspected yet, or the verdict has gone stale: picked only when nothing is `Up`.
    #[default]
    Unknown,
    Up,
    Down,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// The leader's finding about one incarnation of a server. Only transitions are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The incarnation that was inspected; a verdict on another is refused.
    pub incarnation: Revision,
    pub health: Health,
    /// Why, in a few words: "status 503", "connection refused".
    #[serde(default)]
    pub reason: String,
}
