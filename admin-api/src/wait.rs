//! Waiting until the whole fleet has done what a change asked of it, and what the answer then says.

use std::time::Duration;

use model::{Revision, parse_duration};
use registry::{Goal, Laggard, Outcome, wait_together};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::fleet::duration_text;
use crate::problem::Problem;
use crate::query::Parameters;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// What the client wants to be done before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) until: Until,
    timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Every balancer works with the change.
    Applied,
    /// That, and no request is in flight any more to the server that leaves.
    Drained,
}

/// How a wait ended.
#[derive(Debug)]
pub(crate) struct Waited {
    until: Until,
    took: Duration,
    end: End,
}

#[derive(Debug)]
enum End {
    Done,
    /// These have not done it, cannot do it, or cannot say.
    Late(Vec<Laggard>),
    /// Nobody could be asked.
    Unknown(String),
    /// What the change took away was brought back by this revision.
    Undone(Revision, String),
}

impl Wait {
    pub(crate) fn parse(parameters: &Parameters) -> Result<Option<Self>, Problem> {
        let until = match parameters.get("wait") {
            None => None,
            Some("applied") => Some(Until::Applied),
            Some("drained") => Some(Until::Drained),
            Some(_) => return Err(Problem::field("wait", "must be applied or drained")),
        };
        let timeout = parameters.get("timeout").map(parse_timeout).transpose()?;
        match (until, timeout) {
            (None, Some(_)) => Err(Problem::field(
                "timeout",
                "is the limit of a wait: name wait too",
            )),
            (None, None) => Ok(None),
            (Some(until), timeout) => {
                let timeout = timeout.unwrap_or(TIMEOUT_DEFAULT);
                Ok(Some(Self { until, timeout }))
            }
        }
    }
}

fn parse_timeout(text: &str) -> Result<Duration, Problem> {
    match parse_duration(text) {
        Ok(timeout) if timeout <= TIMEOUT_MAX => Ok(timeout),
        Ok(_) => Err(Problem::field("timeout", "must be at most 1h")),
        Err(rule) => Err(Problem::field("timeout", rule)),
    }
}

impl Until {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Drained => "drained",
        }
    }
}

impl Waited {
    /// Whether the fleet has done it.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.end, End::Done)
    }

    pub(crate) fn json(&self) -> Value {
        let took = duration_text(self.took);
        let mut json = json!({"until": self.until.as_str(), "done": self.is_done(), "took": took});
        match &self.end {
            End::Done => {}
            End::Late(laggards) => json["laggards"] = laggards.iter().map(laggard).collect(),
            End::Unknown(reason) => {
                json["laggards"] = json!([]);
                json["reason"] = json!(reason);
            }
            End::Undone(by, reason) => {
                json["laggards"] = json!([]);
                json["reason"] = json!(reason);
                json["undone_by"] = json!(by);
            }
        }
        json
    }
}

fn laggard(laggard: &Laggard) -> Value {
    json!({
        "instance": laggard.instance,
        "advertise": laggard.advertise,
        "reason": laggard.reason,
    })
}

impl App {
    /// Waits as long as the client wants to, and as there is hope, or until this process stops.
    pub(crate) async fn wait(&self, wait: Wait, goal: &Goal) -> Waited {
        let started = Instant::now();
        let deadline = started + wait.timeout;
        let end = tokio::select! {
            outcome = wait_together(&*self.registry, &self.listings, goal, deadline) => match outcome {
                Ok(Outcome::Done) => End::Done,
                Ok(Outcome::Waiting(laggards) | Outcome::Refused(laggards)) => End::Late(laggards),
                Ok(Outcome::Unknown(reason) | Outcome::Superseded(reason)) => End::Unknown(reason),
                Ok(Outcome::Undone { by, reason }) => End::Undone(by, reason),
                Err(error) => End::Unknown(error.to_string()),
            },
            () = self.stop.cancelled() => End::Unknown("this admin API is stopping".into()),
        };
        let took = started.elapsed();
        let waited = Waited {
            until: wait.until,
            took,
            end,
        };
        self.metrics.waited(wait.until, waited.is_done(), took);
        waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Option<Wait>, Problem> {
        let uri = format!("/?{query}").parse().expect("a URI");
        Wait::parse(&Parameters::parse(&uri, &["wait", "timeout"])?)
    }

    #[test]
    fn a_wait_has_a_goal_and_a_limit() {
        assert_eq!(parse(""), Ok(None));
        let wait = |until, seconds| Wait {
            until,
            timeout: Duration::from_secs(seconds),
        };
        assert_eq!(parse("wait=applied"), Ok(Some(wait(Until::Applied, 30))));
        assert_eq!(
            parse("wait=drained&timeout=2m"),
            Ok(Some(wait(Until::Drained, 120)))
        );
    }

    #[test]
    fn a_wait_that_cannot_be_is_refused_by_name() {
        for (query, field) in [
            ("wait=", "wait: "),
            ("wait=forever", "wait: "),
            ("wait=applied&timeout=soon", "timeout: "),
            ("wait=applied&timeout=30", "timeout: "),
            ("wait=applied&timeout=2h", "timeout: "),
            ("timeout=3s", "timeout: "),
        ] {
            let text = parse(query).expect_err(query).to_string();
            assert!(text.starts_with(field), "{query}: {text}");
        }
    }
}
