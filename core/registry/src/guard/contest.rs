//! `down` verdicts that the process's own successes contradict, where they come as a storm: an inspector that
//! is cut off from the servers must not take a working pool away.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    Collection, Delta, Health, PoolId, Position, Revision, ServerKey, Snapshot, Stamped, Verdict,
};

use super::{Witness, exceeds, is_confirmed, share_of};

type Found = Arc<Stamped<Verdict>>;

/// The verdicts held back, and what held before each `down`.
#[derive(Debug, Clone)]
pub(super) struct Contest {
    witness: Option<Arc<dyn Witness>>,
    /// Since when.
    contested: BTreeMap<ServerKey, Position>,
    /// The last verdict that was not `down` on each server that is, by incarnation.
    last_good: BTreeMap<ServerKey, (Revision, Option<Found>)>,
}

impl Contest {
    pub(super) fn new(witness: Option<Arc<dyn Witness>>) -> Self {
        Self {
            witness,
            contested: BTreeMap::new(),
            last_good: BTreeMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.contested.is_empty()
    }

    pub(super) fn held(&self) -> impl Iterator<Item = (&ServerKey, Position)> {
        self.contested.iter().map(|(key, since)| (key, *since))
    }

    /// Whether a delta can change what is contested.
    pub(super) fn concerns(&self, delta: &Delta) -> bool {
        let verdict = |entry: &model::Entry| entry.collection == Collection::Health;
        !self.contested.is_empty() || (self.witness.is_some() && delta.entries.iter().any(verdict))
    }

    /// Judges the verdicts anew. Whether what is held back has changed.
    pub(super) fn update(&mut self, truth: &Snapshot, before: &Snapshot) -> bool {
        let Some(witness) = self.witness.clone() else {
            return false;
        };
        let downs = downs(truth);
        self.remember(&downs, before);
        let mut contested: BTreeMap<PoolId, Vec<(ServerKey, Position)>> = BTreeMap::new();
        for (key, incarnation) in downs {
            if witness.has_answered(&key, incarnation) && !is_ruled_on(truth, &key) {
                let since = self.since(&key, truth);
                let pool = contested.entry(key.pool.clone()).or_default();
                pool.push((key, since));
            }
        }
        contested.retain(|pool, servers| {
            let share = share_of(pool, truth, before);
            exceeds(share, servers.len(), truth.servers_of(pool).len())
        });
        let contested = contested.into_values().flatten().collect();
        let changed = self.contested != contested;
        self.contested = contested;
        changed
    }

    /// Puts back what held before.
    pub(super) fn lay_over(&self, in_force: &mut Snapshot) {
        for key in self.contested.keys() {
            match self.last_good.get(key) {
                Some((_, Some(verdict))) => {
                    in_force.health.insert(key.clone(), Arc::clone(verdict));
                }
                _ => {
                    in_force.health.remove(key);
                }
            }
        }
    }

    fn since(&self, key: &ServerKey, truth: &Snapshot) -> Position {
        let known = self.contested.get(key).copied();
        let valid = |since: &Position| {
            since.epoch == truth.position.epoch && since.revision <= truth.position.revision
        };
        known.filter(valid).unwrap_or(truth.position)
    }

    fn remember(&mut self, downs: &[(ServerKey, Revision)], before: &Snapshot) {
        let mut old = std::mem::take(&mut self.last_good);
        for (key, incarnation) in downs {
            let known = old.remove(key).filter(|(known, _)| known == incarnation);
            let good = match before.health.get(key) {
                Some(found) if found.value.health == Health::Down => known,
                found => Some((*incarnation, found.cloned())),
            };
            let good = good.or(Some((*incarnation, None)));
            self.last_good.extend(good.map(|good| (key.clone(), good)));
        }
    }
}

/// Whether an operator has confirmed the verdict, which a ruling of its own revision or a later one does.
fn is_ruled_on(truth: &Snapshot, key: &ServerKey) -> bool {
    truth.health.get(key).is_some_and(|verdict| {
        let given = Position {
            revision: verdict.revision,
            ..truth.position
        };
        is_confirmed(truth, &key.pool, given)
    })
}

/// The servers that the registry calls down.
fn downs(truth: &Snapshot) -> Vec<(ServerKey, Revision)> {
    let down = truth
        .health
        .iter()
        .filter(|(_, verdict)| verdict.value.health == Health::Down);
    let down = down.filter(|(key, _)| truth.health_of(key) == Health::Down);
    down.map(|(key, verdict)| (key.clone(), verdict.value.incarnation))
        .collect()
}
