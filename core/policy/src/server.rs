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
}

impl Server {
    pub(crate) fn new(
        definition: Arc<Stamped<model::Server>>,
        health: Health,
        live: Arc<Live>,
    ) -> Self {
        Self {
            definition,
            health,
            live,
        }
    }

    pub fn key(&self) -> &ServerKey {
        self.live.key()
    }

    pub fn address(&self) -> SocketAddr {
        self.definition.value.address
    }

    pub fn health(&self) -> Health {
        self.health
    }

    pub fn state(&self) -> ServerState {
        self.definition.value.state
    }

    pub fn weight(&self) -> u16 {
        self.definition.value.weight
    }

    pub(crate) fn is_backup(&self) -> bool {
        self.definition.value.backup
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
        self.definition.age()
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
