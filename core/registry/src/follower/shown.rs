//! What the follower shows.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Collection, Delta, Fault, Hold, Moment, Origin, Position, Revision, Snapshot};

use super::{Doubt, Follower, Heard, Request};
use crate::guard::Guard;

impl Follower {
    /// Where the own copy of the registry stands.
    pub fn position(&self) -> Option<Position> {
        self.truth.as_ref().map(|truth| truth.position)
    }

    /// The own copy of the registry.
    pub fn truth(&self) -> Option<&Arc<Snapshot>> {
        self.truth.as_ref()
    }

    /// What to act on: the own copy, less what the guard holds back.
    pub fn in_force(&self) -> Option<&Arc<Snapshot>> {
        match &self.guard {
            Some(guard) => guard.in_force(),
            None => self.truth.as_ref(),
        }
    }

    pub fn origin(&self) -> Origin {
        self.origin
    }

    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether the own copy is the registry's of now, as far as can be heard: the subscription stands, and no doubt is open. Where the
    /// registry has no memory, there is nothing in it that the own copy could lack.
    pub fn is_current(&self) -> bool {
        let reads = matches!(
            self.under_way,
            Some(Request::ReadLog(_) | Request::ReadSnapshot)
        );
        self.connected && self.doubt == Doubt::None && (self.reading_is_audit || !reads)
    }

    /// Whether the registry has no memory.
    pub fn is_head_missing(&self) -> bool {
        self.head_missing
    }

    pub fn leader(&self) -> Option<Heard> {
        self.leader
    }

    pub fn damage(&self) -> &[Fault] {
        &self.damage
    }

    /// Whether the own copy is damaged too.
    pub fn is_tainted(&self) -> bool {
        !self.tainted.is_empty()
    }

    /// The collections of which the own copy is a damaged one.
    pub fn tainted(&self) -> &BTreeSet<Collection> {
        &self.tainted
    }

    pub fn holds(&self) -> Vec<Hold> {
        self.guard.as_ref().map(Guard::holds).unwrap_or_default()
    }

    /// The latest revisions that were followed one by one, oldest first, and when each was committed.
    pub fn dated(&self) -> impl ExactSizeIterator<Item = (Revision, Moment)> {
        self.dated.iter().copied()
    }

    pub fn abandoned(&self) -> Option<&Arc<[Delta]>> {
        self.abandoned.as_ref()
    }

    /// Whether anything that the machine shows has changed since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}
