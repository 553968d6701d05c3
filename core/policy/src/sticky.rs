//! Sticky sessions: which server a client stays with, as far as that server may still have it.
//!
//! No balancer keeps a table of clients. A cookie names the server by itself ([`Cookies`]); an address, a header or a cookie of the
//! application's is hashed, and belongs to the same server at every balancer (`Affinity`). What keeps a client away from its server is
//! said here once for both: then the pool's algorithm chooses another.
//!
//! A server without room for one more connection is waited for, since the client's session is there; one that is down, ejected, gone,
//! was tried or has as many requests as the circuit lets it have is not.

mod affinity;
mod cookies;
mod keys;

use std::sync::Arc;

use model::{Health, ServerState, StickyKind};

use crate::tier::Tiers;
use crate::{Ask, InFlight, Server, Unpicked};

use affinity::Affinity;

pub use cookies::{Cookies, Token};
pub(crate) use keys::Keys;

/// What a request brings along by which its client is known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stick {
    /// Nothing: any server will do.
    #[default]
    Loose,
    /// What a cookie of the balancer's own says.
    Token(Token),
    /// The hash of what tells this client from others.
    Key(u64),
}

/// How clients of one pool stay with its servers.
#[derive(Debug)]
pub(crate) enum Sticky {
    /// They do not, or the secret that cookies are made with is not known yet.
    Loose,
    Cookies(Arc<Cookies>),
    Affinity(Arc<Affinity>),
}

/// What became of a request that belongs to a server.
pub(crate) enum Bound {
    Taken(InFlight),
    /// The server has no room at present, and is worth waiting for.
    Waits,
    /// Another one has to do.
    Elsewhere,
}

/// What says whether a request may go to the server that it belongs to.
pub(crate) struct Binding<'a> {
    pub(crate) pool: &'a model::Pool,
    pub(crate) servers: &'a [Arc<Server>],
    pub(crate) tiers: &'a Tiers,
    pub(crate) ask: &'a Ask<'a>,
}

impl Sticky {
    /// That of a pool. What was made of the same for the table before is taken over.
    pub(crate) fn new(
        pool: &model::Pool,
        servers: &[Arc<Server>],
        tiers: &Tiers,
        keys: Option<&Arc<Keys>>,
        previous: Option<&Self>,
    ) -> Self {
        match pool.sticky.kind {
            StickyKind::None => Self::Loose,
            StickyKind::Cookie => keys.map_or(Self::Loose, |keys| {
                let before = match previous {
                    Some(Self::Cookies(before)) => Some(before),
                    _ => None,
                };
                Self::Cookies(Cookies::new(pool, servers, keys, before))
            }),
            StickyKind::Source | StickyKind::ApplicationCookie | StickyKind::Header => {
                let before = match previous {
                    Some(Self::Affinity(before)) => Some(before),
                    _ => None,
                };
                Self::Affinity(Affinity::new(pool, servers, tiers, before))
            }
        }
    }

    pub(crate) fn cookies(&self) -> Option<&Cookies> {
        match self {
            Self::Cookies(cookies) => Some(cookies),
            Self::Loose | Self::Affinity(_) => None,
        }
    }

    /// Takes the server that the request belongs to, if it belongs to one that may have it.
    pub(crate) fn bind(&self, binding: &Binding<'_>) -> Bound {
        match (self, binding.ask.stick) {
            (Self::Cookies(cookies), Stick::Token(token)) => match cookies.place(token) {
                Some(place) => binding.bind(place),
                None => Bound::Elsewhere,
            },
            (Self::Affinity(affinity), Stick::Key(key)) => affinity.bind(key, binding),
            _ => Bound::Elsewhere,
        }
    }
}

impl Binding<'_> {
    /// Takes the server at this place, if it may have the request.
    fn bind(&self, place: usize) -> Bound {
        let server = &self.servers[place];
        if !self.may_have(place, server) {
            return Bound::Elsewhere;
        }
        match InFlight::begin(Arc::clone(server)) {
            // Looked at again now that the request counts as in flight: who says that the server is drained says first that nobody
            // sticks to it any more, and counts then.
            Ok(_) if is_draining(server) && server.live().was_released() => Bound::Elsewhere,
            Ok(flight) => Bound::Taken(flight),
            Err(Unpicked::Full) => Bound::Waits,
            Err(Unpicked::CircuitOpen | Unpicked::Nothing) => Bound::Elsewhere,
        }
    }

    fn may_have(&self, place: usize, server: &Server) -> bool {
        let live = server.live();
        let stays = match server.state() {
            ServerState::Active => true,
            ServerState::Draining => {
                self.pool.sticky.outlasts_drain() && live.keeps_clients(self.ask.now)
            }
            ServerState::Disabled => false,
        };
        // Where most servers are down, all are used, since the verdicts are more likely wrong.
        let serves = || server.health() != Health::Down || self.tiers.has_member(place);
        stays && !self.ask.tried.contains(live) && !live.is_ejected() && serves()
    }
}

fn is_draining(server: &Server) -> bool {
    server.state() == ServerState::Draining
}
