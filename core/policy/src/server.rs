//! A server as the data plane sees it: its definition, the verdict on it, and what is going on with it right now.

mod in_flight;
mod live;

use std::net::SocketAddr;
use std::sync::Arc;

use model::{Health, Revision, ServerKey, ServerState, Stamped};

use crate::Unpicked;

pub use in_flight::{InFlight, Outcome};
pub(crate) use live::LOAD_PARTS;
pub use live::Live;

/// One server of a table.
#[derive(Debug)]
pub struct Server {
    definition: Arc<Stamped<model::Server>>,
    health: Health,
    live: Arc<Live>,
    facts: Facts,
}

/// Copies of what each compilation looks at, of every server: a visit to each one's definition and counters would cost more than all
/// the rest.
#[derive(Debug, Clone, Copy)]
struct Facts {
    number: u64,
    age: (Revision, u32),
    weight: u16,
    state: ServerState,
    is_backup: bool,
    is_bounded: bool,
}

impl Server {
    pub(crate) fn new(
        definition: Arc<Stamped<model::Server>>,
        health: Health,
        live: Arc<Live>,
    ) -> Self {
        let facts = Facts {
            number: live.number(),
            age: definition.age(),
            weight: definition.value.weight,
            state: definition.value.state,
            is_backup: definition.value.backup,
            is_bounded: definition.value.max_connections > 0,
        };
        Self {
            definition,
            health,
            live,
            facts,
        }
    }

    pub fn key(&self) -> &ServerKey {
        self.live.key()
    }

    pub fn address(&self) -> SocketAddr {
        self.definition.value.address
    }

    /// The name that it was added by, if by any.
    pub fn hostname(&self) -> Option<&str> {
        self.definition.value.hostname.as_deref()
    }

    pub fn health(&self) -> Health {
        self.health
    }

    pub fn state(&self) -> ServerState {
        self.facts.state
    }

    pub fn weight(&self) -> u16 {
        self.facts.weight
    }

    pub(crate) fn is_backup(&self) -> bool {
        self.facts.is_backup
    }

    /// Whether it takes only so many connections at the same time.
    pub(crate) fn is_bounded(&self) -> bool {
        self.facts.is_bounded
    }

    /// What tells its incarnation from every other that this process has known.
    pub(crate) fn number(&self) -> u64 {
        self.facts.number
    }

    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Whether it may get new requests, its health aside.
    pub fn is_wanted(&self) -> bool {
        self.state() == ServerState::Active && self.weight() > 0
    }

    /// What is in the way of one more request: whoever picks passes over a server that has no room.
    pub fn room(&self) -> Result<(), Unpicked> {
        self.live.places().room(self.live.in_flight())
    }

    /// What sorts servers by creation.
    pub(crate) fn age(&self) -> (Revision, u32) {
        self.facts.age
    }

    /// Whether it has the same key.
    pub(crate) fn is_of(&self, server: &model::Server) -> bool {
        self.definition.value.id == server.id && self.definition.value.pool == server.pool
    }

    /// Whether this is what a table for these would hold.
    pub(crate) fn is_current(
        &self,
        definition: &Arc<Stamped<model::Server>>,
        health: Health,
    ) -> bool {
        self.health == health
            && (Arc::ptr_eq(&self.definition, definition) || self.definition == *definition)
    }
}
