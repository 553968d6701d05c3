//! How a command can end badly, and the exit code of each kind.

use std::io;
use std::process::ExitCode;

use client::{Error, TokenError, Unfinished};

pub(super) const EXIT_CODES: &str = "Exit codes: 0 done; 1 refused or failed; 2 the command line, or a value on it, is wrong; \
    3 the admin API cannot be reached; 4 done, but the wait for the fleet ran out.";

/// Why a command did not do all that was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the runtime cannot be started: {0}")]
    Start(io::Error),
    #[error("--token-file: {0}")]
    Token(#[from] TokenError),
    #[error("{0}{hint}", hint = hint(.0))]
    Api(#[from] Error),
    #[error("{change} was made, but is not known to be done by: {unfinished}")]
    Unfinished {
        change: String,
        unfinished: Unfinished,
    },
    #[error("{file}: {reason}")]
    Document { file: String, reason: String },
    #[error("{url} is not healthy: {failure}")]
    Unhealthy {
        url: String,
        failure: probe::Failure,
    },
    #[error("{url} cannot be resolved: {reason}")]
    Unresolved { url: String, reason: String },
    /// Nobody reads what is written.
    #[error("the output cannot be written: {0}")]
    Output(io::Error),
}

impl Failure {
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Start(_) | Self::Output(_) => 1,
            Self::Token(_) | Self::Document { .. } => 2,
            Self::Api(error) if error.is_unreachable() => 3,
            Self::Api(error) if error.is_invalid() => 2,
            Self::Api(_) => 1,
            Self::Unfinished { .. } => 4,
            Self::Unhealthy {
                failure: probe::Failure::Status(_),
                ..
            } => 1,
            Self::Unhealthy { .. } | Self::Unresolved { .. } => 3,
        })
    }

    /// A reader that has seen enough, as `head` does, is told nothing more.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// What helps where a token is missing.
fn hint(error: &Error) -> &'static str {
    match error.status().map(|status| status.as_u16()) {
        Some(401) => "; name its file with --token-file",
        _ => "",
    }
}
