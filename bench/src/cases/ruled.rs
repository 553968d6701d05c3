//! The case of many routes, alone and with a firewall and a limit.

use super::{Case, Contestant, Request, Work, sized, without_relay};
use crate::peers::Peer;
use crate::rules::{Rules, prefix};

const ROUTES: Rules = Rules {
    routes: 1000,
    networks: 0,
    are_limited: false,
};

const ALL: Rules = Rules {
    networks: 10_000,
    are_limited: true,
    ..ROUTES
};

pub(super) fn many_routes(peers: &[Peer]) -> Case {
    let ruled = |peer, suffix, rules| Contestant {
        rules,
        ..sized(peer, suffix)
    };
    let pair = |peer| {
        [
            ruled(peer, "", Rules::default()),
            ruled(peer, ", 1000 routes", ROUTES),
        ]
    };
    let together = Contestant {
        rules: ALL,
        ..Contestant::variant("1000 routes, firewall and limit")
    };
    Case {
        name: "routes",
        title: "1,000 routes, a short body, 64 connections",
        note: "Requests go to a thousand prefixes by turns, each of which one route claims (a `location` of nginx's, a line of a map of \
               HAProxy's, a route of Envoy's), and all of them to the same server; without routes, that is where everything goes. With \
               firewall and limit, each route also denies 10,000 networks, as the listener does, none of which the client is in, and \
               has a limit for each client in leased mode, which no request exceeds.",
        work: Work::Closed(
            64,
            Request {
                targets: ROUTES.routes,
                ..Request::get(&format!("{}/", prefix("{}")))
            },
        ),
        is_noisy: false,
        // The relay knows no routes.
        contestants: without_relay(peers)
            .into_iter()
            .flat_map(pair)
            .chain([together])
            .collect(),
    }
}
