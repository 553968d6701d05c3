//! Which clients may come: networks, in lists that many rules share or written where they are used.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{InvalidName, NAME_LENGTH_MAX, NetworkListId, Unknown};

/// The most networks of one list.
pub const NETWORKS_MAX: usize = 200_000;

/// Whom to let in. The longest network that holds the client's address decides, and of two that are as long the denial. Where none
/// holds it, it is let in unless there is something to allow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Firewall {
    pub allow: Vec<Networks>,
    pub deny: Vec<Networks>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Firewall {
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// The lists that it names.
    pub fn lists(&self) -> impl Iterator<Item = &NetworkListId> {
        self.allow
            .iter()
            .chain(&self.deny)
            .filter_map(Networks::list)
    }
}

/// One network, as `10.0.0.0/8` or `10.0.0.1`, or the name of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Networks {
    One(IpNet),
    List(NetworkListId),
}

impl Networks {
    /// The list, if it is the name of one.
    pub fn list(&self) -> Option<&NetworkListId> {
        match self {
            Self::One(_) => None,
            Self::List(id) => Some(id),
        }
    }
}

impl FromStr for Networks {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        match parse_network(text) {
            Some(network) => Ok(Self::One(network)),
            None => text.parse().map(Self::List),
        }
    }
}

/// A network, or an address, which is the network of that host alone.
pub fn parse_network(text: &str) -> Option<IpNet> {
    let host = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(host)
}

impl TryFrom<String> for Networks {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Networks> for String {
    fn from(networks: Networks) -> Self {
        networks.to_string()
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(network) => network.fmt(f),
            Self::List(id) => id.fmt(f),
        }
    }
}

/// Networks under one name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkList {
    pub id: NetworkListId,
    /// Each as `10.0.0.0/8`, or as `10.0.0.1`, which is that host alone.
    #[serde(default, deserialize_with = "networks")]
    pub networks: Vec<IpNet>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl NetworkList {
    pub fn new(id: NetworkListId, networks: Vec<IpNet>) -> Self {
        Self {
            id,
            networks,
            unknown: Unknown::default(),
        }
    }

    /// The fields that this version does not know, by the part that has them.
    pub fn unknown_mut(&mut self) -> Vec<(String, &mut Unknown)> {
        vec![(String::new(), &mut self.unknown)]
    }
}

/// A network as people write it. A type of its own, so that what is wrong with one of many is named by its place.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Written(IpNet);

impl TryFrom<String> for Written {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let network = parse_network(&text).map(Self);
        network.ok_or_else(|| {
            // A hostile text is not repeated at full length in an error.
            let shown: String = text.chars().take(NAME_LENGTH_MAX).collect();
            format!("{shown:?} is not a network such as 10.0.0.0/8 or 2001:db8::/32")
        })
    }
}

/// For `#[serde(deserialize_with = "crate::firewall::networks")]`.
pub(crate) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let written = Vec::<Written>::deserialize(deserializer)?;
    Ok(written
        .into_iter()
        .map(|Written(network)| network)
        .collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_host_is_a_network_of_its_own() {
        let list = json!({"id": "office", "networks": ["10.0.0.0/8", "192.0.2.7", "2001:db8::1"]});
        let list: NetworkList = serde_json::from_value(list).unwrap();
        let written = serde_json::to_value(&list).unwrap();
        let networks = json!(["10.0.0.0/8", "192.0.2.7/32", "2001:db8::1/128"]);
        assert_eq!(written["networks"], networks);
        assert_eq!(
            serde_json::from_value::<NetworkList>(written).unwrap(),
            list
        );
    }

    #[test]
    fn what_is_no_network_is_said() {
        let list = json!({"id": "office", "networks": ["10.0.0.0/33"]});
        let error = serde_json::from_value::<NetworkList>(list).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("\"10.0.0.0/33\" is not a network"),
            "{error}"
        );
    }

    #[test]
    fn a_firewall_tells_networks_from_the_names_of_lists() {
        let firewall =
            json!({"allow": ["10.0.0.0/8", "office", "10.0.0.1"], "deny": ["known-bad"]});
        let firewall: Firewall = serde_json::from_value(firewall).unwrap();
        let lists: Vec<_> = firewall.lists().map(NetworkListId::as_str).collect();
        assert_eq!(lists, ["office", "known-bad"]);
        assert!(serde_json::from_value::<Firewall>(json!({"deny": ["10.0.0.0/33"]})).is_err());
    }
}
