//! The fewest requests in flight, whoever looks.

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};

use model::Algorithm;
use policy::{InFlight, Table};
use proptest::prelude::*;

use crate::fixture::{Balancer, State, index_of};

const LEAST: Algorithm = Algorithm::LeastConnections;

/// A thread's view of a balancer's table.
fn of_thread(table: &Arc<Table>, seed: u64) -> Balancer {
    let mut thread = Balancer::new(&State::of(LEAST, &[]), seed);
    thread.table = Arc::clone(table);
    thread
}

fn spread(loads: &BTreeMap<String, u64>) -> u64 {
    let (least, most) = (loads.values().min(), loads.values().max());
    most.expect("a server") - least.expect("a server")
}

#[test]
fn threads_together_are_exact() {
    let main = Balancer::new(&State::of(LEAST, &[1; 7]), 3);
    let ready = Barrier::new(4);
    for _ in 0..20 {
        let kept: Vec<InFlight> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|seed| {
                    let (table, ready) = (&main.table, &ready);
                    scope.spawn(move || {
                        let mut thread = of_thread(table, seed);
                        // Flights that end in between, before those that are counted.
                        ready.wait();
                        for _ in 0..50 {
                            drop(thread.keep(5));
                        }
                        ready.wait();
                        thread.keep(251)
                    })
                })
                .collect();
            let kept = threads.into_iter();
            kept.flat_map(|thread| thread.join().expect("a thread"))
                .collect()
        });
        let loads = main.in_flight();
        assert_eq!(loads.values().sum::<u64>(), 1004);
        assert!(spread(&loads) <= 1, "{loads:?}");
        drop(kept);
        assert!(main.in_flight().values().all(|load| *load == 0));
    }
}

#[test]
fn threads_stay_exact_while_all_loads_are_taken_in_anew() {
    const THREADS: usize = 3;
    let main = Balancer::new(&State::of(LEAST, &[1; 7]), 3);
    let pool = main.table.route().expect("the pool");
    let kept: Vec<InFlight> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS as u64)
            .map(|seed| {
                let table = &main.table;
                scope.spawn(move || {
                    let mut thread = of_thread(table, seed);
                    for _ in 0..500 {
                        drop(thread.keep(20));
                    }
                    thread.keep(250)
                })
            })
            .collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            pool.rerank();
        }
        let kept = threads.into_iter();
        kept.flat_map(|thread| thread.join().expect("a thread"))
            .collect()
    });
    let loads = main.in_flight();
    assert_eq!(loads.values().sum::<u64>(), 750);
    assert_eq!(kept.len(), 750);
    let mut after = of_thread(&main.table, 9);
    let more = after.keep(6 + 7 * 10);
    assert_eq!(spread(&main.in_flight()), 0, "each is known as it is");
    drop((kept, more));
}

#[test]
fn weights_count() {
    let mut balancer = Balancer::new(&State::of(LEAST, &[1, 2, 5]), 0);
    let _kept = balancer.keep(80);
    let loads: Vec<u64> = balancer.in_flight().into_values().collect();
    assert_eq!(loads, [10, 20, 50]);
}

#[test]
fn an_idle_pool_is_used_evenly() {
    let mut balancer = Balancer::new(&State::of(LEAST, &[1; 4]), 2);
    let counts: Vec<usize> = balancer.picks(400).into_values().collect();
    assert_eq!(counts, [100; 4]);
}

#[test]
fn flights_of_an_older_table_are_known_when_they_begin_and_when_they_end() {
    let mut state = State::of(LEAST, &[1; 3]);
    let mut balancer = Balancer::new(&state, 0);
    let older = balancer.keep(9);
    state.put(3, |_| {});
    state.judge(3, model::Health::Up);
    balancer.follow(&state);
    let newer = balancer.keep(3);
    assert!(
        newer.iter().all(|flight| index_of(flight) == 3),
        "it was idle"
    );
    drop(older);
    let latest = balancer.keep(9);
    let on_the_new_one = latest.iter().filter(|flight| index_of(flight) == 3);
    assert_eq!(on_the_new_one.count(), 0);
    assert_eq!(spread(&balancer.in_flight()), 0);
}

#[test]
fn a_pool_that_is_given_the_algorithm_knows_what_began_before() {
    let mut state = State::of(Algorithm::RoundRobin, &[1; 2]);
    let mut balancer = Balancer::new(&state, 0);
    let mut early = balancer.keep(4);
    early.retain(|flight| index_of(flight) == 0);
    state.change_pool(|pool| pool.algorithm = LEAST);
    balancer.follow(&state);
    let kept = balancer.keep(2);
    assert!(kept.iter().all(|flight| index_of(flight) == 1));
    drop(early);
    let kept: Vec<InFlight> = kept.into_iter().chain(balancer.keep(2)).collect();
    assert_eq!(spread(&balancer.in_flight()), 0);
    drop(kept);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever is picked had no more in flight for its weight than any other, though servers come, go and change meanwhile.
    #[test]
    fn the_least_loaded_is_picked(
        weights in prop::collection::vec(1u16..=5, 2..10),
        steps in prop::collection::vec((0u8..10, any::<prop::sample::Index>(), 1u16..=5), 1..300),
        seed: u64,
    ) {
        let mut state = State::of(LEAST, &weights);
        let mut balancer = Balancer::new(&state, seed);
        let mut kept: Vec<InFlight> = Vec::new();
        let mut count = weights.len();
        for (step, index, weight) in steps {
            match step {
                0 => {
                    state.put(count, |server| server.weight = weight);
                    state.judge(count, model::Health::Up);
                    count += 1;
                    balancer.follow(&state);
                }
                1 if state.snapshot.servers.len() > 1 => {
                    let present = index.index(state.snapshot.servers.len());
                    let key = state.snapshot.servers.keys().nth(present).expect("a server").clone();
                    state.remove(key.server.as_str()[1..].parse().expect("a number"));
                    balancer.follow(&state);
                }
                2..=4 if !kept.is_empty() => drop(kept.swap_remove(index.index(kept.len()))),
                _ => {
                    let loads: Vec<(u64, u64)> = balancer.table.servers()
                        .map(|server| (server.live().in_flight(), u64::from(server.weight())))
                        .collect();
                    let flight = balancer.pick().expect("a server");
                    let (load, weight) = (flight.server().live().in_flight() - 1, u64::from(flight.server().weight()));
                    prop_assert!(loads.iter().all(|(other, others)| load * others <= other * weight), "{load}/{weight} among {loads:?}");
                    kept.push(flight);
                }
            }
        }
    }
}
