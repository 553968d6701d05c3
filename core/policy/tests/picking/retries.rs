//! Requests that are tried again, where servers that were created one after the other fail together.

use std::ops::Range;

use model::Algorithm;
use policy::{Outcome, Tried};
use proptest::prelude::*;

use crate::fixture::{ALGORITHMS, Balancer, State, index_of};

const SERVERS: usize = 1_000;

/// What came of requests that were made up to three times each.
#[derive(Debug, Default)]
struct Course {
    /// Tries beyond each request's first.
    retries: usize,
    /// Those of them that met a failing server.
    failed_retries: usize,
}

/// One after the other, while these servers fail at once.
fn course(balancer: &mut Balancer, failing: &Range<usize>, requests: u64) -> Course {
    let mut course = Course::default();
    for request in 0..requests {
        let mut tried = Tried::default();
        for attempt in 0..3 {
            let hash = policy::hash_key(&request.to_be_bytes());
            let mut flight = balancer.pick_for(hash, &tried).expect("a server");
            let fails = failing.contains(&index_of(&flight));
            course.retries += usize::from(attempt > 0);
            course.failed_retries += usize::from(attempt > 0 && fails);
            if !fails {
                flight.note(Outcome::Answered { at: balancer.now });
                break;
            }
            flight.note(Outcome::Failed);
            tried.add(flight.server().live());
        }
    }
    course
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// A tenth of all fails, so that retries by chance fail so often, or twice as often where the better of two is taken and what fails
    /// looks idle.
    #[test]
    fn a_retry_does_not_walk_along_neighbours_that_fail(first in 0..SERVERS - 100, seed: u64) {
        let courses = ALGORITHMS.map(|algorithm| {
            let mut balancer = Balancer::new(&State::of(algorithm, &[1; SERVERS]), seed);
            (algorithm, course(&mut balancer, &(first..first + 100), 3_000))
        });
        prop_assert!(courses.iter().all(|(_, course)| course.retries > 100), "{courses:?}");
        let walk = |course: &Course| 4 * course.failed_retries >= course.retries;
        let walkers: Vec<_> = courses.iter().filter(|(_, course)| walk(course)).collect();
        prop_assert!(walkers.is_empty(), "{walkers:?}");
    }
}

#[test]
fn first_tries_keep_their_turns_however_many_others_are_tried_again() {
    let mut balancer = Balancer::new(&State::of(Algorithm::RoundRobin, &[3, 2, 1]), 0);
    let mut firsts = [0; 3];
    for _ in 0..600 {
        let first = balancer.pick().expect("a server");
        firsts[index_of(&first)] += 1;
        let mut tried = Tried::default();
        tried.add(first.server().live());
        let again = balancer.pick_for(0, &tried).expect("another");
        assert_ne!(index_of(&again), index_of(&first));
    }
    assert_eq!(firsts, [300, 200, 100]);
}
