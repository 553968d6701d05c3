//! What can end a comparison.

use std::io;

/// Why the comparison, or a role of it, could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{name} could not be started: {source}")]
    Start { name: String, source: io::Error },

    #[error("{name} ended, or never listened; it said:\n{said}")]
    Ended { name: String, said: String },

    #[error("the admin API refused {what}: {said}")]
    Admin { what: String, said: String },

    #[error("{0}")]
    Unfit(String),

    #[error(transparent)]
    Io(#[from] io::Error),

    #[error(transparent)]
    Registry(#[from] registry::RegistryError),

    #[error(transparent)]
    Commit(#[from] registry::CommitError),

    #[error(transparent)]
    Tls(#[from] rustls::Error),

    #[error("an unreadable report: {0}")]
    Report(#[from] serde_json::Error),

    #[error("the chart: {0}")]
    Chart(String),
}
