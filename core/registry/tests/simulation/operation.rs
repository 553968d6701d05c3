//! A simulated operator or source: one change, made until it is answered, and perhaps a wait for its effect.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{Change, Delta, InstanceId, PoolId, Position, Ruling, ServerState, Snapshot};
use registry::{Commit, CommitError, Committed, Goal, Leaving, Listing, Outcome, Waiter};

use crate::call::{Address, Answer, Caller, Event, Question};
use crate::node::{Part, instance_of};
use crate::world::World;

/// How long an operator waits.
const WAIT_LIMIT: Duration = Duration::from_secs(5);

const TRIES: u32 = 4;

#[derive(Debug, Default)]
pub(crate) struct Operation {
    commit: Option<Commit>,
    tries: u32,
    /// The server that the change takes away, for a wait until it is drained.
    leaving: Option<Leaving>,
    /// What it confirms of what is held.
    ruling: Option<(PoolId, Ruling)>,
    goal: Option<Goal>,
    waiter: Option<Waiter>,
    /// Whom the wait is about: those that the registry knew when it committed the goal, and all that it listed since.
    known: BTreeSet<InstanceId>,
    /// Whether an eviction took the instances since it began: then it is about those that the registry lists in the end.
    pub(crate) is_bereft: bool,
    /// How far the log went that the answer rests on.
    learned: Option<Position>,
    deadline: Duration,
    /// Whether it takes a former master for the registry, where there is one.
    pub(crate) astray: bool,
    over: bool,
}

impl Operation {
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    fn changes(&self) -> &[Change] {
        self.commit.as_ref().map_or(&[], |commit| &commit.changes)
    }
}

impl World {
    pub(crate) fn operate(&mut self, index: usize) {
        if self.operations[index].commit.is_none() {
            let draft = self.draft(Caller::Operation(index));
            let own = &mut self.operations[index];
            if let Some(draft) = draft {
                own.commit = Some(draft.commit);
                own.leaving = draft.leaving;
                own.ruling = draft.ruling;
            }
        }
        let own = &mut self.operations[index];
        own.tries += 1;
        match own.commit.clone() {
            Some(commit) if own.tries <= TRIES => {
                self.send(Caller::Operation(index), Question::Commit(commit));
            }
            _ => own.over = true,
        }
    }

    pub(crate) fn operation_answered(&mut self, index: usize, answer: Answer) {
        match answer {
            Answer::Commit(_, result) => self.operation_committed(index, result),
            Answer::Instances(instances) => self.operation_listed(index, instances),
            Answer::Log(log) => {
                let own = &mut self.operations[index];
                let Some(log) = log else {
                    return self.look_later(index);
                };
                let waiter = own.waiter.as_mut().expect("it waits");
                waiter.learn(log.as_deref());
                let last = log.iter().flatten().last();
                own.learned = last.map(Delta::position);
                self.judge(index);
            }
            _ => unreachable!("an operation asks for nothing else"),
        }
    }

    fn operation_committed(
        &mut self,
        index: usize,
        result: Option<Result<Committed, CommitError>>,
    ) {
        match result {
            None => {
                let pause = self.milliseconds(10..500);
                self.after(pause, Event::Operate(index));
            }
            Some(Err(_)) => self.operations[index].over = true,
            Some(Ok(committed)) => {
                let wait = self.chance(0.7);
                let drained = self.chance(0.6);
                let now = self.now;
                let registry = self.registry_of(Caller::Operation(index));
                let known = registry.known_at(committed.position);
                let own = &mut self.operations[index];
                own.known.extend(known);
                if !wait {
                    own.over = true;
                    return;
                }
                let goal = match own.leaving.clone() {
                    Some(leaving) if drained => Goal::Drained(committed.position, leaving),
                    // As the admin API waits: for what was changed, so that whoever cannot apply that is named.
                    _ => Goal::changed(committed.position, own.changes()),
                };
                own.waiter = Some(Waiter::new(goal.clone()));
                own.goal = Some(goal);
                own.deadline = now + WAIT_LIMIT;
                self.look(index);
            }
        }
    }

    pub(crate) fn look(&mut self, index: usize) {
        self.send(Caller::Operation(index), Question::Instances);
    }

    fn look_later(&mut self, index: usize) {
        if self.now >= self.operations[index].deadline {
            self.operations[index].over = true;
            return;
        }
        let pause = self.milliseconds(50..250);
        self.after(pause, Event::Look(index));
    }

    fn operation_listed(&mut self, index: usize, listing: Option<Listing>) {
        let own = &mut self.operations[index];
        let Some(listing) = listing else {
            return self.look_later(index);
        };
        let listed = listing.instances.iter();
        if own.is_bereft {
            own.known.clear();
        }
        own.known.extend(listed.map(|it| it.report.instance));
        let waiter = own.waiter.as_mut().expect("it waits");
        waiter.list(listing);
        if waiter.needs_log() {
            let position = own.goal.as_ref().expect("it waits").position();
            self.send(Caller::Operation(index), Question::Log(position));
        } else {
            self.judge(index);
        }
    }

    fn judge(&mut self, index: usize) {
        let own = &mut self.operations[index];
        let waiter = own.waiter.as_mut().expect("it waits");
        if waiter.outcome() != Outcome::Done {
            return self.look_later(index);
        }
        own.over = true;
        let bound = std::mem::take(&mut own.known);
        let goal = own.goal.clone().expect("it waits");
        self.check_gone(&goal, index);
        for node in 0..self.nodes.len() {
            let address = self.address(node);
            if self.is_current(address) && bound.contains(&instance_of(address)) {
                self.check_answer(address, &goal, index);
            }
        }
    }

    /// A server was called drained: by what the answer rests on it must not be back.
    fn check_gone(&self, goal: &Goal, index: usize) {
        let (Goal::Drained(_, leaving), Some(learned)) = (goal, self.operations[index].learned)
        else {
            return;
        };
        let server = self.ledger.state(learned).servers.get(&leaving.key);
        let is_back = server.is_some_and(|server| {
            server.value.address == leaving.address && server.value.state == ServerState::Active
        });
        assert!(!is_back, "{leaving:?} was called drained, and is in use");
    }

    /// A wait was answered: this balancer must really be where the answer says it is.
    fn check_answer(&self, at: Address, goal: &Goal, index: usize) {
        let Part::Balancer(balancer) = &self.nodes[at.node].part else {
            return;
        };
        let position = goal.position();
        let follows = |own: &Position| self.ledger.follows(*own, position);
        assert!(
            balancer.positions.iter().any(follows),
            "a wait for {position} was answered before {at:?} had it: {:?}",
            balancer.positions
        );
        let Some(own) = balancer.applied().filter(follows) else {
            // It has followed the registry into another history since, and is bound by that one.
            return;
        };
        let operation = &self.operations[index];
        if let Some((pool, ruling)) = &operation.ruling {
            self.check_ruling(at, pool, ruling, position);
        }
        let Some(leaving) = &operation.leaving else {
            return;
        };
        let Leaving {
            key, incarnation, ..
        } = leaving;
        let since = match goal {
            Goal::Applied(_) | Goal::Changed(..) => position,
            Goal::Drained(..) => operation.learned.unwrap_or(position),
        };
        let is_active = |state: &Snapshot| {
            let server = state.servers.get(key);
            server.is_some_and(|server| server.value.state == ServerState::Active)
        };
        if self.ledger.between(own, since).any(is_active) {
            // Somebody has brought it back since.
            return;
        }
        assert!(
            !balancer.takes(key, *incarnation),
            "a wait was answered while {at:?} still uses {key}"
        );
        if matches!(goal, Goal::Drained(..)) {
            let load = (key.clone(), *incarnation);
            let in_flight = balancer.in_flight.get(&load).copied().unwrap_or(0);
            assert_eq!(
                in_flight, 0,
                "a wait was answered before {at:?} had drained {key}"
            );
        }
    }

    /// What was confirmed, and waited for, is held no longer.
    fn check_ruling(&self, at: Address, pool: &PoolId, ruling: &Ruling, made: Position) {
        let follower = &self.nodes[at.node].follower;
        let Some(truth) = follower.truth() else {
            return;
        };
        let stands = truth.holds.get(pool).is_some_and(|it| it.value == *ruling);
        if !stands || !self.ledger.follows(truth.position, made) {
            // Another ruling took its place, or the history is another one.
            return;
        }
        let holds = follower.holds();
        let mut covered = holds.iter().filter(|hold| {
            let since = hold.position;
            hold.pool == *pool && since.epoch == ruling.epoch && since.revision <= ruling.revision
        });
        let hold = covered.next();
        assert!(
            hold.is_none(),
            "a ruling was waited for, and {at:?} still holds {hold:?}"
        );
    }
}
