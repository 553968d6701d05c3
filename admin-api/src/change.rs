//! A change on its way: decided on the view, committed on the desired revision it was decided on, decided
//! again where others were faster.

use std::time::Duration;

use model::{Change, Revision, Snapshot};
use registry::{Commit, CommitError, Committed, Durability, RegistryError, Unseen};
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::durability::{Kept, Recorded};
use crate::extract::Intent;
use crate::problem::Problem;
use crate::whole::refuse_unread;

/// How long a change may take, its turn included.
const CHANGE_TIME: Duration = Duration::from_secs(10);

/// How often a change is decided anew when others were faster.
const TRIES: usize = 32;

/// What a change became.
#[derive(Debug)]
pub(crate) enum Outcome<T> {
    /// It was made, as decided.
    Made(Kept, T),
    /// It had been made before, under the same idempotency key.
    Earlier(Kept),
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
        let turn = self.take_turn(deadline).await?;
        let (recorded, decided) = self.record(intent, decide, deadline).await?;
        // Others change what they want to while replicas are waited for.
        drop(turn);
        let kept = self.kept(recorded).await;
        Ok(match decided {
            Some(decided) => Outcome::Made(kept, decided),
            None => Outcome::Earlier(kept),
        })
    }

    /// The change as the registry has it, and what was decided on, if it was made just now.
    async fn record<T>(
        &self,
        intent: &Intent,
        decide: impl Fn(&Snapshot) -> Result<(Vec<Change>, T), Problem>,
        deadline: Instant,
    ) -> Result<(Recorded<'_>, Option<T>), Problem> {
        let mut found: Vec<Unseen> = Vec::new();
        for _ in 0..TRIES {
            let seen = self.snapshot()?;
            let (changes, decided) = match decide(&seen) {
                Ok(decision) => decision,
                Err(problem) => {
                    let recorded = self.recorded_before(intent, &seen, problem, deadline);
                    return Ok((recorded.await?, None));
                }
            };
            let doubtful = self.doubtful();
            let commit = intent.commit(changes, &seen);
            let mut commit = commit.doubting(|collection| doubtful.contains(&collection));
            for element in &found {
                correct(&mut commit, element);
            }
            match self.commit(commit, deadline).await {
                Ok(recorded) => {
                    let is_own = self.is_own(intent, &recorded.committed).await;
                    return Ok((recorded, is_own.then_some(decided)));
                }
                Err(CommitError::Conflict { .. } | CommitError::OtherEpoch { .. }) => {
                    self.refreshed(&seen).await;
                }
                Err(CommitError::Unseen { elements }) => {
                    for element in elements {
                        refuse_if_unread_now(&element, &seen)?;
                        found.push(element);
                    }
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

    async fn commit(&self, commit: Commit, deadline: Instant) -> Result<Recorded<'_>, CommitError> {
        let answer = timeout_at(deadline, self.send(commit)).await;
        let operation = "a change";
        let unanswered = RegistryError::Unanswered { operation };
        answer.unwrap_or(Err(CommitError::Registry(unanswered)))
    }

    async fn send(&self, commit: Commit) -> Result<Recorded<'_>, CommitError> {
        let (committed, replication) = match self.durability {
            Durability::None => (self.registry.commit(commit).await?, None),
            Durability::Wait { .. } => {
                let (committed, way) = self.registry.commit_to_replicas(commit).await?;
                (committed, Some(way))
            }
        };
        Ok(Recorded {
            committed,
            replication,
        })
    }

    /// Whether a commit was made by this request, once the view shows it.
    async fn is_own(&self, intent: &Intent, committed: &Committed) -> bool {
        self.seen(committed.position).await;
        // Without a key, what was answered before is this very commit, sent twice below us.
        let is_own = !committed.replayed || intent.idempotency_key.is_none();
        if is_own {
            self.metrics.changed();
        }
        is_own
    }

    /// A change that is refused now may have been made before: a server that was removed cannot be removed
    /// again, but who repeats the request that removed it gets that request's answer.
    pub(crate) async fn earlier<T>(
        &self,
        intent: &Intent,
        seen: &Snapshot,
        problem: Problem,
    ) -> Result<Outcome<T>, Problem> {
        let deadline = Instant::now() + CHANGE_TIME;
        let recorded = self.recorded_before(intent, seen, problem, deadline);
        Ok(Outcome::Earlier(self.kept(recorded.await?).await))
    }

    async fn recorded_before(
        &self,
        intent: &Intent,
        seen: &Snapshot,
        problem: Problem,
        deadline: Instant,
    ) -> Result<Recorded<'_>, Problem> {
        if intent.idempotency_key.is_none() {
            return Err(problem);
        }
        // No history's desired revision is 0, so this commit can only be answered from memory.
        let question = Commit {
            expected: Some(Revision(0)),
            ..intent.commit(Vec::new(), seen)
        };
        match self.commit(question, deadline).await {
            Ok(recorded) => Ok(recorded),
            Err(CommitError::Registry(error)) => Err(error.into()),
            Err(CommitError::KeyReused) => Err(Problem::KeyReused),
            Err(_) => Err(problem),
        }
    }
}

/// Has a commit take an element for what was found in the registry.
fn correct(commit: &mut Commit, element: &Unseen) {
    let name = (element.collection, element.key.clone());
    if let Some(seen) = commit.seen.get_mut(&name) {
        seen.correct(&element.stored);
    }
}

/// Refuses to write over what other hands wrote a moment ago, if this version cannot read it. What it can read may be text that
/// another version wrote in other words, and goes as ever.
fn refuse_if_unread_now(element: &Unseen, seen: &Snapshot) -> Result<(), Problem> {
    let (collection, key) = (element.collection, element.key.clone());
    let mut state = seen.clone();
    state.apply_stored(collection, key.as_bytes(), element.stored.as_bytes());
    refuse_unread(collection, key, &state)
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
        | CommitError::Unseen { .. }
        | CommitError::OtherEpoch { .. }
        | CommitError::NotLeading { .. } => Problem::Contended,
    }
}
