//! A server that has just come up gets its share little by little.

use std::collections::BTreeMap;

use model::{Algorithm, Health};
use policy::{Tried, hash_key};

use crate::fixture::{Balancer, SECOND, State, index_of};

/// A pool of two, whose slow start takes 20 seconds.
fn slow(algorithm: Algorithm) -> State {
    let mut state = State::of(algorithm, &[1, 1]);
    state.change_pool(|pool| pool.slow_start = 20 * SECOND);
    state
}

/// A balancer that has run for a while when a third server comes up.
fn joined(algorithm: Algorithm) -> (State, Balancer) {
    let mut state = slow(algorithm);
    let mut balancer = Balancer::new(&state, 1);
    balancer.now = 100 * SECOND;
    state.put(2, |_| {});
    balancer.follow(&state);
    state.judge(2, Health::Up);
    balancer.follow(&state);
    (state, balancer)
}

fn of_new(counts: &BTreeMap<usize, usize>) -> usize {
    counts.get(&2).copied().unwrap_or(0)
}

#[test]
fn servers_that_were_up_when_the_balancer_started_get_all_of_their_share() {
    let balancer = Balancer::new(&slow(Algorithm::RoundRobin), 1);
    assert_eq!(balancer.table.grows_at(), None);
    let (_, mut balancer) = joined(Algorithm::RoundRobin);
    let counts = balancer.picks(210);
    assert_eq!((counts[&0], counts[&1]), (100, 100));
}

#[test]
fn it_begins_with_a_tenth_and_grows_evenly() {
    let (state, mut balancer) = joined(Algorithm::RoundRobin);
    assert_eq!(of_new(&balancer.picks(2_100)), 100, "a tenth");
    for (second, percent) in [(1, 14), (10, 55), (19, 95), (20, 100)] {
        balancer.now = (100 + second) * SECOND;
        balancer.follow(&state);
        let count = of_new(&balancer.picks((200 + percent) * 10));
        assert_eq!(count, percent * 10, "after {second} s");
    }
    assert_eq!(balancer.table.grows_at(), None, "it has all of its share");
}

#[test]
fn the_table_says_when_weights_should_have_grown() {
    let (_, balancer) = joined(Algorithm::RoundRobin);
    assert_eq!(balancer.table.grows_at(), Some(101 * SECOND));
}

#[test]
fn it_survives_changes_of_membership() {
    let (mut state, mut balancer) = joined(Algorithm::RoundRobin);
    balancer.now = 110 * SECOND;
    state.put(2, |server| server.zone = "b".into());
    state.put(3, |server| server.weight = 0);
    balancer.follow(&state);
    assert_eq!(of_new(&balancer.picks(2_550)), 550);
}

#[test]
fn one_that_recovers_begins_anew() {
    let (mut state, mut balancer) = joined(Algorithm::RoundRobin);
    balancer.now = 200 * SECOND;
    state.judge(2, Health::Down);
    balancer.follow(&state);
    balancer.now = 210 * SECOND;
    state.judge(2, Health::Up);
    balancer.follow(&state);
    assert_eq!(of_new(&balancer.picks(2_100)), 100);
}

#[test]
fn an_idle_new_server_is_not_flooded_by_least_connections() {
    let (_, mut balancer) = joined(Algorithm::LeastConnections);
    let kept = balancer.keep(210);
    let new = kept.iter().filter(|flight| index_of(flight) == 2).count();
    assert_eq!(new, 10);
    drop(kept);
    let counts = balancer.picks(2_100);
    assert!((95..=105).contains(&of_new(&counts)), "{counts:?}");
}

#[test]
fn chance_counts_what_it_has_by_now() {
    let (_, mut balancer) = joined(Algorithm::Random);
    let counts = balancer.picks(21_000);
    assert!((850..=1_150).contains(&of_new(&counts)), "{counts:?}");
}

#[test]
fn a_hash_finds_the_same_server_at_balancers_that_saw_it_come_up_at_different_times() {
    for algorithm in [Algorithm::IpHash, Algorithm::Hash] {
        let (state, mut earlier) = joined(algorithm);
        assert_eq!(earlier.table.grows_at(), None);
        let mut later = Balancer::new(&state, 2);
        for key in 0..1_000_u32 {
            let hash = hash_key(&key.to_le_bytes());
            let owner = |balancer: &mut Balancer| {
                let flight = balancer.pick_for(hash, &Tried::default());
                index_of(&flight.expect("a server"))
            };
            assert_eq!(owner(&mut earlier), owner(&mut later), "{key}");
        }
    }
}
