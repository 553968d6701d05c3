//! What must hold of each thing that a follower is told.

use std::sync::Arc;

use model::{Fault, Hold, HoldDecision, Origin, PoolId, Position, ServerKey, Snapshot};
use registry::Announcement;
use registry::follower::Input;

use crate::call::{Address, Caller};
use crate::ledger;
use crate::world::World;

/// What a follower had before it was told something, and what that may do to it.
pub(super) struct Before {
    truth: Option<Arc<Snapshot>>,
    in_force: Option<Arc<Snapshot>>,
    holds: Vec<Hold>,
    origin: Origin,
    is_tainted: bool,
    /// It is a whole state.
    jumps: bool,
    /// It tells of revisions.
    moves: bool,
    /// It is the registry's own word on where it stands.
    confirms: bool,
}

impl World {
    pub(super) fn before(&self, at: Address, input: &Input) -> Before {
        let follower = &self.nodes[at.node].follower;
        let announced = matches!(input, Input::Announced(Announcement::Delta(_)));
        let jumps = matches!(input, Input::Snapshot(_));
        let read = matches!(input, Input::Log(Some(_)) | Input::Snapshot(Some(_)));
        Before {
            truth: follower.truth().cloned(),
            in_force: follower.in_force().cloned(),
            holds: follower.holds(),
            origin: follower.origin(),
            is_tainted: follower.is_tainted(),
            jumps,
            moves: jumps || announced || matches!(input, Input::Log(_)),
            confirms: announced || read,
        }
    }

    /// Checks what a follower made of what it was told.
    pub(super) fn check_followed(&mut self, at: Address, before: &Before) {
        let follower = &self.nodes[at.node].follower;
        let from = before.truth.as_ref().map(|truth| truth.position);
        let to = follower.position();
        assert!(
            from.is_none() || to.is_some(),
            "a follower threw its state away"
        );
        let confirmed = follower.origin() == Origin::Registry;
        assert!(
            !confirmed || before.origin == Origin::Registry || before.confirms,
            "a state is said to be the registry's, which has not said so"
        );
        if let (true, Some(to)) = (from != to, to) {
            assert!(before.moves, "a position moved by nothing that may move it");
            if before.jumps {
                self.check_jump(at, from, to);
            } else {
                self.ledger.check_step(from, to);
            }
            self.nodes[at.node].stepped = !before.jumps;
        }
        let is_other = |(own, new): (&Arc<Snapshot>, &Arc<Snapshot>)| !Arc::ptr_eq(own, new);
        let truth = self.nodes[at.node].follower.truth();
        let Some(truth) = truth else { return };
        if before.truth.as_ref().zip(Some(truth)).is_none_or(is_other) {
            self.check_copy(at, before);
        }
        if let Some(in_force) = &before.in_force {
            self.check_withdrawals(at, in_force, before);
        }
    }

    fn check_copy(&self, at: Address, before: &Before) {
        let follower = &self.nodes[at.node].follower;
        let truth = follower.truth().expect("it has a position");
        self.ledger.check_state(truth, follower.is_tainted());
        let Some(own) = &before.truth else { return };
        if own.position == truth.position && !before.is_tainted {
            let faults = truth.faults.clone();
            let kept = Snapshot {
                faults,
                ..Snapshot::clone(own)
            };
            assert_eq!(kept, **truth, "a whole state was given up for another one");
        }
        for Fault {
            collection, key, ..
        } in &truth.faults
        {
            assert!(
                !ledger::has(own, *collection, key) || ledger::has(truth, *collection, key),
                "the last good {collection} {key:?} was given up for one that cannot be read"
            );
        }
    }

    /// A snapshot takes a follower back along its own history only where the registry itself went back, and what it
    /// followed before is remembered where the snapshot does not hold it.
    fn check_jump(&self, at: Address, from: Option<Position>, to: Position) {
        let Some(from) = from.filter(|from| *from != to) else {
            return;
        };
        let registry = self.registry_of(Caller::Node(at));
        let kept = registry.store.log_after(from).is_some() && !self.ledger.was_remade(from);
        assert!(
            !kept || !self.ledger.follows(from, to),
            "{from} was given up for {to}, which came before it"
        );
        let node = &self.nodes[at.node];
        if node.stepped && from.epoch == to.epoch && !self.ledger.follows(to, from) {
            let abandoned = node.follower.abandoned();
            let last = abandoned.and_then(|abandoned| abandoned.last());
            assert_eq!(
                last.map(model::Delta::position),
                Some(from),
                "what a failover may have lost was not remembered"
            );
        }
    }

    /// What comes from disk is what was in use, and not yet the registry's word.
    pub(super) fn check_boot(&self, node: usize, in_force: &Arc<Snapshot>) {
        let follower = &self.nodes[node].follower;
        assert_eq!(follower.origin(), Origin::Disk, "it is from disk");
        let before = Before {
            truth: None,
            in_force: None,
            holds: Vec::new(),
            origin: Origin::Nothing,
            is_tainted: false,
            jumps: true,
            moves: true,
            confirms: false,
        };
        self.check_withdrawals(self.address(node), in_force, &before);
    }

    /// Where withdrawals are guarded, no pool loses all its servers at once that no operator took away.
    fn check_withdrawals(&self, at: Address, in_force: &Arc<Snapshot>, before: &Before) {
        let node = &self.nodes[at.node];
        let now = node.follower.in_force().expect("it had a state");
        if !node.guarded || Arc::ptr_eq(in_force, now) {
            return;
        }
        for pool in in_force.pools.keys() {
            let had = in_force.servers.keys().filter(|key| key.pool == *pool);
            let had: Vec<_> = had.collect();
            let emptied = !had.iter().any(|key| now.servers.contains_key(*key));
            if had.len() < 2 || !emptied {
                continue;
            }
            let ordered = self.is_ruled(at, pool, &had, &before.holds)
                || (!before.jumps && self.is_withdrawn(at, in_force.position, &had));
            let holds = &before.holds;
            assert!(
                ordered,
                "{at:?} lost all servers of {pool} at once, of which it held {holds:?}"
            );
        }
    }

    /// Whether revisions that were followed one by one took the servers away as they may: an operator's, or one
    /// server at a time.
    fn is_withdrawn(&self, at: Address, from: Position, had: &[&ServerKey]) -> bool {
        let to = self.nodes[at.node].follower.position();
        let to = to.expect("it has a state");
        if self.ledger.is_by_operator(to, from) {
            return true;
        }
        let states = self.ledger.back_from(to).map(|it| self.ledger.state(it));
        let left = |state: &Snapshot| {
            let left = had.iter().filter(|key| state.servers.contains_key(**key));
            left.count()
        };
        let mut later = 0;
        for state in states {
            if left(state) > later + 1 {
                return false;
            }
            later = left(state);
            if state.position == from {
                break;
            }
        }
        true
    }

    /// Whether an operator confirmed that one of the servers is gone, after it had gone, or what was held of them.
    fn is_ruled(&self, at: Address, pool: &PoolId, had: &[&ServerKey], holds: &[Hold]) -> bool {
        let truth = self.nodes[at.node].follower.truth().expect("it has one");
        let Some(ruling) = truth.holds.get(pool).map(|found| &found.value) else {
            return false;
        };
        let has_none = |state: &Snapshot| !had.iter().any(|key| state.servers.contains_key(*key));
        let positions = self.ledger.back_from(truth.position);
        let gone = positions.take_while(|position| has_none(self.ledger.state(*position)));
        let covered = gone.last().is_some_and(|gone| ruling.covers(gone));
        let mut holds = holds.iter().filter(|hold| hold.pool == *pool);
        let is_hold = holds.any(|hold| ruling.covers(hold.position));
        ruling.decision == HoldDecision::Confirm && (covered || is_hold)
    }
}
