//! Whether the whole fleet has done what a change asked of it, and who has not.
//!
//! `Waiter` is the pure rule: a wait covers every balancer that the registry lists, hence every one that has
//! neither deregistered nor been forgotten, which is for the leader and operators to do. One that is lost is
//! named however long its silence, since it may go on serving, unless another has taken its place. Whom a
//! failover made the registry forget during the wait is named too. What a registry that has lost its memory
//! lists proves nothing: a wait is over only where the log, read after the listing, still holds the goal, since
//! who was registered before a commit is lost with it or not at all, unless an eviction takes the instances alone:
//! so a listing says for how long they are remembered, and proves nothing before whoever lives has reported again.
//! Who has followed a change and could not apply the very element that it wrote has not made it, and will not by
//! being waited for. `wait_for` drives it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use model::{Delta, Hold, Instance, InstanceId, Position, Report, Revision, RevisionId, Role};

use crate::timing::LOST_AFTER;
use crate::{Life, Listing, Remembered};

mod drive;
mod goal;
mod listings;

pub use drive::{wait_for, wait_together};
pub use goal::{Goal, Leaving};
pub use listings::Listings;

/// How a wait stands, or how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Never empty.
    Waiting(Vec<Laggard>),
    /// All who have not done it cannot apply what was changed, so that waiting on is in vain. Never empty.
    Refused(Vec<Laggard>),
    /// Nobody lags, and yet nobody can say that it is done: why.
    Unknown(String),
    /// The server that was to go was brought back, so that waiting on is in vain.
    Undone {
        by: Revision,
        reason: String,
    },
    /// The registry was restored, and goes on in another history, of which this wait says nothing: why.
    Superseded(String),
}

impl Outcome {
    /// Whether waiting on changes nothing.
    fn is_final(&self) -> bool {
        !matches!(self, Self::Waiting(_) | Self::Unknown(_))
    }
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
    /// What brought the server of the goal back, as that log has it.
    returned: Option<Revision>,
    /// Where the registry stood at that listing.
    present: Option<Position>,
    life: Life,
    /// Since when it remembers who is listed.
    remembered: Remembered,
    listed: Vec<Instance>,
    /// Who was listed by an earlier life of the registry, and by no later one yet: a failover may have
    /// forgotten them, and they may go on serving.
    forgotten: BTreeMap<InstanceId, Instance>,
    /// All whom an earlier life listed. They stood beside those who were forgotten, and took nobody's place.
    elders: BTreeSet<InstanceId>,
}

impl Waiter {
    pub fn new(goal: Goal) -> Self {
        Self {
            goal,
            followers: BTreeMap::new(),
            is_kept: false,
            returned: None,
            present: None,
            life: Life::default(),
            remembered: Remembered::default(),
            listed: Vec::new(),
            forgotten: BTreeMap::new(),
            elders: BTreeSet::new(),
        }
    }

    /// Takes a listing that was made after the change was committed. What was learned of the log before
    /// says nothing of it.
    pub fn list(&mut self, listing: Listing) {
        if self.life != listing.life {
            for instance in self.listed.drain(..) {
                self.elders.insert(instance.report.instance);
                self.forgotten.insert(instance.report.instance, instance);
            }
        }
        let newcomers = || {
            let listed = listing.instances.iter();
            listed.filter(|it| !self.elders.contains(&it.report.instance))
        };
        let listed = |id| listing.instances.iter().any(|it| it.report.instance == id);
        self.forgotten
            .retain(|id, gone| !listed(*id) && !is_superseded(gone, newcomers()));
        self.life = listing.life;
        self.remembered = listing.remembered;
        self.present = listing.position;
        self.listed = listing.instances;
        self.is_kept = false;
    }

    /// Whether an instance reports a position that only the log can place, or only the log can say whether
    /// nobody lags or the goal was undone.
    pub fn needs_log(&self) -> bool {
        self.has_unplaced()
            || self.has_other_history()
            || self.may_be_undone()
            || self.laggards().is_empty()
    }

    /// Whether the log may hold what brought the leaving server back: it did when it was last read, which a new listing leaves to be
    /// confirmed; or the registry stands at a revision that was not read yet.
    fn may_be_undone(&self) -> bool {
        let drains = matches!(self.goal, Goal::Drained(..));
        let is_news = |present| !self.follows(present);
        drains && (self.returned.is_some() || self.present.is_some_and(is_news))
    }

    /// Whether an instance follows another history than the goal's, as all do once the registry was restored.
    fn has_other_history(&self) -> bool {
        let goal = self.goal.position();
        let mut positions = self.listed.iter().filter_map(|it| it.report.applied);
        positions.any(|position| position.epoch != goal.epoch)
    }

    fn has_unplaced(&self) -> bool {
        let goal = self.goal.position();
        let positions = self.listed.iter().filter_map(|it| it.report.applied);
        let mut candidates = positions
            .filter(|position| position.epoch == goal.epoch && position.revision > goal.revision);
        candidates.any(|position| !self.follows(position))
    }

    /// Takes the log after the goal's position, read after the instances were listed. Nothing where the
    /// registry no longer has the goal's revision: then nothing can follow from it.
    pub fn learn(&mut self, log: Option<&[Delta]>) {
        self.is_kept = log.is_some();
        let log = log.unwrap_or_default();
        self.followers = log.iter().map(|delta| (delta.revision, delta.id)).collect();
        self.returned = self.goal.first_return(log);
    }

    /// Judges the last listing by what was learned since.
    pub fn outcome(&self) -> Outcome {
        if let Some(undone) = self.undone() {
            return undone;
        }
        let laggards = self.laggards();
        if !laggards.is_empty() {
            return match self.is_refused() {
                true => Outcome::Refused(laggards),
                false => Outcome::Waiting(laggards),
            };
        }
        let revision = self.goal.position().revision;
        if !self.is_kept {
            return Outcome::Unknown(format!(
                "the registry's log does not hold revision {revision} any more: it may have lost its memory"
            ));
        }
        match self.forgetting() {
            Some(reason) => Outcome::Unknown(reason),
            None => Outcome::Done,
        }
    }

    /// Why the registry may not know everybody who lives: it lost them, and not everybody has had the time to report again.
    fn forgetting(&self) -> Option<String> {
        let when = match self.remembered {
            Remembered::Always => return None,
            Remembered::For(age) if age > LOST_AFTER => return None,
            Remembered::For(age) => format!(", as was seen {} s ago", age.as_secs()),
            Remembered::Unmarked => String::new(),
        };
        Some(format!(
            "the registry has forgotten its instances{when}: who has not reported again may not have done it"
        ))
    }

    /// How the wait ends where the log does not hold the goal, and the registry is here: nowhere, if that is another history.
    pub fn superseded(&self, present: Position) -> Option<Outcome> {
        let goal = self.goal.position();
        let revision = goal.revision;
        (present.epoch != goal.epoch).then(|| {
            Outcome::Superseded(format!(
                "the registry was restored in another history, epoch {}, which may or may not hold what revision {revision} \
                 changed: look, and ask anew",
                present.epoch
            ))
        })
    }

    /// How the wait ends where nobody can do what is waited for any more.
    fn undone(&self) -> Option<Outcome> {
        match (&self.goal, self.returned) {
            (Goal::Drained(_, Leaving { key, .. }), Some(by)) if self.is_kept => {
                let reason =
                    format!("{key} was brought back by revision {by}, so it does not drain");
                Some(Outcome::Undone { by, reason })
            }
            _ => None,
        }
    }

    fn laggards(&self) -> Vec<Laggard> {
        let listed = balancers(standing(&self.listed)).filter_map(|it| self.laggard(it));
        let forgotten = balancers(self.forgotten.values()).map(unheard);
        listed.chain(forgotten).collect()
    }

    /// Whether nobody is left who may still do it by itself.
    fn is_refused(&self) -> bool {
        let listed = || balancers(standing(&self.listed)).map(|it| &it.report);
        let may_do_it =
            |report: &Report| self.missing(report).is_some() && self.nack(report).is_none();
        balancers(self.forgotten.values()).next().is_none() && !listed().any(may_do_it)
    }

    /// What it could not apply of the goal, or perhaps could not, once it has followed the change.
    fn nack(&self, report: &Report) -> Option<String> {
        if !report.applied.is_some_and(|applied| self.follows(applied)) {
            return None;
        }
        let mut named = report.nacks.iter();
        if let Some(nack) = named.find(|nack| self.goal.needs(nack)) {
            return Some(format!("cannot apply {nack}"));
        }
        let mut unnamed = report.more_nacks.iter();
        let (collection, count) = unnamed.find(|(kind, _)| self.goal.is_about(**kind))?;
        Some(format!(
            "cannot apply {count} more of {collection} than it names, this one perhaps among them"
        ))
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
        if let Some(nack) = self.nack(report) {
            return Some(nack);
        }
        if let Some(hold) = report.holds.iter().find(|hold| self.concerns(hold)) {
            return Some(format!("holds back what takes servers from {}", hold.pool));
        }
        match &self.goal {
            Goal::Applied(_) | Goal::Changed(..) => None,
            Goal::Drained(_, leaving) => self.undrained(report, leaving),
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

    fn undrained(&self, report: &Report, leaving: &Leaving) -> Option<String> {
        let Leaving {
            key, incarnation, ..
        } = leaving;
        match report.leaving.get(key) {
            Some(load) if load.incarnation != *incarnation => Some(format!(
                "speaks of another incarnation of {key}: {}",
                load.incarnation
            )),
            Some(load) if load.in_flight > 0 => {
                Some(format!("has {} in flight to {key}", load.in_flight))
            }
            Some(load) if load.sticky => {
                Some(format!("still sends clients to {key} that are with it"))
            }
            Some(_) => None,
            None if self.never_used(report) => None,
            None => Some(format!(
                "does not say how many requests are in flight to {key}"
            )),
        }
    }

    /// Whether the server was gone from every table that the balancer ever had.
    fn never_used(&self, report: &Report) -> bool {
        report.began.is_some_and(|began| self.follows(began))
    }
}

/// The instances that somebody has to reckon with: all but those that are lost and whose place another has taken.
pub fn standing(instances: &[Instance]) -> impl Iterator<Item = &Instance> {
    let stands = move |it: &&Instance| it.age <= LOST_AFTER || !is_superseded(it, instances);
    instances.iter().filter(stands)
}

/// Whether another has taken the place of an instance that is silent or was forgotten: it reports, in the same
/// role and from the same address, on the same host where the address is good there alone, and does not say that
/// both of them serve there.
fn is_superseded<'a>(gone: &Instance, listed: impl IntoIterator<Item = &'a Instance>) -> bool {
    let successor = |newer: &Instance| {
        newer.report.instance != gone.report.instance
            && newer.age <= LOST_AFTER
            && newer.report.role == gone.report.role
            && newer.report.advertise == gone.report.advertise
            && !newer.report.beside.contains(&gone.report.instance)
            && (newer.report.host == gone.report.host || !is_loopback(&gone.report.advertise))
    };
    !gone.report.advertise.is_empty() && listed.into_iter().any(successor)
}

fn is_loopback(address: &str) -> bool {
    let parsed = address.parse::<SocketAddr>();
    address.starts_with("localhost:") || parsed.is_ok_and(|parsed| parsed.ip().is_loopback())
}

fn unheard(instance: &Instance) -> Laggard {
    Laggard {
        instance: instance.report.instance,
        advertise: instance.report.advertise.clone(),
        reason: "has not reported to the registry since that was restarted or replaced".into(),
    }
}

fn balancers<'a>(
    instances: impl IntoIterator<Item = &'a Instance>,
) -> impl Iterator<Item = &'a Instance> {
    let all = instances.into_iter();
    all.filter(|instance| instance.report.role == Role::Balancer)
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
