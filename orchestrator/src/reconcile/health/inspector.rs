//! What the leader knows of every server: whom to probe next, on what grounds, and which verdicts the
//! registry has yet to be told. Pure: snapshots, outcomes and times in, assignments and changes out.
//!
//! It compares what it found with what the registry says, whole against whole, so that a verdict which
//! was refused, lost or never written is seen to be missing without anybody having to remember it.

mod subject;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{
    Change, CheckKind, Health, Pool, Position, Revision, Server, ServerKey, ServerState, Snapshot,
    Stamped,
};
use rand::{Rng, RngExt};

pub(super) use self::subject::Assignment;
use self::subject::{Sighting, Subject, verdict};
use super::schedule::{Schedule, Slot};

/// Between two probes of one server that somebody suspects, at least: whoever cries wolf at each request
/// shall not have it probed at each request.
const SUSPICION_PAUSE: Duration = Duration::from_millis(100);

/// How long verdicts that were written may take to come back with the snapshot.
const SETTLING: Duration = Duration::from_secs(5);

/// The most verdicts in one commit.
const CHANGES_MAX: usize = 1000;

/// A verdict that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transition {
    pub(super) from: Health,
    pub(super) to: Health,
}

/// All that is inspected. Times are since an anchor that the caller chooses.
#[derive(Debug, Default)]
pub(super) struct Inspector {
    subjects: BTreeMap<ServerKey, Subject>,
    /// Verdicts in the registry on servers that are not inspected any more.
    outdated: BTreeMap<ServerKey, Revision>,
    /// Servers that missed a renewal: any failed probe takes them down.
    lapsed: BTreeSet<ServerKey>,
    schedule: Schedule,
    /// Where the registry stood after the last verdicts, and until when a snapshot from before that is
    /// no reason to write them again.
    settling: Option<(Position, Duration)>,
}

impl Inspector {
    /// Takes in the fleet as it is now: who came, who went, who has another address or another check.
    pub(super) fn sync(&mut self, snapshot: &Snapshot, now: Duration, random: &mut impl Rng) {
        let trusted = self.trusts(snapshot, now);
        self.outdated.clear();
        let mut former = std::mem::take(&mut self.subjects);
        for (key, server) in &snapshot.servers {
            let recorded = recorded(snapshot, key, server.incarnation);
            match inspected(snapshot, server) {
                Some(pool) => {
                    let known = former
                        .remove(key)
                        .filter(|known| known.incarnation == server.incarnation);
                    let sighting = Sighting {
                        key,
                        server,
                        pool,
                        recorded,
                        trusted,
                    };
                    self.keep(known, sighting, now, random);
                }
                None if trusted && recorded != Health::Unknown => {
                    self.outdated.insert(key.clone(), server.incarnation);
                }
                None => {}
            }
        }
        for key in former.keys().filter(|key| !self.subjects.contains_key(key)) {
            self.schedule.remove(key);
        }
    }

    /// A new leader's inspection starts from the registry's verdicts alone.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Somebody saw this incarnation of a server fail.
    pub(super) fn doubt(&mut self, key: &ServerKey, incarnation: Revision, now: Duration) {
        let Some(subject) = self.subjects.get_mut(key) else {
            return;
        };
        if subject.incarnation == incarnation && subject.state.health() == Health::Up {
            subject.doubted = true;
            self.hurry(key, now);
        }
    }

    /// Which servers have missed a renewal, all of them.
    pub(super) fn lapse(&mut self, lapsed: BTreeSet<ServerKey>, now: Duration) {
        let new: Vec<_> = lapsed.difference(&self.lapsed).cloned().collect();
        self.lapsed = lapsed;
        for key in new {
            if self.health(&key) == Some(Health::Up) {
                self.hurry(&key, now);
            }
        }
    }

    /// When the next probe is due.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.schedule.next()
    }

    /// The next probe, if one is due.
    pub(super) fn launch(&mut self, now: Duration) -> Option<Assignment> {
        let key = self.schedule.pop(now)?;
        let lapsed = self.lapsed.contains(&key);
        let subject = self.subjects.get_mut(&key)?;
        Some(subject.launch(key, lapsed, now))
    }

    /// What a probe found. It says nothing of another incarnation than the one that was probed.
    pub(super) fn finish(
        &mut self,
        probed: &Assignment,
        outcome: Result<(), String>,
        now: Duration,
        random: &mut impl Rng,
    ) -> Option<Transition> {
        let subject = self.subjects.get_mut(&probed.key)?;
        if subject.incarnation != probed.incarnation {
            return None;
        }
        let flight = subject.flight.take()?;
        let from = subject.state.health();
        let to = subject.take_in(outcome, flight);
        let doubted = subject.doubted;
        self.plan(&probed.key, now, random);
        if doubted {
            self.hurry(&probed.key, now);
        }
        to.map(|to| Transition { from, to })
    }

    /// Whether a probe's connection may be kept for the next one.
    pub(super) fn inspects(&self, key: &ServerKey, incarnation: Revision) -> bool {
        let subject = self.subjects.get(key);
        subject.is_some_and(|subject| subject.incarnation == incarnation)
    }

    /// How many servers are inspected.
    pub(super) fn len(&self) -> usize {
        self.subjects.len()
    }

    /// The verdicts that the registry does not have yet.
    pub(super) fn unwritten(&self) -> Vec<Change> {
        let subjects = self.subjects.iter();
        let found = subjects.filter_map(|(key, subject)| subject.unwritten(key));
        let outdated = self.outdated.iter().map(|(key, incarnation)| {
            verdict(key, *incarnation, Health::Unknown, "not inspected any more")
        });
        found.chain(outdated).take(CHANGES_MAX).collect()
    }

    /// The registry has taken these verdicts, or refused some of them for good.
    pub(super) fn written(&mut self, changes: &[Change], position: Position, now: Duration) {
        for change in changes {
            let Change::Verdict(key, Some(verdict)) = change else {
                continue;
            };
            self.outdated.remove(key);
            if let Some(subject) = self.subjects.get_mut(key)
                && subject.incarnation == verdict.incarnation
            {
                subject.recorded = verdict.health;
            }
        }
        self.settling = Some((position, now + SETTLING));
    }

    fn health(&self, key: &ServerKey) -> Option<Health> {
        let subject = self.subjects.get(key)?;
        Some(subject.state.health())
    }

    /// Whether the snapshot already tells of the verdicts that were written last, as far as it ever will.
    fn trusts(&mut self, snapshot: &Snapshot, now: Duration) -> bool {
        let Some((position, until)) = self.settling else {
            return true;
        };
        let present = snapshot.position;
        let settled = present.epoch != position.epoch || present.revision >= position.revision;
        if settled || now >= until {
            self.settling = None;
        }
        self.settling.is_none()
    }

    fn keep(
        &mut self,
        known: Option<Subject>,
        sighting: Sighting<'_>,
        now: Duration,
        random: &mut impl Rng,
    ) {
        let key = sighting.key;
        let Some(mut subject) = known else {
            let new = sighting.recorded == Health::Unknown;
            self.subjects.insert(key.clone(), Subject::new(sighting));
            if new {
                self.hurry(key, now);
            } else {
                self.plan(key, now, random);
            }
            return;
        };
        if sighting.trusted {
            subject.recorded = sighting.recorded;
        }
        let moved = subject.adopt(sighting.pool) && subject.flight.is_none();
        self.subjects.insert(key.clone(), subject);
        if moved {
            self.plan(key, now, random);
        }
    }

    /// Has a server probed at its next regular turn.
    fn plan(&mut self, key: &ServerKey, now: Duration, random: &mut impl Rng) {
        let Some(subject) = self.subjects.get_mut(key) else {
            return;
        };
        let check = &subject.pool.value.health;
        let chance = random.random();
        let slot = match subject.turn {
            Some(turn) => Slot::after(turn, key, check, now, chance),
            None => Slot::first(key, check, now, chance),
        };
        subject.planned = Some(slot.number);
        self.schedule.set(key, slot.at);
    }

    /// Has a server probed before all those whose turn it is; one that is being probed, right after.
    fn hurry(&mut self, key: &ServerKey, now: Duration) {
        let Some(subject) = self.subjects.get_mut(key) else {
            return;
        };
        if subject.flight.is_some() {
            return;
        }
        let earliest = subject.begun.map(|begun| begun + SUSPICION_PAUSE);
        let at = earliest.filter(|at| *at > now).unwrap_or(Duration::ZERO);
        subject.planned = None;
        self.schedule.set(key, at);
    }
}

/// The pool by whose check the server is inspected, if it is.
fn inspected(snapshot: &Snapshot, server: &Stamped<Server>) -> Option<Arc<Stamped<Pool>>> {
    let pool = snapshot.pools.get(&server.value.pool)?;
    let inspected =
        server.value.state != ServerState::Disabled && pool.value.health.kind != CheckKind::None;
    inspected.then(|| Arc::clone(pool))
}

/// What the registry says of this incarnation.
fn recorded(snapshot: &Snapshot, key: &ServerKey, incarnation: Revision) -> Health {
    match snapshot.health.get(key) {
        Some(verdict) if verdict.value.incarnation == incarnation => verdict.value.health,
        _ => Health::Unknown,
    }
}

#[cfg(test)]
mod tests;
