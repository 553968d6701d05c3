//! What the other balancers of a fleet have in flight to a server, as far as it can be known, and damped.
//!
//! Their numbers are up to a period old when they come, and all balancers see the same ones: if each sent its next requests to whoever
//! had least a second ago, all of them would, at once. Three things are against that. The sum of what the others have follows the reports
//! with a half-life, so that no single one moves it far. It is divided by the number of all balancers before it is added to what is in
//! flight here, so that the sum over the fleet is not what decides: one request in flight here weighs as much as one for each balancer
//! there. Whoever sends where the others seem to send little, assumes that they do the same. And a report that is not renewed fades
//! until it counts nothing.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use model::{Revision, ServerKey, ServerLoad};

use crate::Table;
use crate::server::LOAD_PARTS;

/// What another balancer has said.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    pub age: Duration,
    /// Requests in flight to each server; those without are left out.
    pub loads: &'a BTreeMap<ServerKey, ServerLoad>,
}

/// When what is told counts how much.
#[derive(Debug, Clone, Copy)]
pub struct Fading {
    /// Up to this age it counts in full.
    pub fresh: Duration,
    /// From this age on it does not count.
    pub gone: Duration,
    /// The time in which the difference between what is told and what counts is halved.
    pub half_life: Duration,
}

/// The damped sums of what the others have.
#[derive(Debug, Default)]
pub struct Elsewhere {
    sums: HashMap<(ServerKey, Revision), f64>,
}

impl Elsewhere {
    /// Takes in what all the others say `elapsed` after this was last called, and tells the servers of those pools of the table that
    /// compare by it. All others are told that there is nothing.
    pub fn take_in(&mut self, told: &[Told<'_>], fading: Fading, elapsed: Duration, table: &Table) {
        let others: f64 = told.iter().map(|one| fading.counts(one.age)).sum();
        let before = std::mem::take(&mut self.sums);
        for pool in table.pools() {
            let compares = pool.compares_by_fleet();
            for server in pool.servers() {
                let live = server.live();
                if !compares {
                    live.set_elsewhere(0);
                    continue;
                }
                let known = (live.key().clone(), live.incarnation());
                let sum = fading.sum(told, &known);
                let damped = fading.follow(before.get(&known).copied(), sum, elapsed);
                live.set_elsewhere(parts(damped / (others + 1.0)));
                self.sums.insert(known, damped);
            }
            if compares {
                pool.rerank();
            }
        }
    }
}

impl Fading {
    /// How much what is so old counts: 0 to 1.
    fn counts(&self, age: Duration) -> f64 {
        let left = self.gone.saturating_sub(age).as_secs_f64();
        let span = self.gone.saturating_sub(self.fresh).as_secs_f64();
        (left / span.max(f64::EPSILON)).min(1.0)
    }

    /// What all say of an incarnation of a server.
    fn sum(&self, told: &[Told<'_>], known: &(ServerKey, Revision)) -> f64 {
        let load = |one: &Told<'_>| {
            let load = one.loads.get(&known.0);
            let load = load.filter(|load| load.incarnation == known.1)?;
            Some(load.in_flight as f64 * self.counts(one.age))
        };
        told.iter().filter_map(load).sum()
    }

    /// Where there was nothing before, what is told is believed at once.
    fn follow(&self, before: Option<f64>, sum: f64, elapsed: Duration) -> f64 {
        let before = before.unwrap_or(sum);
        let halves = elapsed.as_secs_f64() / self.half_life.as_secs_f64().max(f64::EPSILON);
        sum + (before - sum) * (-halves).exp2()
    }
}

/// A load in the parts that loads are compared in.
fn parts(load: f64) -> u64 {
    // A float becomes the nearest integer that there is.
    (load * LOAD_PARTS as f64).round() as u64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{Algorithm, PoolId, Stamped};

    use super::*;
    use crate::testing::snapshot;

    const SECOND: Duration = Duration::from_secs(1);
    const FADING: Fading = Fading {
        fresh: SECOND,
        gone: Duration::from_secs(3),
        half_life: SECOND,
    };

    fn table(algorithm: Algorithm) -> Table {
        let mut pool = model::Pool::new(PoolId::standard());
        pool.algorithm = algorithm;
        let mut snapshot = snapshot(pool);
        let address = "10.0.0.1:80".parse().unwrap();
        let server = model::Server::new(PoolId::standard(), "a".parse().unwrap(), address);
        let key = server.key();
        let server = Stamped::new(Revision(2), server);
        snapshot.servers.insert(key, Arc::new(server));
        Table::compile(&snapshot, &Table::default(), 0, Duration::ZERO)
    }

    fn loads(incarnation: u64, in_flight: u64) -> BTreeMap<ServerKey, ServerLoad> {
        let load = ServerLoad {
            incarnation: Revision(incarnation),
            in_flight,
            sticky: false,
        };
        [("default/a".parse().unwrap(), load)].into()
    }

    fn elsewhere(table: &Table) -> u64 {
        table.servers().next().unwrap().live().elsewhere()
    }

    fn told(age: Duration, loads: &BTreeMap<ServerKey, ServerLoad>) -> Told<'_> {
        Told { age, loads }
    }

    #[test]
    fn the_sum_is_shared_among_all_balancers() {
        let table = table(Algorithm::FleetLeastConnections);
        let (one, other) = (loads(2, 8), loads(2, 4));
        let told = [told(Duration::ZERO, &one), told(SECOND, &other)];
        Elsewhere::default().take_in(&told, FADING, SECOND, &table);
        assert_eq!(elsewhere(&table), 400, "12 at the others, of three in all");
    }

    #[test]
    fn a_change_is_followed_by_halves() {
        let table = table(Algorithm::FleetLeastConnections);
        let mut known = Elsewhere::default();
        let (few, many) = (loads(2, 0), loads(2, 8));
        let mut seen = Vec::new();
        for loads in [&few, &many, &many, &many] {
            known.take_in(&[told(Duration::ZERO, loads)], FADING, SECOND, &table);
            seen.push(elsewhere(&table));
        }
        assert_eq!(seen, [0, 200, 300, 350]);
    }

    #[test]
    fn what_is_not_renewed_fades_until_it_counts_nothing() {
        let table = table(Algorithm::FleetLeastConnections);
        let loads = loads(2, 8);
        let mut seen = Vec::new();
        for age in [0, 1, 2, 3, 60] {
            let told = [told(age * SECOND, &loads)];
            Elsewhere::default().take_in(&told, FADING, SECOND, &table);
            seen.push(elsewhere(&table));
        }
        // Half of it, at half a balancer beside this one, and then nothing.
        assert_eq!(seen, [400, 400, 267, 0, 0]);
    }

    #[test]
    fn what_is_said_of_another_incarnation_says_nothing() {
        let table = table(Algorithm::FleetLeastConnections);
        let loads = loads(1, 8);
        let told = [told(Duration::ZERO, &loads)];
        Elsewhere::default().take_in(&told, FADING, SECOND, &table);
        assert_eq!(elsewhere(&table), 0);
    }

    #[test]
    fn only_pools_that_compare_by_the_fleet_are_told() {
        let table = table(Algorithm::LeastConnections);
        table.servers().next().unwrap().live().set_elsewhere(7);
        let loads = loads(2, 8);
        let told = [told(Duration::ZERO, &loads)];
        Elsewhere::default().take_in(&told, FADING, SECOND, &table);
        assert_eq!(elsewhere(&table), 0);
    }
}
