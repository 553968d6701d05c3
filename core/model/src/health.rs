//! What the inspector knows of a server.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Revision, Unknown};

/// Whether a server may be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not inspected yet, or nothing that still counts is known: picked only when nothing is `Up`.
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

/// A finding about one incarnation of a server: the leader's, which is written where it differs from the last, or that of an
/// orchestrator which stands by, which it reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The incarnation that was inspected; a verdict on another is refused.
    pub incarnation: Revision,
    pub health: Health,
    /// Why, in a few words: "status 503", "connection refused".
    #[serde(default)]
    pub reason: String,
    /// For how many milliseconds no probe had got any answer at all, where that is the reason. A balancer that got answers
    /// in that time knows better: it is the way to the server that is broken, and not everybody's.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub silent_ms: u64,
    #[serde(flatten)]
    pub unknown: Unknown,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
