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

/// Why a text is no network, nor the name of a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    #[error("{text:?} is not a network such as 10.0.0.0/8 or 2001:db8::/32")]
    Malformed { text: String },
    #[error("{text:?} is not a network: the prefix length is at most {most} for {family}")]
    LongPrefix {
        text: String,
        family: &'static str,
        most: u8,
    },
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl InvalidNetwork {
    fn of(text: &str) -> Self {
        // A hostile text is not repeated at full length in an error.
        let shown = text.chars().take(NAME_LENGTH_MAX).collect();
        let address = text.split_once('/').filter(|(_, length)| is_number(length));
        match address.map(|(address, _)| address.parse()) {
            Some(Ok(IpAddr::V4(_))) => Self::long(shown, "IPv4", 32),
            Some(Ok(IpAddr::V6(_))) => Self::long(shown, "IPv6", 128),
            _ => Self::Malformed { text: shown },
        }
    }

    fn long(text: String, family: &'static str, most: u8) -> Self {
        Self::LongPrefix { text, family, most }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl FromStr for Networks {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        match parse_network(text) {
            Ok(network) => Ok(Self::One(network)),
            // No name has a slash.
            Err(error) if text.contains('/') => Err(error),
            Err(_) => Ok(Self::List(text.parse()?)),
        }
    }
}

/// A network, or an address, which is the network of that host alone.
///
/// # Errors
/// Why it is none.
pub fn parse_network(text: &str) -> Result<IpNet, InvalidNetwork> {
    let host = |_| text.parse::<IpAddr>().map(IpNet::from);
    let network = text.parse().or_else(host);
    network.map_err(|_| InvalidNetwork::of(text))
}

/// Checks that a network's address has no more bits than its prefix. Nobody can tell whether `10.1.2.3/8` is to be all of `10.0.0.0/8`, or that
/// host alone.
///
/// # Errors
/// What to write for either.
pub fn check_network(network: &IpNet) -> Result<(), String> {
    let (host, whole) = (network.addr(), network.trunc());
    match *network == whole {
        true => Ok(()),
        false => Err(format!(
            "{network} has bits set beyond its prefix: it must be {whole}, or {host} for that host alone"
        )),
    }
}

impl TryFrom<String> for Networks {
    type Error = InvalidNetwork;

    fn try_from(text: String) -> Result<Self, InvalidNetwork> {
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
    type Error = InvalidNetwork;

    fn try_from(text: String) -> Result<Self, InvalidNetwork> {
        parse_network(&text).map(Self)
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
        let short = "the prefix length is at most 32 for IPv4";
        let long = "the prefix length is at most 128 for IPv6";
        let other = "such as 10.0.0.0/8";
        for (text, why) in [
            ("10.0.0.0/33", short),
            ("1.2.3.4/400", short),
            ("2001:db8::/129", long),
            ("10.0.0/8", other),
            ("10.0.0.0/", other),
            ("10.0.0.0/255.0.0.0", other),
        ] {
            let list = json!({"id": "office", "networks": [text]});
            let listed = serde_json::from_value::<NetworkList>(list).unwrap_err();
            let ruled = serde_json::from_value::<Firewall>(json!({"deny": [text]})).unwrap_err();
            for error in [listed.to_string(), ruled.to_string()] {
                let begins = error.starts_with(&format!("{text:?} is not a network"));
                assert!(begins && error.contains(why), "{error}");
            }
        }
        let error = "no name".parse::<Networks>().unwrap_err();
        assert!(error.to_string().contains("is not a valid name"), "{error}");
    }

    #[test]
    fn a_network_with_bits_beyond_its_prefix_is_read_and_told_what_it_may_be() {
        let network = |text: &str| parse_network(text).unwrap();
        for text in ["10.0.0.0/8", "0.0.0.0/0", "10.1.2.3", "2001:db8::1", "::/0"] {
            assert_eq!(check_network(&network(text)), Ok(()), "{text}");
        }
        let loose = network("10.1.2.3/8");
        assert_eq!(loose.to_string(), "10.1.2.3/8");
        assert_eq!(
            check_network(&loose).unwrap_err(),
            "10.1.2.3/8 has bits set beyond its prefix: it must be 10.0.0.0/8, or 10.1.2.3 for that host alone"
        );
        let error = check_network(&network("2001:db8::1/32")).unwrap_err();
        assert!(error.contains("must be 2001:db8::/32,"), "{error}");
    }

    #[test]
    fn a_firewall_tells_networks_from_the_names_of_lists() {
        let firewall =
            json!({"allow": ["10.0.0.0/8", "office", "10.0.0.1"], "deny": ["known-bad"]});
        let firewall: Firewall = serde_json::from_value(firewall).unwrap();
        let lists: Vec<_> = firewall.lists().map(NetworkListId::as_str).collect();
        assert_eq!(lists, ["office", "known-bad"]);
    }
}
