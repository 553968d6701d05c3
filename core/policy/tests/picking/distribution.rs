//! Requests are shared by the weights, whatever else an algorithm looks at.

use model::{Algorithm, Health};
use policy::Tried;
use proptest::prelude::*;

use crate::fixture::{ALGORITHMS, Balancer, State, index_of};

fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(ALGORITHMS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn chance_follows_the_weights(weights in prop::collection::vec(1u16..=10, 1..12), seed: u64) {
        const PICKS: usize = 20_000;
        let mut balancer = Balancer::new(&State::of(Algorithm::Random, &weights), seed);
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        let counts = balancer.picks(PICKS);
        for (index, weight) in weights.iter().enumerate() {
            let expected = PICKS as f64 * f64::from(*weight) / total;
            let count = counts.get(&index).copied().unwrap_or(0) as f64;
            // Six deviations: once in a hundred million servers.
            prop_assert!((count - expected).abs() < 6.0 * expected.sqrt() + 1.0, "{count} instead of {expected}");
        }
    }

    /// Where all of them answer, but those tried, draining, down or without weight do not.
    #[test]
    fn only_those_that_may_be_are_picked_and_all_of_them_can_be(
        algorithm in any_algorithm(),
        weights in prop::collection::vec(0u16..=3, 1..20),
        down in prop::collection::vec(any::<bool>(), 20),
        used in prop::collection::vec(any::<bool>(), 20),
        hash: u64,
        seed: u64,
    ) {
        let mut state = State::of(algorithm, &weights);
        state.change_pool(|pool| pool.panic_threshold = 0.0);
        for index in (0..weights.len()).filter(|index| down[*index]) {
            state.judge(index, Health::Down);
        }
        let mut balancer = Balancer::new(&state, seed);
        let mut tried = Tried::default();
        let mut expected = Vec::new();
        for (index, server) in balancer.table.route().expect("the pool").servers().iter().enumerate() {
            if weights[index] == 0 || down[index] {
                continue;
            }
            // A request remembers eleven.
            if used[index] && index < 11 {
                tried.add(server.live());
            } else {
                expected.push(index);
            }
        }
        let mut picked = Vec::new();
        for _ in 0..expected.len() {
            let flight = balancer.pick_for(hash, &tried);
            prop_assert!(flight.is_some(), "{algorithm:?} finds nobody of {expected:?}");
            picked.extend(flight);
            let indices: Vec<usize> = picked.iter().map(index_of).collect();
            prop_assert!(indices.iter().all(|index| expected.contains(index)), "{algorithm:?} {indices:?}");
        }
        let has_another = balancer.table.route().expect("the pool").has_another(&tried);
        prop_assert_eq!(has_another, !expected.is_empty());
        if expected.is_empty() {
            prop_assert!(balancer.pick_for(hash, &tried).is_none());
        }
    }

    #[test]
    fn a_request_that_is_tried_again_gets_to_every_server_once(
        algorithm in any_algorithm(),
        weights in prop::collection::vec(prop_oneof![Just(1u16), Just(1000)], 1..11),
        hash: u64,
        seed: u64,
    ) {
        let mut balancer = Balancer::new(&State::of(algorithm, &weights), seed);
        let mut tried = Tried::default();
        let mut seen = Vec::new();
        while let Some(flight) = balancer.pick_for(hash, &tried) {
            tried.add(flight.server().live());
            seen.push(index_of(&flight));
        }
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..weights.len()).collect::<Vec<_>>(), "{:?}", algorithm);
    }
}

#[test]
fn balancers_of_a_fleet_begin_their_turns_at_different_servers() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastConnections] {
        let state = State::of(algorithm, &[1; 5]);
        let firsts: Vec<usize> = (0..5)
            .map(|seed| {
                let mut balancer = Balancer::new(&state, seed);
                index_of(&balancer.pick().expect("a server"))
            })
            .collect();
        assert_eq!(firsts, [0, 1, 2, 3, 4], "{algorithm:?}");
    }
}
