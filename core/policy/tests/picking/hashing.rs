//! The same key goes to the same server, at every balancer, as long as it can.

use model::{Algorithm, Health};
use policy::{InFlight, Tried, hash_key};
use proptest::prelude::*;

use crate::fixture::{Balancer, State, index_of};

const HASH: Algorithm = Algorithm::Hash;

fn bounded(bound: f64, weights: &[u16]) -> State {
    let mut state = State::of(HASH, weights);
    state.change_pool(|pool| pool.hash.bound = bound);
    state
}

/// Every server in the order in which a key would have them.
fn order(balancer: &mut Balancer, hash: u64) -> Vec<usize> {
    let mut tried = Tried::default();
    let mut order = Vec::new();
    while let Some(flight) = balancer.pick_for(hash, &tried) {
        tried.add(flight.server().live());
        order.push(index_of(&flight));
    }
    order
}

/// The server of each of so many keys.
fn owners(balancer: &mut Balancer, keys: u64) -> Vec<usize> {
    let keys = (0..keys).map(|key| hash_key(&key.to_le_bytes()));
    keys.map(|hash| {
        let flight = balancer.pick_for(hash, &Tried::default());
        index_of(&flight.expect("a server"))
    })
    .collect()
}

#[test]
fn balancers_with_different_pasts_agree() {
    let weights = [1, 2, 1, 4, 1, 1, 3, 1, 1];
    let state = State::of(HASH, &weights);
    // One has seen other servers come and go, and chance has been different.
    let mut before = State::of(HASH, &[1; 20]);
    let mut long_running = Balancer::new(&before, 7);
    long_running.picks(100);
    before.remove(3);
    long_running.follow(&before);
    long_running.follow(&state);
    let mut fresh = Balancer::new(&state, 99);
    assert_eq!(owners(&mut long_running, 5_000), owners(&mut fresh, 5_000));
    for hash in 0..100 {
        let hash = hash_key(&[hash]);
        assert_eq!(order(&mut long_running, hash), order(&mut fresh, hash));
    }
}

#[test]
fn a_key_is_where_it_always_was() {
    // A fleet that is upgraded has balancers of two versions: these must not change.
    let mut balancer = Balancer::new(&State::of(HASH, &[1, 1, 1, 1, 1]), 0);
    let places: Vec<usize> = [
        "alice",
        "bob",
        "carol",
        "dave",
        "eve",
        "/a",
        "/b",
        "192.0.2.1",
    ]
    .map(|key| {
        let flight = balancer.pick_for(hash_key(key.as_bytes()), &Tried::default());
        index_of(&flight.expect("a server"))
    })
    .into();
    assert_eq!(places, [0, 4, 4, 0, 3, 2, 0, 1]);
}

#[test]
fn a_server_that_goes_down_takes_nobody_elses_keys_along() {
    let mut state = State::of(HASH, &[1; 10]);
    let mut balancer = Balancer::new(&state, 0);
    let before = owners(&mut balancer, 20_000);
    state.judge(4, Health::Down);
    balancer.follow(&state);
    let after = owners(&mut balancer, 20_000);
    let moved = before
        .iter()
        .zip(&after)
        .filter(|(one, other)| one != other);
    let moved: Vec<_> = moved.collect();
    assert!(moved.iter().all(|(one, _)| **one == 4));
    assert!(
        (1_400..=2_400).contains(&moved.len()),
        "{} of 20000",
        moved.len()
    );
    state.judge(4, Health::Up);
    balancer.follow(&state);
    assert_eq!(owners(&mut balancer, 20_000), before);
}

/// So many a server may have in flight whatever its share is.
const FREE: usize = 8;

#[test]
fn a_key_that_everybody_asks_for_goes_on_to_the_next_server_of_its_order() {
    let mut balancer = Balancer::new(&bounded(1.25, &[1; 5]), 0);
    let hash = hash_key(b"hot");
    let order = order(&mut balancer, hash);
    let flights: Vec<InFlight> = (0..=4 * FREE)
        .map(|_| balancer.pick_for(hash, &Tried::default()))
        .map(|flight| flight.expect("a server"))
        .collect();
    let picked: Vec<usize> = flights.iter().map(index_of).collect();
    // 1.25 times a fifth of 33 is more than 8, so the first has room again.
    let places = [0, 1, 2, 3].map(|place| [order[place]; FREE]);
    let expected: Vec<usize> = places.concat().into_iter().chain([order[0]]).collect();
    assert_eq!(picked, expected);
}

#[test]
fn what_ends_makes_room_within_the_bound() {
    let mut balancer = Balancer::new(&bounded(1.25, &[1; 5]), 0);
    let hash = hash_key(b"hot");
    let owner = order(&mut balancer, hash)[0];
    let pick = |balancer: &mut Balancer| {
        let flight = balancer.pick_for(hash, &Tried::default());
        flight.expect("a server")
    };
    let mut kept: Vec<InFlight> = (0..FREE).map(|_| pick(&mut balancer)).collect();
    assert!(kept.iter().all(|flight| index_of(flight) == owner));
    assert_ne!(index_of(&pick(&mut balancer)), owner);
    drop(kept.pop());
    assert_eq!(index_of(&pick(&mut balancer)), owner);
}

#[test]
fn where_the_bound_leaves_no_room_requests_are_served_all_the_same() {
    let mut state = bounded(1.01, &[1, 1]);
    let mut balancer = Balancer::new(&state, 0);
    let mut tried = Tried::default();
    tried.add(balancer.table.servers().next().expect("a server").live());
    let flights: Vec<_> = (0..40)
        .map(|hash| balancer.pick_for(hash, &tried))
        .collect();
    assert!(flights.iter().all(Option::is_some));
    // Those in flight are still counted after a change: a third of them is more than what is free.
    state.put(2, |_| {});
    state.judge(2, Health::Up);
    balancer.follow(&state);
    let next: Vec<InFlight> = (0..12)
        .map(|_| balancer.pick_for(1, &Tried::default()))
        .map(|flight| flight.expect("a server"))
        .collect();
    let first = index_of(&next[0]);
    assert!(first != 1 && next.iter().all(|flight| index_of(flight) == first));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is asked for and however unevenly, nobody has more than its bound when it is picked.
    #[test]
    fn the_bound_holds(
        weights in prop::collection::vec(1u16..=5, 1..40),
        bound in 1.01f64..3.0,
        keys in prop::collection::vec(0u8..4, 1..600),
        seed: u64,
    ) {
        let mut balancer = Balancer::new(&bounded(bound, &weights), seed);
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        let mut flights: Vec<InFlight> = Vec::new();
        for (count, key) in keys.into_iter().enumerate() {
            if count % 3 == 2 {
                drop(flights.swap_remove(usize::from(key) % flights.len()));
            }
            let flight = balancer.pick_for(hash_key(&[key]), &Tried::default()).expect("a server");
            flights.push(flight);
            let flight = flights.last().expect("the flight");
            let fair = flights.len() as f64 * f64::from(flight.server().weight()) / total;
            let load = flight.server().live().in_flight();
            // Computed in another order of operations, so a hair's breadth is allowed.
            let most = (bound * fair + 1e-9).ceil().max(FREE as f64);
            prop_assert!(load as f64 <= most, "{load} where {fair} is fair");
        }
    }
}
