//! The truth about every history, kept apart from the registry, and the properties that it is checked for.

mod commits;

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use model::{
    Author, Collection, Delta, Elements, Hold, InstanceId, Position, RevisionId, ServerKey,
    Snapshot, Term,
};
use registry::Commit;
use registry::follower::Follower;

use crate::registry::leaders;

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    revisions: HashMap<Position, Revision>,
    /// Those that were lost, and made again just so.
    remade: HashSet<Position>,
    /// The commits that make lost revisions again, each with the last of the branch that was lost.
    replays: HashMap<RevisionId, Position>,
    /// Whether other hands took elements from a registry, or put some there.
    pub(crate) is_tampered: bool,
    /// Whether a registry was made to forget which commits it has answered.
    pub(crate) is_forgetful: bool,
}

#[derive(Debug)]
struct Revision {
    before: Option<Position>,
    state: Arc<Snapshot>,
    /// The last leader who wrote, up to here.
    led: Option<(Term, InstanceId)>,
    /// What made it; nothing for the first of its history.
    made: Option<Made>,
}

/// The commit of a revision, and what came of it.
#[derive(Debug)]
struct Made {
    commit: RevisionId,
    author: Author,
    /// The names of the elements that it wrote or removed.
    changed: Vec<(Collection, String)>,
}

impl Ledger {
    /// A head was made: from a copy of what was at a position, or for a fleet that never was.
    pub(crate) fn seeded(&mut self, snapshot: &Snapshot, copied: Option<Position>) {
        let position = snapshot.position;
        let mut epochs = self.revisions.keys().map(|known| known.epoch);
        assert!(
            epochs.all(|epoch| epoch != position.epoch),
            "a head was made in an epoch that was there before"
        );
        let mut state = snapshot.clone();
        if let Some(copied) = copied {
            assert!(
                position.revision > copied.revision,
                "{position} does not come after {copied}"
            );
            let former = self.state(copied).clone();
            // What was seeded is read anew, and blamed anew.
            state.faults.clone_from(&former.faults);
            let renewed = Snapshot { position, ..former };
            assert_eq!(state, renewed, "a head was made of what no revision had");
        }
        self.add(position, state, None, None);
    }

    pub(crate) fn committed(&mut self, commit: &Commit, delta: &Delta) {
        let before = Position {
            epoch: delta.epoch,
            revision: model::Revision(delta.revision.0 - 1),
            id: delta.previous,
        };
        let former = &self.revisions[&before];
        let led = succeeding(former.led, commit);
        let mut state = Snapshot::clone(&former.state);
        state.advance(delta);
        self.check_commit(before, commit, delta);
        self.check_servers(&former.state, &state);
        let changed = delta.entries.iter();
        let made = Made {
            commit: commit.id,
            author: commit.author.clone(),
            changed: changed.map(commits::name).collect(),
        };
        self.add(delta.position(), state, led, Some((before, made)));
    }

    fn add(
        &mut self,
        position: Position,
        state: Snapshot,
        led: Option<(Term, InstanceId)>,
        made: Option<(Position, Made)>,
    ) {
        let state = Arc::new(state);
        let (before, made) = made.unzip();
        let mut revision = Revision {
            before,
            state,
            led,
            made,
        };
        // A commit that was lost and is made again at the same place is the same revision.
        if let Some(known) = self.revisions.remove(&position) {
            let same = known.before == before && known.state == revision.state;
            assert!(same, "two revisions share the position {position}");
            revision.led = earlier(known.led, led);
            self.remade.insert(position);
        }
        self.revisions.insert(position, revision);
    }

    pub(crate) fn was_remade(&self, position: Position) -> bool {
        self.remade.contains(&position)
    }

    /// Whether `later` is `earlier`, or follows from it.
    pub(crate) fn follows(&self, later: Position, earlier: Position) -> bool {
        self.back_from(later).any(|position| position == earlier)
    }

    /// The states after `earlier` up to `later`, the last first.
    pub(crate) fn between(
        &self,
        later: Position,
        earlier: Position,
    ) -> impl Iterator<Item = &Snapshot> {
        self.back_from(later)
            .take_while(move |position| *position != earlier)
            .map(|position| self.state(position))
    }

    /// A position, and those that it follows from, the last first.
    pub(crate) fn back_from(&self, position: Position) -> impl Iterator<Item = Position> {
        let before = |position: &Position| self.revisions.get(position)?.before;
        std::iter::successors(Some(position), before)
    }

    /// The state at a revision.
    pub(crate) fn state(&self, position: Position) -> &Snapshot {
        &self.revisions[&position].state
    }

    /// A follower's state must be one that a revision had; so must each element of what it reads from a registry
    /// that lost some.
    pub(crate) fn check_state(&self, state: &Snapshot, tainted: bool) {
        let revision = self.revisions.get(&state.position);
        let revision = revision.unwrap_or_else(|| panic!("no revision is at {}", state.position));
        let is_known = |fault| revision.state.faults.contains(fault);
        if tainted || !state.faults.iter().all(is_known) {
            self.check_elements(state);
        } else {
            assert_eq!(*revision.state, *state, "no revision ever had this state");
        }
    }

    fn check_elements(&self, state: &Snapshot) {
        let states = self.revisions.values().map(|revision| &*revision.state);
        check_known(&state.pools, &states.clone().map(|state| &state.pools));
        check_known(&state.servers, &states.clone().map(|state| &state.servers));
        check_known(&state.health, &states.clone().map(|state| &state.health));
        check_known(&state.holds, &states.clone().map(|state| &state.holds));
        for (collection, key, text) in state.unread.iter() {
            let mut texts = states
                .clone()
                .map(|state| state.unread.get(collection, key));
            assert!(
                texts.any(|known| known == Some(text)),
                "no revision ever had this {collection} {key:?}"
            );
        }
    }

    /// What a balancer works with must be what some revision had, and beside that only what it says that it
    /// holds, as it was in use before.
    pub(crate) fn check_table(&self, follower: &Follower, table: &Snapshot) {
        let truth = follower.truth().expect("it has a table");
        assert_eq!(
            table.position, truth.position,
            "the table is not the state's"
        );
        self.check_state(truth, follower.is_tainted());
        let holds = follower.holds();
        for key in holds.iter().flat_map(|hold| &hold.servers) {
            let is_there = table.servers.contains_key(key);
            assert!(is_there, "{key} is said to be held, and is not in use");
        }
        if *table == **truth {
            return;
        }
        let mut rest = table.clone();
        for (key, server) in &table.servers {
            if truth.servers.get(key) == Some(server) {
                continue;
            }
            assert!(is_held(&holds, key), "{key} is in use, gone, and not held");
            rest.servers.remove(key);
            match truth.health.get(key) {
                // Of a damaged registry, where the server is not gone in order.
                Some(verdict) => rest.health.insert(key.clone(), Arc::clone(verdict)),
                None => rest.health.remove(key),
            };
        }
        for hold in &holds {
            if !truth.pools.contains_key(&hold.pool) {
                rest.pools.remove(&hold.pool);
            }
        }
        assert_eq!(rest, **truth, "more than what is held is otherwise");
        self.check_elements(table);
    }

    /// A follower moves along a history, never over a gap in it.
    pub(crate) fn check_step(&self, from: Option<Position>, to: Position) {
        let from = from.expect("the first position comes with a snapshot");
        assert!(self.follows(to, from), "{from} does not lead to {to}");
    }
}

/// Who led of two that made the same revision: of two masters, each may have a leader of the same term.
fn earlier(
    one: Option<(Term, InstanceId)>,
    other: Option<(Term, InstanceId)>,
) -> Option<(Term, InstanceId)> {
    let (term, leader) = one.min(other)?;
    let (same, second) = one.max(other)?;
    (term != same || leader == second).then_some((term, leader))
}

/// The last leader after a commit: along one history terms only grow, and a term has one leader.
fn succeeding(former: Option<(Term, InstanceId)>, commit: &Commit) -> Option<(Term, InstanceId)> {
    leaders(commit).fold(former, |former, (instance, term)| {
        let (last, leader) = former.unwrap_or((term, instance));
        let succeeds = term > last || (term == last && instance == leader);
        assert!(
            succeeds,
            "term {term} of {instance} took effect after term {last} of {leader}"
        );
        Some((term, instance))
    })
}

/// Whether a state holds an element of this name.
pub(crate) fn has(state: &Snapshot, collection: Collection, key: &str) -> bool {
    match collection {
        Collection::Pools => state.pools.keys().any(|own| own.as_str() == key),
        Collection::Servers => state.servers.keys().any(|own| own.to_string() == key),
        Collection::Health => state.health.keys().any(|own| own.to_string() == key),
        Collection::Holds => state.holds.keys().any(|own| own.as_str() == key),
        // No schedule writes any of these.
        _ => false,
    }
}

/// Each element must be one that some state had.
fn check_known<'a, K: Ord + Debug + 'a, V: PartialEq + 'a>(
    elements: &Elements<K, V>,
    states: &(impl Iterator<Item = &'a Elements<K, V>> + Clone),
) {
    for (key, element) in elements {
        let had = states.clone().any(|state| state.get(key) == Some(element));
        assert!(had, "no revision ever had this {key:?}");
    }
}

fn is_held(holds: &[Hold], key: &ServerKey) -> bool {
    let mut holds = holds.iter();
    holds.any(|hold| hold.pool == key.pool && hold.servers.contains(key))
}
