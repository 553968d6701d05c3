//! What a wait is for: which revision, and what of it concerns whom.

use std::collections::BTreeSet;

use model::{
    Change, Collection, Delta, Entry, Fault, Nack, Position, Revision, Server, ServerKey,
    ServerState, Stamped,
};
use serde::Deserialize;

/// What to wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// Every balancer works with this revision, or with one that follows from it, whatever it changed.
    Applied(Position),
    /// That, and none had to leave out one of these elements, which are what the revision changed.
    Changed(Position, BTreeSet<(Collection, String)>),
    /// That, and none has a request in flight to this incarnation of the server, nor sends it clients that are with it.
    Drained(Position, ServerKey, Revision),
}

impl Goal {
    /// That every balancer works with these changes, which the revision made.
    pub fn changed<'a>(position: Position, changes: impl IntoIterator<Item = &'a Change>) -> Self {
        let changes = changes.into_iter();
        let elements = changes.map(|change| (change.collection(), change.key()));
        Self::Changed(position, elements.collect())
    }

    pub fn position(&self) -> Position {
        match self {
            Self::Applied(position) | Self::Changed(position, _) | Self::Drained(position, ..) => {
                *position
            }
        }
    }

    /// Whether some of the goal is an element of this kind.
    pub(super) fn is_about(&self, collection: Collection) -> bool {
        match self {
            Self::Applied(_) => false,
            Self::Changed(_, elements) => elements.iter().any(|(kind, _)| *kind == collection),
            Self::Drained(..) => collection == Collection::Servers,
        }
    }

    /// Whether a balancer that cannot apply this element does without a part of the goal.
    pub(super) fn needs(&self, nack: &Nack) -> bool {
        let is_whole = nack.key == Fault::WHOLE_COLLECTION;
        let is_named = match self {
            Self::Applied(_) => false,
            Self::Changed(_, elements) => elements.contains(&(nack.collection, nack.key.clone())),
            Self::Drained(_, key, _) => nack.key == key.to_string(),
        };
        self.is_about(nack.collection) && (is_whole || is_named)
    }

    /// The first revision of the log after which the server that the goal takes away has requests again.
    pub(super) fn first_return(&self, log: &[Delta]) -> Option<Revision> {
        let Self::Drained(_, key, incarnation) = self else {
            return None;
        };
        let mut later = log.iter();
        let back = later.find(|delta| {
            let mut entries = delta.entries.iter();
            entries.any(|entry| activates(entry, key, *incarnation))
        });
        back.map(|delta| delta.revision)
    }
}

/// Whether the entry makes this incarnation of the server active. One that cannot be read may do so.
fn activates(entry: &Entry, key: &ServerKey, incarnation: Revision) -> bool {
    if entry.collection != Collection::Servers || entry.key != key.to_string() {
        return false;
    }
    let server = entry.value.as_ref().map(Stamped::<Server>::deserialize);
    server.is_some_and(|server| {
        server.map_or(true, |server| {
            server.incarnation == incarnation && server.value.state == ServerState::Active
        })
    })
}
