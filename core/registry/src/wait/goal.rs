//! What a wait is for: which revision, and what of it concerns whom.

use std::collections::BTreeSet;
use std::net::SocketAddr;

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
    /// That, and none has a request in flight to the server that leaves, nor sends it clients that are with it.
    Drained(Position, Leaving),
}

/// A server that a change takes away, or requests from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    pub key: ServerKey,
    /// Of which the balancers say what is in flight.
    pub incarnation: Revision,
    /// Where it is: another server may come under its name, and this one under another incarnation.
    pub address: SocketAddr,
}

impl From<&Stamped<Server>> for Leaving {
    fn from(server: &Stamped<Server>) -> Self {
        Self {
            key: server.value.key(),
            incarnation: server.incarnation,
            address: server.value.address,
        }
    }
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
            Self::Drained(_, leaving) => nack.key == leaving.key.to_string(),
        };
        self.is_about(nack.collection) && (is_whole || is_named)
    }

    /// The first revision of the log that brought back the server which the goal takes away.
    pub(super) fn first_return(&self, log: &[Delta]) -> Option<Revision> {
        let Self::Drained(_, leaving) = self else {
            return None;
        };
        let mut later = log.iter();
        let back = later.find(|delta| {
            let mut entries = delta.entries.iter();
            entries.any(|entry| leaving.is_brought_back(entry))
        });
        back.map(|delta| delta.revision)
    }
}

impl Leaving {
    /// Whether the entry makes the server active again, or puts it in anew once it was removed, in whatever state.
    /// One that cannot be read may do so; one at another address is another server.
    fn is_brought_back(&self, entry: &Entry) -> bool {
        if entry.collection != Collection::Servers || entry.key != self.key.to_string() {
            return false;
        }
        let server = entry.value.as_ref().map(Stamped::<Server>::deserialize);
        let is_back = |server: Stamped<Server>| {
            let is_in_use = server.value.state == ServerState::Active;
            server.value.address == self.address
                && (is_in_use || server.incarnation != self.incarnation)
        };
        server.is_some_and(|server| server.map_or(true, is_back))
    }
}
