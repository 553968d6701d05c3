//! How many connections clients have, over all worker threads: in all, and from each address. It is touched where a connection
//! begins and where it ends, and at no other time.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Locks that addresses are spread over, so that threads seldom meet.
const SHARDS: usize = 64;

/// An IPv6 client has a whole network of so many bits, and could come from any address of it.
const IPV6_CLIENT_BITS: u32 = 64;

/// The connections of all clients.
pub(crate) struct Crowd {
    open: AtomicUsize,
    open_max: usize,
    per_client_max: Option<NonZero<usize>>,
    /// By address, spread by its hash.
    clients: Vec<Mutex<HashMap<IpAddr, usize>>>,
    hasher: RandomState,
}

/// One connection's place, given back when dropped.
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    /// Where connections of its address are counted.
    client: Option<IpAddr>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// There are as many connections as may be.
    InAll,
    /// This client has as many as one may have.
    Client,
}

impl Crowd {
    /// At most so many connections in all, and of one client; of those any number where there is no bound.
    pub(crate) fn new(open_max: usize, per_client_max: Option<NonZero<usize>>) -> Self {
        Self {
            open: AtomicUsize::new(0),
            open_max,
            per_client_max,
            clients: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A place for one more connection. `client` is its address, or nothing where it may have any number.
    pub(crate) fn enter(self: &Arc<Self>, client: Option<IpAddr>) -> Result<Place, Full> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.open_max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::InAll);
        }
        // From here on it counts in all, until it is dropped.
        let mut place = Place {
            crowd: Arc::clone(self),
            client: None,
        };
        if let Some((client, most)) = client.map(one_client).zip(self.per_client_max) {
            let mut clients = self.shard(client).lock();
            let count = clients.entry(client).or_default();
            if *count >= most.get() {
                return Err(Full::Client);
            }
            *count += 1;
            place.client = Some(client);
        }
        Ok(place)
    }

    fn shard(&self, client: IpAddr) -> &Mutex<HashMap<IpAddr, usize>> {
        let hash = self.hasher.hash_one(client);
        &self.clients[(hash % SHARDS as u64) as usize]
    }

    fn leave(&self, client: IpAddr) {
        let mut clients = self.shard(client).lock();
        if let Some(count) = clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&client);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(client) = self.client {
            self.crowd.leave(client);
        }
    }
}

/// What stands for all addresses of one client.
fn one_client(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = u128::MAX << IPV6_CLIENT_BITS;
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(open_max: usize, per_client_max: usize) -> Arc<Crowd> {
        Arc::new(Crowd::new(open_max, NonZero::new(per_client_max)))
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn nobody_comes_in_where_it_is_full_until_somebody_leaves() {
        let crowd = crowd(2, 0);
        let first = crowd.enter(address("192.0.2.1")).ok();
        let second = crowd.enter(address("192.0.2.1")).ok();
        assert!(first.is_some() && second.is_some());
        assert_eq!(crowd.enter(None).err(), Some(Full::InAll));
        drop(first);
        assert!(crowd.enter(None).is_ok());
    }

    #[test]
    fn one_client_does_not_take_the_places_of_others() {
        let crowd = crowd(10, 2);
        let places: Vec<_> = (0..2).map(|_| crowd.enter(address("192.0.2.1"))).collect();
        assert_eq!(crowd.enter(address("192.0.2.1")).err(), Some(Full::Client));
        assert!(crowd.enter(address("192.0.2.2")).is_ok());
        drop(places);
        assert!(crowd.enter(address("192.0.2.1")).is_ok());
        assert_eq!(
            crowd.open.load(Ordering::Relaxed),
            0,
            "refused ones count no more"
        );
    }

    #[test]
    fn nothing_is_kept_of_clients_that_have_left() {
        let crowd = crowd(10, 1);
        drop(crowd.enter(address("192.0.2.1")));
        assert!(crowd.clients.iter().all(|shard| shard.lock().is_empty()));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_client() {
        let crowd = crowd(10, 1);
        let _place = crowd.enter(address("2001:db8::1"));
        assert_eq!(
            crowd.enter(address("2001:db8::2")).err(),
            Some(Full::Client)
        );
        assert!(crowd.enter(address("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn a_trusted_proxy_may_have_any_number() {
        let crowd = crowd(10, 1);
        let places: Vec<_> = (0..9).map(|_| crowd.enter(None)).collect();
        assert!(places.iter().all(Result::is_ok));
    }
}
