//! A change on its way: decided on the view, committed on the desired revision it was decided on, decided
//! again where others were faster.

use std::time::Duration;

use model::{Change, Revision, Snapshot};
use registry::{Commit, CommitError, Committed, RegistryError};
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::extract::Intent;
use crate::problem::Problem;

/// How long a change may take, its turn included.
const CHANGE_TIME: Duration = Duration::from_secs(10);

/// How often a change is decided anew when others were faster.
const TRIES: usize = 32;

/// What a change became.
#[derive(Debug)]
pub(crate) enum Outcome<T> {
    /// It was made, as decided.
    Made(Committed, T),
    /// It had been made before, under the same idempotency key.
    Earlier(Committed),
}

impl App {
    /// Makes a change. `decide` looks at the state and says what to change; it is asked again where others
    /// changed the state meanwhile, and nothing of it happens unless it is committed.
    pub(crate) async fn change<T>(
        &self,
        intent: &Intent,
        decide: impl Fn(&Snapshot) -> Result<(Vec<Change>, T), Problem>,
    ) -> Result<Outcome<T>, Problem> {
        let deadline = Instant::now() + CHANGE_TIME;
        let _turn = self.take_turn(deadline).await?;
        for _ in 0..TRIES {
            let seen = self.snapshot()?;
            let (changes, decided) = match decide(&seen) {
                Ok(decision) => decision,
                Err(problem) => return self.earlier(intent, &seen, problem).await,
            };
            match self.commit(intent.commit(changes, &seen), deadline).await {
                Ok(committed) => return Ok(self.made(intent, committed, decided).await),
                Err(CommitError::Conflict { .. } | CommitError::OtherEpoch { .. }) => {
                    self.refreshed(&seen).await;
                }
                Err(error) => return Err(refusal(error, intent)),
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(Problem::Contended)
    }

    async fn take_turn(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, Problem> {
        let turn = timeout_at(deadline, self.turn.acquire()).await;
        let turn = turn.map_err(|_| Problem::Busy)?;
        Ok(turn.expect("turns are never called off"))
    }

    async fn commit(&self, commit: Commit, deadline: Instant) -> Result<Committed, CommitError> {
        let answer = timeout_at(deadline, self.registry.commit(commit)).await;
        let operation = "a change";
        let unanswered = RegistryError::Unanswered { operation };
        answer.unwrap_or(Err(CommitError::Registry(unanswered)))
    }

    async fn made<T>(&self, intent: &Intent, committed: Committed, decided: T) -> Outcome<T> {
        self.seen(committed.position).await;
        // Without a key, what was answered before is this very commit, sent twice below us.
        if committed.replayed && intent.idempotency_key.is_some() {
            return Outcome::Earlier(committed);
        }
        self.metrics.changed();
        Outcome::Made(committed, decided)
    }

    /// A change that is refused now may have been made before: a server that was removed cannot be removed
    /// again, but who repeats the request that removed it gets that request's answer.
    async fn earlier<T>(
        &self,
        intent: &Intent,
        seen: &Snapshot,
        problem: Problem,
    ) -> Result<Outcome<T>, Problem> {
        if intent.idempotency_key.is_none() {
            return Err(problem);
        }
        // No history's desired revision is 0, so this commit can only be answered from memory.
        let question = Commit {
            expected: Some(Revision(0)),
            ..intent.commit(Vec::new(), seen)
        };
        match self.registry.commit(question).await {
            Ok(committed) => Ok(Outcome::Earlier(committed)),
            Err(CommitError::Registry(error)) => Err(error.into()),
            Err(CommitError::KeyReused) => Err(Problem::KeyReused),
            Err(_) => Err(problem),
        }
    }
}

fn refusal(error: CommitError, intent: &Intent) -> Problem {
    match error {
        CommitError::Invalid { key, rule } => Problem::field(key, rule),
        CommitError::KeyReused => Problem::KeyReused,
        CommitError::Uninitialised => Problem::Uninitialised,
        CommitError::Registry(
            error @ RegistryError::Unreachable {
                nothing_done: true, ..
            },
        ) => {
            let reason = error.to_string();
            Problem::Unmade { reason }
        }
        CommitError::Registry(
            error @ (RegistryError::Unreachable { .. } | RegistryError::Unanswered { .. }),
        ) => {
            let reason = error.to_string();
            let has_key = intent.idempotency_key.is_some();
            Problem::Unanswered { reason, has_key }
        }
        CommitError::Registry(error) => error.into(),
        CommitError::Conflict { .. }
        | CommitError::OtherEpoch { .. }
        | CommitError::NotLeading { .. } => Problem::Contended,
    }
}
