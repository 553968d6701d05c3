//! What stands between an algorithm's proposal and a server that is taken: the one place that says who may be taken for a request.

use std::sync::Arc;
use std::time::Duration;

use crate::tier::Member;
use crate::{InFlight, Server, Stick, Tried, Unpicked};

/// What a request brings along when a server is picked for it.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The servers that it was sent to already.
    pub tried: &'a Tried,
    /// The hash of what its pool's algorithm looks at; any number where that looks at nothing.
    pub hash: u64,
    /// By what its client is known again.
    pub stick: Stick,
    /// On the clock that tables are compiled by.
    pub now: Duration,
}

/// One choice of a server. An algorithm proposes servers in its order until one is taken.
#[derive(Debug)]
pub(crate) struct Choice<'a> {
    servers: &'a [Arc<Server>],
    pub(crate) ask: &'a Ask<'a>,
    obstacle: Unpicked,
    /// Servers that this balancer has ejected are passed over.
    spares: bool,
    /// Some server was passed over for that.
    spared: bool,
}

impl<'a> Choice<'a> {
    pub(crate) fn new(servers: &'a [Arc<Server>], ask: &'a Ask<'a>) -> Self {
        Self {
            servers,
            ask,
            obstacle: Unpicked::Nothing,
            spares: true,
            spared: false,
        }
    }

    pub(crate) fn server(&self, member: &Member) -> &'a Arc<Server> {
        &self.servers[member.index]
    }

    /// Takes this server in one step, where the request may have it.
    pub(crate) fn take(&mut self, member: &Member) -> Option<InFlight> {
        let server = self.server(member);
        if !self.may_have(server) {
            return None;
        }
        let begun = InFlight::begin(Arc::clone(server));
        begun.map_err(|unpicked| self.note(unpicked)).ok()
    }

    /// Whether it is worth proposing.
    pub(crate) fn may_take(&mut self, member: &Member) -> bool {
        let server = self.server(member);
        self.may_have(server) && {
            let room = server.room().map_err(|unpicked| self.note(unpicked));
            room.is_ok()
        }
    }

    /// An ejected server is better than none. False where none was passed over, so that choosing anew brings nothing.
    pub(crate) fn spare_none(&mut self) -> bool {
        self.spares = false;
        self.spared
    }

    /// Why nothing was taken: of what was in the way of those that might have been, what is worth most to know.
    pub(crate) fn obstacle(&self) -> Unpicked {
        self.obstacle
    }

    /// Takes the first of all members that can be had, from this place on. What algorithms end with, so that a choice is bounded
    /// however many servers are passed over.
    pub(crate) fn take_any(&mut self, members: &[Member], from: usize) -> Option<InFlight> {
        let (before, after) = members.split_at(from.min(members.len()));
        let mut order = after.iter().chain(before);
        order.find_map(|member| self.take(member))
    }

    fn may_have(&mut self, server: &Server) -> bool {
        if !self.ask.tried.is_empty() && self.ask.tried.contains(server.live()) {
            return false;
        }
        let passes_over = self.spares && server.live().is_ejected();
        self.spared |= passes_over;
        !passes_over
    }

    fn note(&mut self, unpicked: Unpicked) {
        self.obstacle = self.obstacle.max(unpicked);
    }
}
