//! What can go wrong between a process and its registry, in words that an operator can act on.

/// A registry operation that did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It cannot be reached, or its connection stalls. Trying again later is right.
    #[error("the registry at {endpoint} cannot be reached: {reason}")]
    Unreachable {
        endpoint: String,
        reason: String,
        /// Whether it is certain that nothing of what was asked was done.
        nothing_done: bool,
    },
    /// It did not answer within the time that there was; what was asked may have been done.
    #[error("the registry did not answer {operation} in time")]
    Unanswered { operation: &'static str },
    /// The user or password was refused.
    #[error("the registry at {endpoint} refused the user or password: {reason}")]
    WrongPassword { endpoint: String, reason: String },
    /// The user lacks a right.
    #[error("the registry user lacks a right that this role needs: {reason}")]
    MissingRight { reason: String },
    /// It answered, but not what this version understands.
    #[error("the registry answered something unexpected to {operation}: {reason}")]
    Unexpected {
        operation: &'static str,
        reason: String,
    },
    /// Other hands wrote it, and it is left out.
    #[error("{key} holds nonsense under {field:?}: {reason}")]
    Nonsense {
        key: String,
        field: String,
        reason: String,
    },
}

impl RegistryError {
    /// The same, where it is known whether what was asked may have been done.
    pub(crate) fn with_nothing_done(self, nothing_done: bool) -> Self {
        match self {
            Self::Unreachable {
                endpoint, reason, ..
            } => Self::Unreachable {
                endpoint,
                reason,
                nothing_done,
            },
            other => other,
        }
    }
}
