//! What a proxy is told beside its servers: routes, networks whose clients may not come, and a limit.

use std::fmt::Display;

use serde_json::{Value, json};

/// The most networks: those that 10.0.0.0/8 has of 256 addresses.
const NETWORKS_MAX: usize = 1 << 16;

/// The list of the networks.
const STRANGERS: &str = "strangers";

/// The limit.
const LIMIT: &str = "per-client";

/// Requests a second that the limit allows: more than any client here can make, so that none is refused.
const LIMIT_RATE: u32 = 1_000_000;

/// How much of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rules {
    /// Each claims what is under one prefix, and takes it where all else goes.
    pub(crate) routes: usize,
    /// None of them has a client in it. The listener asks for each connection, and each route for each request.
    pub(crate) networks: usize,
    /// Whether each route has a limit, in leased mode and by client.
    pub(crate) are_limited: bool,
}

/// The prefix that a route claims, without the slash after it.
pub(crate) fn prefix(route: impl Display) -> String {
    format!("/service-{route}")
}

impl Rules {
    /// What all routes claim.
    pub(crate) fn prefixes(self) -> impl Iterator<Item = String> {
        (0..self.routes).map(prefix)
    }

    /// The rules as our admin API imports them; nothing where there are none. At most 65,536 networks.
    pub(crate) fn document(self) -> Option<Value> {
        if self == Self::default() {
            return None;
        }
        let routes: Vec<_> = (0..self.routes).map(|route| self.route(route)).collect();
        let mut document = json!({ "routes": routes });
        if self.networks > 0 {
            document["networks"] = json!([{ "id": STRANGERS, "networks": self.strangers() }]);
            document["listeners"] = json!([{ "id": "http", "firewall": { "deny": [STRANGERS] } }]);
        }
        if self.are_limited {
            document["limits"] = json!([{
                "id": LIMIT, "by": ["client"], "requests": LIMIT_RATE, "per": "1s", "mode": "leased",
            }]);
        }
        Some(document)
    }

    fn route(self, route: usize) -> Value {
        let prefix = prefix(route);
        let mut value = json!({
            "id": &prefix[1..],
            "match": { "path": { "prefix": prefix } },
            "action": { "pool": "default" },
        });
        if self.networks > 0 {
            value["firewall"] = json!({ "deny": [STRANGERS] });
        }
        if self.are_limited {
            value["limits"] = json!([LIMIT]);
        }
        value
    }

    fn strangers(self) -> Vec<String> {
        let networks = 0..self.networks.min(NETWORKS_MAX);
        networks
            .map(|network| format!("10.{}.{}.0/24", network / 256, network % 256))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ALL: Rules = Rules {
        routes: 1000,
        networks: 10_000,
        are_limited: true,
    };

    #[test]
    fn a_document_has_what_each_route_names() {
        let document = ALL.document().expect("there are rules");
        let routes = document["routes"].as_array().expect("a list");
        assert_eq!(routes.len(), 1000);
        let last = &routes[999];
        assert_eq!(last["match"]["path"]["prefix"], "/service-999");
        assert_eq!(last["firewall"]["deny"][0], document["networks"][0]["id"]);
        assert_eq!(last["limits"][0], document["limits"][0]["id"]);
    }

    #[test]
    fn no_network_is_there_twice_and_none_has_the_client() {
        let strangers: BTreeSet<_> = ALL.strangers().into_iter().collect();
        assert_eq!(strangers.len(), 10_000);
        assert!(strangers.contains("10.39.15.0/24"));
        assert!(strangers.iter().all(|network| network.starts_with("10.")));
    }

    #[test]
    fn routes_alone_have_neither_networks_nor_a_limit() {
        let routes = Rules {
            routes: 2,
            ..Rules::default()
        };
        let document = routes.document().expect("there are rules");
        assert_eq!(document.as_object().map(serde_json::Map::len), Some(1));
        assert_eq!(document["routes"][1].get("firewall"), None);
        assert_eq!(document["routes"][1].get("limits"), None);
        assert_eq!(Rules::default().document(), None);
    }
}
