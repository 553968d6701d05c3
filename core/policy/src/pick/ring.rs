//! Which server a key belongs to: multi-probe consistent hashing (Appleton and O'Reilly, 2015) on a ring, with weights.
//!
//! Each server has a few points on a ring; a key is put on it several times, and belongs to the server whose point follows one of the
//! key's most closely, for that server's weight. Several probes make the shares even without hundreds of points for each server: with
//! eight, none exceeds 8/7 of its fair share. Where a server goes, its keys alone go elsewhere, wherever they would have gone had it never
//! been there; where a weight grows, keys move to that server alone. So no other server's number, order of arrival or past matters,
//! and every balancer finds the same.
//!
//! The hash of `pool/server` (XXH3, 64 bits, no seed) gives a server's points, and the key's hash its probes: each the upper or lower half of
//! SplitMix64's outputs for it. Servers whose weights differ by less than `CLASS` share one sorted list of points, so that no search
//! has to go far beyond the first point that it finds.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::Server;
use crate::tier::Member;

/// Points of each server: how even the shares are, against memory.
const POINTS: usize = 16;

/// Probes of each key; with `k` of them nobody has more than `k / (k - 1)` of its fair share.
const PROBES: usize = 8;

/// How many points share one entry of the index, about.
const POINTS_PER_START: usize = 1;

/// Weights in one list differ by less than this factor.
const CLASS: u32 = 4;

#[derive(Debug)]
pub(crate) struct Ring {
    lists: Vec<List>,
    /// By place.
    weights: Vec<u32>,
}

/// The points of servers of about the same weight.
#[derive(Debug)]
struct List {
    /// In the order of the ring.
    points: Vec<Point>,
    /// For each part of the ring, the first point in it or after it.
    starts: Vec<u32>,
    /// What is left of a position's bits says its part.
    shift: u32,
    heaviest: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    position: u32,
    place: u32,
}

/// The nearest point found so far.
#[derive(Debug, Clone, Copy)]
struct Nearest {
    distance: u32,
    weight: u32,
    place: u32,
}

impl Nearest {
    /// Farther than any point.
    const NONE: Self = Self {
        distance: u32::MAX,
        weight: 0,
        place: u32::MAX,
    };

    /// Whether a point at this distance, of a server of this weight, is nearer.
    fn yields_to(&self, distance: u32, weight: u32) -> bool {
        u64::from(distance) * u64::from(self.weight) < u64::from(self.distance) * u64::from(weight)
    }
}

impl Ring {
    /// A ring of these members, whose names are hashed so.
    pub(super) fn new(members: &[Member], hash_of: impl Fn(&Member) -> u64) -> Self {
        let mut classes: Vec<Vec<Point>> = Vec::new();
        for (place, member) in members.iter().enumerate() {
            let class = member.weight.ilog(CLASS) as usize;
            classes.resize(classes.len().max(class + 1), Vec::new());
            let place = u32::try_from(place).expect("fewer servers than a u32 counts");
            let points = positions::<POINTS>(hash_of(member));
            classes[class].extend(points.map(|position| Point { position, place }));
        }
        let weights: Vec<u32> = members.iter().map(|member| member.weight).collect();
        let filled = classes.into_iter().filter(|points| !points.is_empty());
        Self {
            lists: filled.map(|points| List::new(points, &weights)).collect(),
            weights,
        }
    }

    /// A ring of these members of a pool's servers.
    pub(crate) fn of_servers(members: &[Member], servers: &[Arc<Server>]) -> Self {
        Self::new(members, |member| {
            let key = servers[member.index].key();
            hash_of_name(key.pool.as_str(), key.server.as_str())
        })
    }

    /// The place that a key belongs to, were it not for those that are left out.
    pub(crate) fn find(&self, key: u64, left_out: &[u32]) -> Option<usize> {
        let mut nearest = Nearest::NONE;
        for list in &self.lists {
            for probe in positions::<PROBES>(key) {
                list.search(probe, &self.weights, left_out, &mut nearest);
            }
        }
        (nearest.weight > 0).then_some(nearest.place as usize)
    }
}

impl List {
    fn new(mut points: Vec<Point>, weights: &[u32]) -> Self {
        points.sort_unstable();
        let parts = (points.len() / POINTS_PER_START).next_power_of_two();
        let bits = parts.ilog2();
        let start = |part: usize| {
            let position = (part as u64) << (32 - bits);
            points.partition_point(|point| u64::from(point.position) < position)
        };
        let starts = (0..parts).map(|part| start(part) as u32).collect();
        let heaviest = points.iter().map(|point| weights[point.place as usize]);
        Self {
            starts,
            shift: 32 - bits,
            heaviest: heaviest.max().unwrap_or(0),
            points,
        }
    }

    /// Looks for a point that follows the probe more closely than the nearest so far.
    fn search(&self, probe: u32, weights: &[u32], left_out: &[u32], nearest: &mut Nearest) {
        let mut at = self.first_after(probe);
        for _ in 0..self.points.len() {
            let point = self.points.get(at).unwrap_or(&self.points[0]);
            at = if at < self.points.len() { at + 1 } else { 1 };
            let distance = point.position.wrapping_sub(probe);
            if !nearest.yields_to(distance, self.heaviest) {
                return;
            }
            if left_out.contains(&point.place) {
                continue;
            }
            let weight = weights[point.place as usize];
            if nearest.yields_to(distance, weight) {
                *nearest = Nearest {
                    distance,
                    weight,
                    place: point.place,
                };
            }
        }
    }

    /// The index of the first point at a position or after it; their number where there is none before the ring's end.
    fn first_after(&self, position: u32) -> usize {
        let part = u64::from(position) >> self.shift;
        let start = self.starts[part as usize] as usize;
        let rest = self.points[start..].iter();
        start + rest.take_while(|point| point.position < position).count()
    }
}

/// Positions on the ring that a hash stands for.
fn positions<const COUNT: usize>(hash: u64) -> [u32; COUNT] {
    std::array::from_fn(|index| {
        let word = mix(hash, index as u64 / 2);
        (word >> (32 * (index % 2))) as u32
    })
}

/// One output of SplitMix64.
fn mix(seed: u64, index: u64) -> u64 {
    let step = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let word = seed.wrapping_add(step);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The hash of a key, the same in every process: XXH3, 64 bits, no seed.
pub fn hash_key(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// The hash of what a server is called.
fn hash_of_name(pool: &str, server: &str) -> u64 {
    let mut name = String::with_capacity(pool.len() + 1 + server.len());
    name.push_str(pool);
    name.push('/');
    name.push_str(server);
    hash_key(name.as_bytes())
}

#[cfg(test)]
mod tests;
