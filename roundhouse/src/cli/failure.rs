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
    #[error("{change} was made, but is not known to be done{by}: {unfinished}", by = by(.unfinished))]
    Unfinished {
        change: String,
        unfinished: Unfinished,
    },
    #[error("{change} was undone: {reason}")]
    Undone { change: String, reason: String },
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
            Self::Api(_) | Self::Undone { .. } => 1,
            Self::Unfinished { .. } => 4,
            Self::Unhealthy {
                failure: probe::Failure::Status(_),
                ..
            } => 1,
            Self::Unhealthy { .. } | Self::Unresolved { .. } => 3,
        })
    }

    /// What to say: a line for each field that breaks a rule, where there are several.
    pub(super) fn lines(&self) -> Vec<String> {
        let refusal = match self {
            Self::Api(Error::Refused(refusal)) if refusal.errors.len() > 1 => refusal,
            _ => return vec![self.to_string()],
        };
        let mut lines: Vec<_> = refusal.errors.iter().map(ToString::to_string).collect();
        if refusal.more > 0 {
            lines.push(format!("and {} more", refusal.more));
        }
        lines
    }

    /// A reader that has seen enough, as `head` does, is told nothing more.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Leads over to the names of those who have not done it, where any are named, and not the reason alone.
fn by(unfinished: &Unfinished) -> &'static str {
    match unfinished.laggards.is_empty() {
        true => "",
        false => " by",
    }
}

/// What helps where a token is missing.
fn hint(error: &Error) -> &'static str {
    match error.status().map(|status| status.as_u16()) {
        Some(401) => "; name its file with --token-file",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use client::Refusal;
    use http::StatusCode;
    use serde_json::json;

    use super::*;

    #[test]
    fn each_field_that_breaks_a_rule_has_a_line() {
        let problem = |field: &str| model::Problem::new(field, "is not a known field");
        let lines = |fields: &[&str], more| {
            let refusal = Refusal {
                status: StatusCode::UNPROCESSABLE_ENTITY,
                title: String::new(),
                detail: "what is wrong".into(),
                errors: fields.iter().copied().map(problem).collect(),
                more,
            };
            Failure::from(Error::Refused(refusal)).lines()
        };
        assert_eq!(lines(&["a"], 0), ["what is wrong"]);
        let several = ["a: is not a known field", "b: is not a known field"];
        assert_eq!(lines(&["a", "b"], 0), several);
        assert_eq!(lines(&["a", "b"], 7)[2..], ["and 7 more"]);
    }

    #[test]
    fn what_is_unfinished_is_told_with_who_has_not_done_it_or_with_the_reason_alone() {
        let said = |unfinished| {
            let change = "s1".into();
            Failure::Unfinished { change, unfinished }.to_string()
        };
        let laggard = json!({
            "instance": "6d0a1c3e-58b6-4dd9-9b9e-0a6f0a8f8a11",
            "advertise": "10.0.0.1:8000",
            "reason": "is at revision 4 of 5",
        });
        let named = Unfinished {
            laggards: vec![serde_json::from_value(laggard).expect("a laggard")],
            reason: String::new(),
        };
        assert_eq!(
            said(named),
            "s1 was made, but is not known to be done by: 10.0.0.1:8000 (is at revision 4 of 5)"
        );
        let nobody = Unfinished {
            laggards: Vec::new(),
            reason: "the registry has forgotten its instances".into(),
        };
        assert_eq!(
            said(nobody),
            "s1 was made, but is not known to be done: the registry has forgotten its instances"
        );
    }
}
