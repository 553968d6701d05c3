//! Holds back what would take a pool away: mass withdrawals that no operator made, and storms of `down`
//! verdicts that the process's own successes contradict.
//!
//! The registry's own state is followed whatever it says; the guard lays what it holds back over it, for
//! one pool at a time, so that everything else applies. A hold ends by a ruling in the registry, or by
//! itself where the servers come back. A rejection puts them back into the registry; of verdicts it says that they
//! are wrong, so that they are no longer held before an operator, and still not believed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::{
    Author, Collection, Delta, Fault, Hold, HoldDecision, PoolId, Position, Revision, ServerKey,
    Snapshot,
};

mod contest;
mod withdrawal;

use contest::Contest;
use withdrawal::Withdrawals;

/// What a process itself sees of the servers.
pub trait Witness: Send + Sync + fmt::Debug {
    /// How long ago each of these incarnations last answered a request well. Left out are those that never
    /// did, or have failed one since.
    fn good_answers(
        &self,
        servers: &BTreeMap<ServerKey, Revision>,
    ) -> BTreeMap<ServerKey, Duration>;
}

/// Why the registry's state is what it is now.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cause<'a> {
    Delta(&'a Delta),
    /// A snapshot says what is, not who made it so. Damaged collections are named.
    Snapshot(&'a [Fault]),
    /// Nothing changed there, but perhaps here.
    Tick,
}

/// What is held back, and what is therefore in force.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    in_force: Option<Arc<Snapshot>>,
    withdrawals: Withdrawals,
    contest: Contest,
}

impl Guard {
    pub(crate) fn new(witness: Option<Arc<dyn Witness>>) -> Self {
        Self {
            in_force: None,
            withdrawals: Withdrawals::default(),
            contest: Contest::new(witness),
        }
    }

    /// What to act on.
    pub(crate) fn in_force(&self) -> Option<&Arc<Snapshot>> {
        self.in_force.as_ref()
    }

    /// Goes on from what was saved.
    pub(crate) fn restore(&mut self, truth: &Arc<Snapshot>, in_force: Option<Arc<Snapshot>>) {
        self.in_force = Some(in_force.unwrap_or_else(|| Arc::clone(truth)));
        self.update(truth, Cause::Snapshot(&[]));
    }

    /// Advances the registry's state by one revision, and what is in force with it.
    pub(crate) fn advance(&mut self, truth: &mut Arc<Snapshot>, delta: &Delta) {
        if self.is_plain(delta) {
            // Both are one again afterwards; letting go first spares a copy.
            self.in_force = None;
            Arc::make_mut(truth).advance(delta);
            self.in_force = Some(Arc::clone(truth));
        } else {
            Arc::make_mut(truth).advance(delta);
            self.update(truth, Cause::Delta(delta));
        }
    }

    /// Judges a new state of the registry. Whether what is in force or held has changed.
    pub(crate) fn update(&mut self, truth: &Arc<Snapshot>, cause: Cause<'_>) -> bool {
        let Some(before) = self.in_force.take() else {
            self.in_force = Some(Arc::clone(truth));
            return true;
        };
        let withdrawals = self.withdrawals.update(truth, &before, cause);
        let contest = self.contest.update(truth, &before, cause);
        if matches!(cause, Cause::Tick) && !withdrawals && !contest {
            self.in_force = Some(before);
            return false;
        }
        self.in_force = Some(self.overlay(truth, before));
        true
    }

    /// In what time to update it though nothing happens: the witness may come to contradict verdicts that are new, or cease to
    /// contradict what is held back.
    pub(crate) fn look_again(&self) -> Option<Duration> {
        self.contest.look_again()
    }

    /// What is held back, by pool.
    pub(crate) fn holds(&self) -> Vec<Hold> {
        let mut holds: BTreeMap<&PoolId, Hold> = BTreeMap::new();
        for (key, since) in self.withdrawals.held().chain(self.contest.held()) {
            let new = || Hold::new(key.pool.clone(), since);
            let hold = holds.entry(&key.pool).or_insert_with(new);
            hold.add(key);
            if since.revision > hold.position.revision {
                hold.position = since;
            }
        }
        holds.into_values().collect()
    }

    /// Whether a delta can neither begin, change nor end a hold.
    fn is_plain(&self, delta: &Delta) -> bool {
        let withdraws = |entry: &model::Entry| {
            let collection = entry.collection;
            entry.value.is_none() && matches!(collection, Collection::Pools | Collection::Servers)
        };
        let operator = matches!(delta.author, Author::Operator { .. });
        self.withdrawals.is_empty()
            && !self.contest.concerns(delta)
            && (operator || !delta.entries.iter().any(withdraws))
    }

    fn overlay(&self, truth: &Arc<Snapshot>, before: Arc<Snapshot>) -> Arc<Snapshot> {
        if self.withdrawals.is_empty() && self.contest.is_empty() {
            return Arc::clone(truth);
        }
        let mut in_force = Snapshot::clone(truth);
        self.withdrawals.lay_over(&mut in_force, &before);
        self.contest.lay_over(&mut in_force);
        if in_force == *before {
            return before;
        }
        Arc::new(in_force)
    }
}

/// What an operator decided, by the registry, on what has been held since a position.
fn decision_on(truth: &Snapshot, pool: &PoolId, since: Position) -> Option<HoldDecision> {
    let ruling = &truth.holds.get(pool)?.value;
    ruling.covers(since).then_some(ruling.decision)
}

/// Whether so many of a pool's servers at once are more than the pool lets go.
fn exceeds(share: f64, servers: usize, of: usize) -> bool {
    // Counts of servers are far below what a float holds exactly.
    #[expect(clippy::cast_precision_loss, reason = "counts of servers are small")]
    let (servers_share, all) = (servers as f64, of as f64);
    servers >= 2 && servers_share > share * all
}

/// The share that a pool lets go at once: as it is defined now, or was last.
fn share_of(pool: &PoolId, truth: &Snapshot, before: &Snapshot) -> f64 {
    let defined = truth.pools.get(pool).or_else(|| before.pools.get(pool));
    defined.map_or_else(
        || model::Guard::default().withdrawal_share,
        |pool| pool.value.guard.withdrawal_share,
    )
}

#[cfg(test)]
mod tests;
