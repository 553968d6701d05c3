//! What servers get of a request's path.

use serde::{Deserialize, Serialize};

/// What servers get of a path that is not in its normal form. Routes and firewalls look at the normal form in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Paths {
    /// Its normal form, so that they see what was decided on.
    #[default]
    Normalise,
    /// Nothing: the request is refused.
    Reject,
    /// The path as the client wrote it.
    AsIs,
}
