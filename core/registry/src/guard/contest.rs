//! `down` verdicts that the process's own successes contradict: an inspector that is cut off from the servers
//! must not take working ones away.
//!
//! A server that is dead answers nobody. So a verdict for want of any answer is contradicted by each answer that
//! came while the probes got none. Other verdicts are the inspector's to give, though the server answers:
//! they are contested only where they come as a storm.
//!
//! The answer may be noted after the verdict that it contradicts has come: that of a request which was under way, say. So verdicts
//! that are new are judged again for a while, soon at first.
//!
//! An operator who rejects such verdicts answers for them: this process goes on with what held before until a request
//! fails there, however long ago the last one was answered, or until the inspector gives another verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{
    Collection, Delta, Health, HoldDecision, PoolId, Position, Revision, ServerKey, Snapshot,
    Stamped, Verdict,
};

use super::{Cause, Witness, decision_on, exceeds, share_of};

type Found = Arc<Stamped<Verdict>>;

/// How recent an answer must be that contradicts a storm, or goes on to contradict what it has contradicted.
const RECENT: Duration = Duration::from_secs(10);

/// How often what is held back is judged again.
const PERIOD: Duration = Duration::from_secs(1);

/// How soon verdicts are judged again after one of them came. Each further look comes twice as late, up to the period.
const FIRST_LOOK: Duration = Duration::from_millis(50);

/// How often they are judged so: until they are older than an answer may be that contradicts a storm.
const LOOKS: u32 = 14;

/// The verdicts held back, and what held before each `down`.
#[derive(Debug, Clone)]
pub(super) struct Contest {
    witness: Option<Arc<dyn Witness>>,
    contested: BTreeMap<ServerKey, Contested>,
    /// The servers that the registry calls down.
    downs: BTreeMap<ServerKey, Down>,
    /// How often these were judged again since one of them came.
    looks: u32,
}

/// A `down`, and what held before it.
#[derive(Debug, Clone)]
struct Down {
    incarnation: Revision,
    /// The revision that says so.
    given: Option<Revision>,
    /// The last verdict that was not `down`.
    last_good: Option<Found>,
}

/// A verdict that is not believed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Contested {
    since: Position,
    /// An operator has said that it is wrong.
    is_rejected: bool,
}

impl Contest {
    pub(super) fn new(witness: Option<Arc<dyn Witness>>) -> Self {
        Self {
            witness,
            contested: BTreeMap::new(),
            downs: BTreeMap::new(),
            looks: LOOKS,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.contested.is_empty()
    }

    /// What an operator has yet to decide on.
    pub(super) fn held(&self) -> impl Iterator<Item = (&ServerKey, Position)> {
        let open = self.contested.iter().filter(|(_, it)| !it.is_rejected);
        open.map(|(key, it)| (key, it.since))
    }

    /// Whether a delta can change what is contested.
    pub(super) fn concerns(&self, delta: &Delta) -> bool {
        let verdict = |entry: &model::Entry| entry.collection == Collection::Health;
        !self.contested.is_empty() || (self.witness.is_some() && delta.entries.iter().any(verdict))
    }

    /// In what time to judge anew though the registry says nothing: the witness may have seen more by then.
    pub(super) fn look_again(&self) -> Option<Duration> {
        let is_due = !self.contested.is_empty() || self.looks < LOOKS;
        is_due.then(|| PERIOD.min(FIRST_LOOK * 2_u32.pow(self.looks)))
    }

    /// Judges the verdicts anew. Whether what is held back has changed.
    pub(super) fn update(&mut self, truth: &Snapshot, before: &Snapshot, cause: Cause<'_>) -> bool {
        let Some(witness) = self.witness.clone() else {
            return false;
        };
        let downs = downs(truth);
        if self.remember(&downs, truth, before) {
            self.looks = 0;
        } else if matches!(cause, Cause::Tick) {
            self.looks = LOOKS.min(self.looks + 1);
        }
        let mut certain = BTreeMap::new();
        let mut rejected = BTreeSet::new();
        let mut storms: BTreeMap<PoolId, Vec<(ServerKey, Position)>> = BTreeMap::new();
        for (key, ago) in witness.good_answers(&downs) {
            let decision = decision_on_verdict(truth, &key);
            if decision == Some(HoldDecision::Confirm) {
                continue;
            }
            let since = self.since(&key, truth);
            // Where all may be withdrawn at once, the inspector is always believed.
            let is_guarded = share_of(&key.pool, truth, before) < 1.0;
            let is_rejected = decision == Some(HoldDecision::Reject);
            if is_rejected {
                rejected.insert(key.clone());
            }
            if is_rejected || (is_guarded && self.is_contradicted(&key, ago, truth)) {
                certain.insert(key.clone(), since);
            }
            if ago <= RECENT {
                let pool = storms.entry(key.pool.clone()).or_default();
                pool.push((key, since));
            }
        }
        storms.retain(|pool, servers| {
            let share = share_of(pool, truth, before);
            exceeds(share, servers.len(), truth.servers_of(pool).len())
        });
        let mut contested = certain;
        contested.extend(storms.into_values().flatten());
        let contested = contested.into_iter().map(|(key, since)| {
            let is_rejected = rejected.contains(&key);
            (key, Contested { since, is_rejected })
        });
        let contested: BTreeMap<_, _> = contested.collect();
        let changed = self.contested != contested;
        self.contested = contested;
        changed
    }

    /// Whether it answered while probes got no answer; or did, and still answers.
    fn is_contradicted(&self, key: &ServerKey, ago: Duration, truth: &Snapshot) -> bool {
        let silent = truth
            .health
            .get(key)
            .map_or(0, |found| found.value.silent_ms);
        let silent = Duration::from_millis(silent);
        let goes_on = self.contested.contains_key(key) && ago <= RECENT;
        !silent.is_zero() && (ago < silent || goes_on)
    }

    /// Puts back what held before.
    pub(super) fn lay_over(&self, in_force: &mut Snapshot) {
        for key in self.contested.keys() {
            let last_good = self.downs.get(key).and_then(|down| down.last_good.as_ref());
            match last_good {
                Some(verdict) => in_force.health.insert(key.clone(), Arc::clone(verdict)),
                None => in_force.health.remove(key),
            };
        }
    }

    fn since(&self, key: &ServerKey, truth: &Snapshot) -> Position {
        let known = self.contested.get(key).map(|it| it.since);
        let valid = |since: &Position| {
            since.epoch == truth.position.epoch && since.revision <= truth.position.revision
        };
        known.filter(valid).unwrap_or(truth.position)
    }

    /// Keeps what held before each `down`. Whether one of them is new.
    fn remember(
        &mut self,
        downs: &BTreeMap<ServerKey, Revision>,
        truth: &Snapshot,
        before: &Snapshot,
    ) -> bool {
        let mut old = std::mem::take(&mut self.downs);
        let mut is_new = false;
        for (key, incarnation) in downs {
            let known = old.remove(key);
            let known = known.filter(|known| known.incarnation == *incarnation);
            let given = truth.health.get(key).map(|found| found.revision);
            is_new |= known.as_ref().is_none_or(|known| known.given != given);
            let last_good = match before.health.get(key) {
                Some(found) if found.value.health == Health::Down => {
                    known.and_then(|known| known.last_good)
                }
                found => found.cloned(),
            };
            let down = Down {
                incarnation: *incarnation,
                given,
                last_good,
            };
            self.downs.insert(key.clone(), down);
        }
        is_new
    }
}

/// What an operator decided on the verdict, by a ruling of its own revision or a later one.
fn decision_on_verdict(truth: &Snapshot, key: &ServerKey) -> Option<HoldDecision> {
    let given = Position {
        revision: truth.health.get(key)?.revision,
        ..truth.position
    };
    decision_on(truth, &key.pool, given)
}

/// The servers that the registry calls down.
fn downs(truth: &Snapshot) -> BTreeMap<ServerKey, Revision> {
    let down = truth
        .health
        .iter()
        .filter(|(_, verdict)| verdict.value.health == Health::Down);
    let down = down.filter(|(key, _)| truth.health_of(key) == Health::Down);
    down.map(|(key, verdict)| (key.clone(), verdict.value.incarnation))
        .collect()
}
