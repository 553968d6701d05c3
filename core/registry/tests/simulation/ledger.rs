//! The truth about every history, kept apart from the registry, and the properties that it is checked for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::{Delta, Position, Snapshot};

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    revisions: HashMap<Position, Revision>,
    /// Those that were lost, and made again just so.
    remade: HashSet<Position>,
}

#[derive(Debug, PartialEq)]
struct Revision {
    before: Option<Position>,
    state: Arc<Snapshot>,
}

impl Ledger {
    pub(crate) fn seeded(&mut self, snapshot: &Snapshot) {
        self.add(snapshot.position, None, snapshot.clone());
    }

    pub(crate) fn committed(&mut self, delta: &Delta) {
        let before = Position {
            epoch: delta.epoch,
            revision: model::Revision(delta.revision.0 - 1),
            id: delta.previous,
        };
        let mut state = Snapshot::clone(&self.revisions[&before].state);
        state.advance(delta);
        self.add(delta.position(), Some(before), state);
    }

    fn add(&mut self, position: Position, before: Option<Position>, state: Snapshot) {
        let state = Arc::new(state);
        let revision = Revision { before, state };
        // A commit that was lost and is made again at the same place is the same revision.
        let known = self.revisions.get(&position);
        assert!(
            known.is_none_or(|known| *known == revision),
            "two revisions share the position {position}"
        );
        if self.revisions.insert(position, revision).is_some() {
            self.remade.insert(position);
        }
    }

    pub(crate) fn was_remade(&self, position: Position) -> bool {
        self.remade.contains(&position)
    }

    /// Whether `later` is `earlier`, or follows from it.
    pub(crate) fn follows(&self, later: Position, earlier: Position) -> bool {
        let mut at = Some(later);
        while let Some(position) = at {
            if position == earlier {
                return true;
            }
            at = self.revisions.get(&position).and_then(|it| it.before);
        }
        false
    }

    /// The states after `earlier` up to `later`, the last first.
    pub(crate) fn between(
        &self,
        later: Position,
        earlier: Position,
    ) -> impl Iterator<Item = &Snapshot> {
        let before = |position: &Position| self.revisions[position].before;
        let path = std::iter::successors(Some(later), before);
        path.take_while(move |position| *position != earlier)
            .map(|position| self.state(position))
    }

    /// The state at a revision.
    pub(crate) fn state(&self, position: Position) -> &Snapshot {
        &self.revisions[&position].state
    }

    /// A follower's state must be one that a revision had.
    pub(crate) fn check_state(&self, state: &Snapshot) {
        let revision = self.revisions.get(&state.position);
        let revision = revision.unwrap_or_else(|| panic!("no revision is at {}", state.position));
        assert_eq!(*revision.state, *state, "no revision ever had this table");
    }

    /// A follower moves along a history, never over a gap in it.
    pub(crate) fn check_step(&self, from: Option<Position>, to: Position) {
        let from = from.expect("the first position comes with a snapshot");
        assert!(self.follows(to, from), "{from} does not lead to {to}");
    }
}
