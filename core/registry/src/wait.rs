//! Whether the whole fleet has done what a change asked of it, and who has not.
//!
//! `Waiter` is the pure rule: a wait covers every balancer that the registry lists, hence every one that has
//! neither deregistered nor been forgotten, which is for the leader and operators to do. One that is lost is
//! named, never skipped, however long its silence, since it may go on serving. What a registry that has lost
//! its memory lists proves nothing: a wait is over only where the log, read after the listing, still holds the
//! goal, since who was registered before a commit is lost with it or not at all. `wait_for` drives it.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Delta, Hold, Instance, InstanceId, Position, Report, Revision, RevisionId, Role, ServerKey,
};

use crate::timing::LOST_AFTER;

mod drive;

pub use drive::wait_for;

/// What to wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// Every balancer works with this revision, or with one that follows from it.
    Applied(Position),
    /// That, and none has a request in flight to this incarnation of the server.
    Drained(Position, ServerKey, Revision),
}

impl Goal {
    fn position(&self) -> Position {
        match self {
            Self::Applied(position) | Self::Drained(position, ..) => *position,
        }
    }
}

/// How a wait stands, or how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Never empty.
    Waiting(Vec<Laggard>),
    /// Nobody who is listed lags, but the registry may have lost who does.
    Unknown(String),
}

/// A balancer that has not done it, or cannot say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Laggard {
    pub instance: InstanceId,
    pub advertise: String,
    pub reason: String,
}

/// The rule, with what has been learned while waiting.
#[derive(Debug)]
pub struct Waiter {
    goal: Goal,
    /// The revisions known to follow from the goal's own. A larger number alone proves nothing: it may be
    /// of a branch that a failover cut off.
    followers: BTreeMap<Revision, RevisionId>,
    /// Whether the log that was read after the listing at hand holds the goal.
    is_kept: bool,
    /// The balancers of the first listing, and those that were seen before the goal since. All others
    /// never knew what the goal took away, unless they say so.
    audience: Option<BTreeSet<InstanceId>>,
}

impl Waiter {
    pub fn new(goal: Goal) -> Self {
        Self {
            goal,
            followers: BTreeMap::new(),
            is_kept: false,
            audience: None,
        }
    }

    /// Whether an instance reports a position that only the log can place, or only the log can say whether
    /// nobody lags.
    pub fn needs_log(&self, instances: &[Instance]) -> bool {
        self.has_unplaced(instances) || self.laggards(instances).is_empty()
    }

    fn has_unplaced(&self, instances: &[Instance]) -> bool {
        let goal = self.goal.position();
        let positions = instances
            .iter()
            .filter_map(|instance| instance.report.applied);
        let mut candidates = positions
            .filter(|position| position.epoch == goal.epoch && position.revision > goal.revision);
        candidates.any(|position| !self.follows(position))
    }

    /// Takes the log after the goal's position, read after the instances were listed. Nothing where the
    /// registry no longer has the goal's revision: then nothing can follow from it.
    pub fn learn(&mut self, log: Option<&[Delta]>) {
        self.is_kept = log.is_some();
        let revisions = log.into_iter().flatten();
        self.followers = revisions.map(|delta| (delta.revision, delta.id)).collect();
    }

    /// Judges the instances, listed after the change was committed. What was learned of the log before counts
    /// for this one listing.
    pub fn outcome(&mut self, instances: &[Instance]) -> Outcome {
        self.meet(instances);
        let is_kept = std::mem::take(&mut self.is_kept);
        let laggards = self.laggards(instances);
        if !laggards.is_empty() {
            return Outcome::Waiting(laggards);
        }
        if is_kept {
            return Outcome::Done;
        }
        let revision = self.goal.position().revision;
        Outcome::Unknown(format!(
            "the registry's log does not hold revision {revision} any more: it may have lost its memory"
        ))
    }

    /// Remembers who may have known what the goal took away.
    fn meet(&mut self, instances: &[Instance]) {
        let early = |instance: &&Instance| {
            let first = self.audience.is_none();
            first || instance.report.applied.is_some_and(|at| !self.follows(at))
        };
        let early: Vec<_> = balancers(instances)
            .filter(early)
            .map(|it| it.report.instance)
            .collect();
        self.audience.get_or_insert_default().extend(early);
    }

    fn laggards(&self, instances: &[Instance]) -> Vec<Laggard> {
        let waited_for = |instance: &&Instance| {
            let lost = instance.age > LOST_AFTER;
            !(lost && balancers(instances).any(|it| supersedes(it, instance)))
        };
        balancers(instances)
            .filter(waited_for)
            .filter_map(|instance| self.laggard(instance))
            .collect()
    }

    /// What an instance once reported stays true when it falls silent, so age matters only after that.
    fn laggard(&self, instance: &Instance) -> Option<Laggard> {
        let mut reason = self.missing(&instance.report)?;
        if instance.age > LOST_AFTER {
            let silence = instance.age.as_secs();
            reason = format!("lost: silent for {silence} s and may still be serving; {reason}");
        }
        Some(Laggard {
            instance: instance.report.instance,
            advertise: instance.report.advertise.clone(),
            reason,
        })
    }

    /// What the report lacks for the goal.
    fn missing(&self, report: &Report) -> Option<String> {
        let goal = self.goal.position();
        let Some(applied) = report.applied else {
            return Some("has applied nothing yet".into());
        };
        if !self.follows(applied) {
            return Some(describe(applied, goal));
        }
        if let Some(hold) = report.holds.iter().find(|hold| self.concerns(hold)) {
            return Some(format!("holds back what takes servers from {}", hold.pool));
        }
        match &self.goal {
            Goal::Applied(_) => None,
            Goal::Drained(_, key, incarnation) => self.undrained(report, key, *incarnation),
        }
    }

    /// Whether a position is the goal's own or a later one of the same branch.
    fn follows(&self, position: Position) -> bool {
        let goal = self.goal.position();
        let later = self.followers.get(&position.revision) == Some(&position.id);
        position == goal || (position.epoch == goal.epoch && later)
    }

    /// Whether a hold may be of the goal's own change. One that was there before is not.
    fn concerns(&self, hold: &Hold) -> bool {
        let goal = self.goal.position();
        hold.position.epoch != goal.epoch || hold.position.revision >= goal.revision
    }

    fn undrained(&self, report: &Report, key: &ServerKey, incarnation: Revision) -> Option<String> {
        match report.leaving.get(key) {
            Some(load) if load.incarnation != incarnation => Some(format!(
                "speaks of another incarnation of {key}: {}",
                load.incarnation
            )),
            Some(load) if load.in_flight > 0 => Some(format!(
                "has {} requests in flight to {key}",
                load.in_flight
            )),
            Some(_) => None,
            // It registered after the commit, so its first table was without the server.
            None if self.is_late(report.instance) => None,
            None => Some(format!(
                "does not say how many requests are in flight to {key}"
            )),
        }
    }

    fn is_late(&self, instance: InstanceId) -> bool {
        let audience = self.audience.as_ref();
        audience.is_some_and(|audience| !audience.contains(&instance))
    }
}

fn balancers(instances: &[Instance]) -> impl Iterator<Item = &Instance> {
    let all = instances.iter();
    all.filter(|instance| instance.report.role == Role::Balancer)
}

/// Whether `newer` has taken the place of a lost instance: it reports, and from the same address.
fn supersedes(newer: &Instance, lost: &Instance) -> bool {
    newer.report.instance != lost.report.instance
        && newer.age <= LOST_AFTER
        && !lost.report.advertise.is_empty()
        && newer.report.advertise == lost.report.advertise
}

fn describe(applied: Position, goal: Position) -> String {
    if applied.epoch != goal.epoch {
        return format!("is in another history, epoch {}", applied.epoch);
    }
    if applied.revision < goal.revision {
        return format!("is at revision {} of {}", applied.revision, goal.revision);
    }
    format!(
        "is at revision {} of a branch that does not hold revision {}",
        applied.revision, goal.revision
    )
}

#[cfg(test)]
mod tests;
