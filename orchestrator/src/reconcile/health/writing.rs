//! Verdicts on their way into the registry: one commit at a time, and a pause after each.
//!
//! A single change is written at once; where many come together, as when a leader meets a new fleet or a
//! rack goes dark, all but the first few go together (`pacing`).

use std::time::Duration;

use model::{Change, Position};
use registry::{Commit, CommitError, Committed, Leadership};
use runtime::Backoff;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::pacing::Pacing;
use crate::fleet::Fleet;

/// Verdicts that the registry has taken; it may have refused those on former incarnations.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) changes: Vec<Change>,
    pub(super) position: Position,
}

type Answer = (Leadership, Vec<Change>, Result<Committed, CommitError>);

#[derive(Debug)]
pub(super) struct Writing {
    fleet: Fleet,
    /// One task, or none.
    running: JoinSet<Answer>,
    backoff: Backoff,
    pacing: Pacing,
    anchor: Instant,
    /// Not before.
    resume: Option<Instant>,
    /// The last failure that was logged.
    complaint: Option<String>,
}

impl Writing {
    pub(super) fn new(fleet: Fleet) -> Self {
        Self {
            fleet,
            running: JoinSet::new(),
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(2)),
            pacing: Pacing::default(),
            anchor: Instant::now(),
            resume: None,
            complaint: None,
        }
    }

    /// Begins to write what there is, where this one leads and nothing is under way.
    pub(super) fn begin(&mut self, unwritten: impl FnOnce() -> Vec<Change>) {
        if !self.running.is_empty() || self.resume.is_some() {
            return;
        }
        if let Some(leadership) = self.fleet.leadership() {
            self.spawn(leadership, unwritten());
        }
    }

    fn spawn(&mut self, leadership: Leadership, changes: Vec<Change>) {
        let fleet = self.fleet.clone();
        self.running.spawn(async move {
            let commit = Commit {
                epoch: Some(leadership.epoch),
                leadership: Some(leadership),
                ..Commit::new(leadership.author(), changes.clone())
            };
            (leadership, changes, fleet.registry.commit(commit).await)
        });
    }

    /// What was written; nothing where a pause is over. Never, where there is nothing to wait for. Cancel
    /// safe.
    pub(super) async fn next(&mut self) -> Option<Written> {
        if self.resume.is_none()
            && let Some((leadership, changes, result)) = self.answer().await
        {
            match result {
                Ok(committed) => return Some(self.succeeded(changes, &committed)),
                Err(error) => self.failed(leadership, &error),
            }
        }
        if let Some(resume) = self.resume {
            sleep_until(resume).await;
            self.resume = None;
        }
        None
    }

    /// The answer to the commit under way; nothing where that was ended.
    async fn answer(&mut self) -> Option<Answer> {
        match self.running.join_next().await {
            Some(Ok(answer)) => Some(answer),
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => None,
            },
            None => std::future::pending().await,
        }
    }

    /// What was under way is another term's.
    pub(super) fn abandon(&mut self) {
        self.running = JoinSet::new();
        self.resume = None;
    }

    fn succeeded(&mut self, changes: Vec<Change>, committed: &Committed) -> Written {
        self.backoff.reset();
        self.complaint = None;
        let now = self.anchor.elapsed();
        self.resume = Some(self.anchor + now + self.pacing.committed(now));
        for server in &committed.refused {
            tracing::debug!(%server, "a verdict on a former incarnation was refused");
        }
        Written {
            changes,
            position: committed.position,
        }
    }

    /// What was not written is still to be written; so this only says so, and waits a little.
    fn failed(&mut self, leadership: Leadership, error: &CommitError) {
        self.fleet.metrics.commit_failures.inc();
        self.fleet.failed(leadership, error);
        let complaint = error.to_string();
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::warn!(%error, "verdicts could not be written");
            self.complaint = Some(complaint);
        }
        self.resume = Some(Instant::now() + self.backoff.next_pause(&mut rand::rng()));
    }
}
