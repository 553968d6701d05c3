//! A set of networks that is asked for the longest that holds an address.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::intervals::{Block, Intervals};

/// The bits before an IPv4 address that is mapped into IPv6 (RFC 4291, 2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// A compiled set of networks.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    v4: Intervals<u32>,
    /// Of up to half an address: nearly all there are, and half as much to look through.
    v6: Intervals<u64>,
    /// Those that are longer.
    long_v6: Intervals<u128>,
}

impl Networks {
    /// A network of IPv4 addresses mapped into IPv6 is that network of IPv4.
    pub(crate) fn new(networks: &[IpNet]) -> Self {
        let (mut v4, mut v6, mut long_v6) = (Vec::new(), Vec::new(), Vec::new());
        for network in networks {
            match unmapped(*network) {
                IpNet::V4(network) => v4.push(Block {
                    first: u32::from(network.network()).into(),
                    length: network.prefix_len(),
                    last: u32::from(network.broadcast()).into(),
                }),
                IpNet::V6(network) => {
                    let first = u128::from(network.network());
                    let last = u128::from(network.broadcast());
                    let length = network.prefix_len();
                    let (list, bits) = match length <= 64 {
                        true => (&mut v6, 64),
                        false => (&mut long_v6, 0),
                    };
                    list.push(Block {
                        first: first >> bits,
                        length,
                        last: last >> bits,
                    });
                }
            }
        }
        Self {
            v4: Intervals::new(v4),
            v6: Intervals::new(v6),
            long_v6: Intervals::new(long_v6),
        }
    }

    /// One more than the length of the longest network that holds this address, which is not a mapped one; 0 where none does.
    pub(crate) fn depth(&self, address: IpAddr) -> u8 {
        match address {
            IpAddr::V4(address) => self.v4.depth(address.into()),
            IpAddr::V6(address) => {
                let address = u128::from(address);
                match self.long_v6.depth(address) {
                    0 => self.v6.depth((address >> 64) as u64),
                    depth => depth,
                }
            }
        }
    }

    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        self.depth(address.to_canonical()) > 0
    }
}

fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(wide) = network else {
        return network;
    };
    let bits = wide.prefix_len().checked_sub(MAPPED_BITS);
    let mapped = bits.zip(wide.network().to_ipv4_mapped());
    let narrow = mapped.and_then(|(bits, address)| Ipv4Net::new(address, bits).ok());
    narrow.map_or(network, IpNet::V4)
}
