//! What to do where the registry lost what it knew: all of it, or its latest writes.
//!
//! A registry without a head is either new or has lost its memory, and it cannot say which. `Recovery` is the
//! pure rule: wait for what the instances say, and let only a holder of the furthest position go on from
//! there. `replay` finds which of the writes that a failover lost are to be made again.

use std::time::Duration;

use model::{Epoch, Instance, Position, Revision, RevisionId, Role, Snapshot};

use crate::timing::{LOST_AFTER, REPORT_PERIOD};

mod replay;

pub use replay::{before, replay, replay_lost};

/// How long a candidate listens to the instances before it makes a head.
pub const RECOVERY_WAIT: Duration = REPORT_PERIOD.saturating_mul(3);

/// One candidate's way through a registry without a head.
#[derive(Debug, Clone)]
pub struct Recovery {
    wait: Duration,
    since: Option<Duration>,
}

/// A candidate's copy of the registry.
#[derive(Debug, Clone, Copy)]
pub struct OwnCopy<'a> {
    pub snapshot: &'a Snapshot,
    /// Whether nothing is missing that other hands took from the registry before it was read.
    pub is_whole: bool,
}

/// What a candidate does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Look again soon.
    Wait,
    /// No instance ever had a state: begin with this one.
    Initialise(Box<Snapshot>),
    /// Nobody has seen more than this candidate: continue with its copy, under a new epoch.
    Reseed(Box<Snapshot>),
    /// Another orchestrator has seen more, and will do it.
    Leave(Position),
    /// This position was seen, and no orchestrator holds a whole copy of it. An operator decides.
    Alarm(Position),
}

impl Recovery {
    /// A candidate that listens for so long, `RECOVERY_WAIT` but for good reason.
    pub fn new(wait: Duration) -> Self {
        Self { wait, since: None }
    }

    /// The registry holds a head, or does not answer: a wait begins anew.
    pub fn reset(&mut self) {
        self.since = None;
    }

    /// Judges a registry that answers and holds no head: by the instances' reports and the own copy.
    /// `epoch` and `id` are new and random.
    pub fn observe(
        &mut self,
        instances: &[Instance],
        own: Option<OwnCopy<'_>>,
        (epoch, id): (Epoch, RevisionId),
        now: Duration,
    ) -> Step {
        let since = *self.since.get_or_insert(now);
        if now.saturating_sub(since) < self.wait {
            return Step::Wait;
        }
        let reported = instances.iter().filter_map(|it| it.report.applied);
        let known = reported.chain(own.map(|own| own.snapshot.position));
        match (known.max_by_key(rank), own) {
            (None, _) => Step::Initialise(Box::new(Snapshot::first(epoch, id))),
            (Some(furthest), Some(own)) if own.is_whole && own.snapshot.position == furthest => {
                Step::Reseed(Box::new(renew(own.snapshot, epoch, id)))
            }
            (Some(furthest), _) => {
                let holds = |instance: &Instance| {
                    instance.report.role == Role::Orchestrator
                        && instance.report.applied == Some(furthest)
                        && instance.age <= LOST_AFTER
                };
                if instances.iter().any(holds) {
                    Step::Leave(furthest)
                } else {
                    Step::Alarm(furthest)
                }
            }
        }
    }
}

/// Revisions go on across epochs, so the number counts first; the rest only makes all agree.
fn rank(position: &Position) -> (Revision, Epoch, RevisionId) {
    (position.revision, position.epoch, position.id)
}

/// What an operator gives back to a registry without memory: this copy as the first revision of a new epoch,
/// numbered beyond all that the instances report, so that none outranks it later.
pub fn restored(
    copy: &Snapshot,
    instances: &[Instance],
    (epoch, id): (Epoch, RevisionId),
) -> Snapshot {
    let mut snapshot = renew(copy, epoch, id);
    let reported = instances.iter().filter_map(|it| it.report.applied);
    if let Some(furthest) = reported.map(|position| position.revision).max() {
        let revision = &mut snapshot.position.revision;
        *revision = furthest.next().max(*revision);
    }
    snapshot
}

/// The same state as the first revision of a new epoch, every stamp kept.
fn renew(own: &Snapshot, epoch: Epoch, id: RevisionId) -> Snapshot {
    let mut snapshot = own.clone();
    snapshot.position = Position {
        epoch,
        revision: own.position.revision.next(),
        id,
    };
    snapshot.faults.clear();
    snapshot
}

#[cfg(test)]
mod tests;
