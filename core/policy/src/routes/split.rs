//! Which pool of several takes a request.
//!
//! By client: weighted rendezvous hashing (Schindelhauer and Schomaker, 2005). Each pool has a number from the hash of the client's address
//! and its own name, and the smallest for its weight is the one. So every balancer finds the same, and where weights change, clients move to
//! pools that gained and from pools that lost, and nowhere else.

use std::net::IpAddr;

use model::{PoolId, SplitBy};
use rand::{Rng, RngExt};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Several pools with their shares.
#[derive(Debug)]
pub struct Split {
    by: SplitBy,
    /// Those that have one.
    shares: Vec<Share>,
    total: u32,
}

#[derive(Debug)]
struct Share {
    pool: PoolId,
    weight: u32,
    seed: u64,
}

impl Split {
    pub(super) fn compile(split: &model::Split) -> Self {
        let shares = split.pools.iter().filter(|share| share.weight > 0);
        let shares: Vec<_> = shares
            .map(|share| Share {
                pool: share.pool.clone(),
                weight: share.weight.into(),
                seed: xxh3_64(share.pool.as_str().as_bytes()),
            })
            .collect();
        Self {
            by: split.by,
            total: shares.iter().map(|share| share.weight).sum(),
            shares,
        }
    }

    /// The pool that takes a request of this client.
    pub fn choose(&self, client: IpAddr, chance: &mut impl Rng) -> Option<&PoolId> {
        match self.by {
            SplitBy::Client => self.of_client(client),
            SplitBy::Request => self.by_chance(chance),
        }
    }

    /// The pools that may take a request of this client, each with how likely it does.
    pub(super) fn likely(&self, client: IpAddr) -> Vec<(&PoolId, f64)> {
        match self.by {
            SplitBy::Client => self
                .of_client(client)
                .map(|pool| (pool, 1.0))
                .into_iter()
                .collect(),
            SplitBy::Request => {
                let share = |share: &Share| f64::from(share.weight) / f64::from(self.total);
                (self.shares.iter())
                    .map(|it| (&it.pool, share(it)))
                    .collect()
            }
        }
    }

    fn of_client(&self, client: IpAddr) -> Option<&PoolId> {
        let client = client.to_canonical();
        let distance = |share: &Share| {
            let hash = match client {
                IpAddr::V4(address) => xxh3_64_with_seed(&address.octets(), share.seed),
                IpAddr::V6(address) => xxh3_64_with_seed(&address.octets(), share.seed),
            };
            // Between 0 and 1, neither included.
            let even = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
            -even.ln() / f64::from(share.weight)
        };
        let shares = self.shares.iter().map(|share| (distance(share), share));
        let nearest = shares.min_by(|(one, _), (other, _)| one.total_cmp(other));
        nearest.map(|(_, share)| &share.pool)
    }

    fn by_chance(&self, chance: &mut impl Rng) -> Option<&PoolId> {
        if self.total == 0 {
            return None;
        }
        let mut drawn = chance.random_range(0..self.total);
        let found = self.shares.iter().find(|share| {
            let is_it = drawn < share.weight;
            drawn = drawn.saturating_sub(share.weight);
            is_it
        });
        found.map(|share| &share.pool)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::Ipv4Addr;

    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    const CLIENTS: u32 = 40_000;

    fn split(weights: &[(&str, u16)], by: SplitBy) -> Split {
        let share = |(pool, weight): &(&str, u16)| model::Share {
            pool: pool.parse().expect("a name"),
            weight: *weight,
            unknown: model::Unknown::default(),
        };
        Split::compile(&model::Split {
            pools: weights.iter().map(share).collect(),
            by,
            unknown: model::Unknown::default(),
        })
    }

    fn chosen(split: &Split) -> Vec<String> {
        let mut chance = SmallRng::seed_from_u64(1);
        let clients = (0..CLIENTS).map(|number| IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number)));
        let choose = |client| {
            split
                .choose(client, &mut chance)
                .expect("a pool")
                .to_string()
        };
        clients.map(choose).collect()
    }

    fn shares(chosen: &[String]) -> HashMap<&str, f64> {
        let mut shares = HashMap::new();
        for pool in chosen {
            *shares.entry(pool.as_str()).or_default() += 1.0 / f64::from(CLIENTS);
        }
        shares
    }

    #[test]
    fn each_pool_gets_its_share() {
        for by in [SplitBy::Client, SplitBy::Request] {
            let chosen = chosen(&split(&[("a", 70), ("b", 25), ("c", 5), ("d", 0)], by));
            let shares = shares(&chosen);
            for (pool, expected) in [("a", 0.70), ("b", 0.25), ("c", 0.05)] {
                assert!((shares[pool] - expected).abs() < 0.01, "{by:?} {shares:?}");
            }
            assert!(!shares.contains_key("d"));
        }
    }

    #[test]
    fn no_more_clients_move_than_must_and_only_to_what_gained() {
        let before = chosen(&split(&[("a", 90), ("b", 10)], SplitBy::Client));
        let after = chosen(&split(&[("b", 20), ("a", 90)], SplitBy::Client));
        let moved: Vec<_> = before
            .iter()
            .zip(&after)
            .filter(|(one, other)| one != other)
            .collect();
        assert!(
            moved
                .iter()
                .all(|(one, other)| *one == "a" && *other == "b")
        );
        let share = moved.len() as f64 / f64::from(CLIENTS);
        assert!((share - (20.0 / 110.0 - 0.1)).abs() < 0.01, "{share}");
    }

    #[test]
    fn a_client_has_one_address_however_it_is_written() {
        let split = split(&[("a", 1), ("b", 1)], SplitBy::Client);
        for number in 0..64 {
            let v4 = Ipv4Addr::from(0x0a00_0000 + number);
            let mapped = IpAddr::V6(v4.to_ipv6_mapped());
            assert_eq!(split.of_client(v4.into()), split.of_client(mapped));
        }
    }

    #[test]
    fn every_version_finds_the_same_pool() {
        let split = split(&[("a", 1), ("b", 1), ("c", 2)], SplitBy::Client);
        let pools = ["10.0.0.1", "10.0.0.2", "192.0.2.7", "2001:db8::1"].map(|client| {
            let client = client.parse().expect("an address");
            split.of_client(client).expect("a pool").as_str()
        });
        assert_eq!(pools, ["c", "c", "b", "b"]);
    }
}
