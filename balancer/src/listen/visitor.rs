//! How a client has come: by which listener, from where, and what TLS says of it.

use std::net::SocketAddr;
use std::rc::Rc;

use crate::tls::Secured;

/// One of the listeners of a balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entrance {
    Http,
    Https,
}

/// A client that has come.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub(crate) peer: SocketAddr,
    pub(crate) entrance: Entrance,
    /// What its handshake brought, where it came by TLS.
    pub(crate) secured: Option<Rc<Secured>>,
}

impl Entrance {
    pub(crate) const ALL: [Self; 2] = [Self::Http, Self::Https];

    /// The listener's name, by which the registry says more of it.
    pub(crate) fn as_str(self) -> &'static str {
        self.scheme()
    }

    /// What URLs of what is to be had there begin with.
    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

#[cfg(test)]
mod tests {
    use model::ListenerId;

    use super::*;

    #[test]
    fn the_registry_may_say_more_of_each_of_them_and_of_no_other() {
        assert_eq!(Entrance::ALL.map(Entrance::as_str), ListenerId::KNOWN);
    }
}
