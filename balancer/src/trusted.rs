//! The proxies in front of a balancer that are believed when they say where a request comes from.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};
use model::{check_network, parse_network};

/// Where IPv4's addresses begin within IPv6's: `::ffff:0:0/96`.
const MAPPED_BITS: u8 = 96;

/// The networks that such proxies are in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trusted(Arc<[IpNet]>);

impl Trusted {
    pub(crate) fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    /// Whether a proxy at this address, which is not one of IPv4 in IPv6's clothes, is believed.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// A network (`10.0.0.0/8`) or a single address.
///
/// # Errors
/// What it must be, with an example, or what may be meant.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let example = "must be networks or addresses, such as 10.0.0.0/8,192.0.2.7";
    let network = parse_network(text.trim()).map_err(|_| example.to_owned())?;
    check_network(&network)?;
    Ok(unmapped(network))
}

/// A network of IPv4 addresses in IPv6's clothes, as one of IPv4.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(wide) = network else {
        return network;
    };
    let bits = wide.prefix_len().checked_sub(MAPPED_BITS);
    let mapped = bits.zip(wide.network().to_ipv4_mapped());
    let narrow = mapped.and_then(|(bits, address)| Ipv4Net::new(address, bits).ok());
    narrow.map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusts(networks: &[&str], address: &str) -> bool {
        let networks: Vec<IpNet> = networks.iter().map(|text| network(text).unwrap()).collect();
        Trusted::new(&networks).contains(address.parse().unwrap())
    }

    #[test]
    fn proxies_are_trusted_by_network_or_by_address() {
        let networks = ["10.0.0.0/8", " 192.0.2.7", "2001:db8::/32"];
        for address in ["10.255.0.1", "192.0.2.7", "2001:db8:1::1"] {
            assert!(trusts(&networks, address), "{address}");
        }
        for address in ["11.0.0.1", "192.0.2.8", "2001:db9::1", "::1"] {
            assert!(!trusts(&networks, address), "{address}");
        }
        assert!(!trusts(&[], "127.0.0.1"));
    }

    #[test]
    fn a_network_of_mapped_addresses_is_one_of_ipv4() {
        assert!(trusts(&["::ffff:10.0.0.0/104"], "10.1.2.3"));
        assert!(trusts(&["::ffff:10.0.0.1"], "10.0.0.1"));
        assert!(!trusts(&["::ffff:10.0.0.0/104"], "11.1.2.3"));
    }

    #[test]
    fn a_network_with_bits_beyond_its_prefix_is_refused_with_what_it_may_be() {
        let rule = "10.0.0.1/8 has bits set beyond its prefix: it must be 10.0.0.0/8, or 10.0.0.1 for that host alone";
        assert_eq!(network("10.0.0.1/8").unwrap_err(), rule);
        for text in ["2001:db8::1/32", "::ffff:10.0.0.1/104"] {
            network(text).expect_err(text);
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_an_example() {
        for text in ["", "here", "10.0.0.0/33", "10.0.0/8", "10.0.0.0-10.0.0.9"] {
            let rule = network(text).expect_err(text);
            assert!(rule.contains("10.0.0.0/8"), "{rule}");
        }
    }
}
