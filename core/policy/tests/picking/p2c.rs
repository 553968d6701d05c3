//! Of two that chance chooses, the faster and less loaded one.

use std::time::Duration;

use model::Algorithm;
use policy::{InFlight, Outcome};

use crate::fixture::{Balancer, SECOND, State, index_of};

const MILLISECOND: Duration = Duration::from_millis(1);

/// Picks for so many requests, one at a time, each of which takes as long as its server does; counts who got how many.
fn serve(balancer: &mut Balancer, takes: &[Duration], count: usize) -> Vec<usize> {
    let mut counts = vec![0; takes.len()];
    for _ in 0..count {
        let flight = balancer.pick().expect("a server");
        assert!(flight.is_timed());
        balancer.now += 10 * MILLISECOND;
        let answered = Outcome::Answered { at: balancer.now };
        flight.took(takes[index_of(&flight)], balancer.now, answered);
        counts[index_of(&flight)] += 1;
    }
    counts
}

fn pool(count: usize) -> Balancer {
    Balancer::new(&State::of(Algorithm::P2c, &vec![1; count]), 11)
}

#[test]
fn the_faster_of_two_is_preferred() {
    let counts = serve(&mut pool(2), &[MILLISECOND, 20 * MILLISECOND], 1_000);
    assert!(counts[0] > 900 && counts[1] > 0, "{counts:?}");
}

#[test]
fn a_server_that_turns_slow_is_left_at_once_and_tried_again_as_time_passes() {
    let mut balancer = pool(3);
    serve(&mut balancer, &[MILLISECOND; 3], 300);
    let slow = [50 * MILLISECOND, MILLISECOND, MILLISECOND];
    let counts = serve(&mut balancer, &slow, 300);
    assert!(counts[0] <= 2, "{counts:?}");
    // It is fast again, and what it was counts less and less.
    balancer.now += 120 * SECOND;
    let counts = serve(&mut balancer, &[MILLISECOND; 3], 300);
    assert!(counts[0] > 50, "{counts:?}");
}

#[test]
fn a_server_that_fails_fast_does_not_look_fast() {
    let mut balancer = pool(2);
    serve(&mut balancer, &[MILLISECOND; 2], 100);
    let mut failed = 0;
    for _ in 0..1_000 {
        let flight = balancer.pick().expect("a server");
        balancer.now += MILLISECOND;
        let (took, outcome) = if index_of(&flight) == 0 {
            failed += 1;
            let failures = [Outcome::Failed, Outcome::GatewayError, Outcome::ServerError];
            (MILLISECOND / 10, failures[failed % failures.len()])
        } else {
            (MILLISECOND, Outcome::Answered { at: balancer.now })
        };
        flight.took(took, balancer.now, outcome);
    }
    assert!(failed < 100, "{failed} of 1000");
}

#[test]
fn what_is_abandoned_says_nothing_of_its_server() {
    let mut balancer = pool(2);
    serve(&mut balancer, &[MILLISECOND; 2], 100);
    let flight = balancer.pick().expect("a server");
    flight.took(60 * SECOND, balancer.now, Outcome::Abandoned);
    drop(flight);
    let counts = serve(&mut balancer, &[MILLISECOND; 2], 100);
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
}

#[test]
fn the_less_loaded_of_equally_fast_ones_is_preferred() {
    let mut balancer = pool(10);
    serve(&mut balancer, &[MILLISECOND; 10], 300);
    let _kept = balancer.keep(1_000);
    let loads = balancer.in_flight();
    assert!(
        loads.values().all(|load| (80..=120).contains(load)),
        "{loads:?}"
    );
}

#[test]
fn one_that_has_never_answered_gets_one_request_at_a_time_while_others_are_proven() {
    let mut state = State::of(Algorithm::P2c, &[1; 3]);
    let mut balancer = Balancer::new(&state, 5);
    serve(&mut balancer, &[MILLISECOND; 3], 100);
    state.put(3, |_| {});
    state.judge(3, model::Health::Up);
    balancer.follow(&state);
    let kept: Vec<InFlight> = balancer.keep(200);
    let new = kept.iter().filter(|flight| index_of(flight) == 3).count();
    assert_eq!(new, 1);
}

#[test]
fn what_was_measured_survives_a_change_of_membership() {
    let mut state = State::of(Algorithm::P2c, &[1; 2]);
    let mut balancer = Balancer::new(&state, 5);
    serve(&mut balancer, &[MILLISECOND, 50 * MILLISECOND], 100);
    state.put(2, |_| {});
    balancer.follow(&state);
    let counts = serve(&mut balancer, &[MILLISECOND, 50 * MILLISECOND], 20);
    assert!(counts[1] <= 1, "{counts:?}");
}

#[test]
fn nobody_else_wants_to_know_latencies_but_the_rule_that_compares_them() {
    let mut state = State::of(Algorithm::RoundRobin, &[1]);
    let mut balancer = Balancer::new(&state, 0);
    assert!(!balancer.pick().expect("a server").is_timed());
    state.change_pool(|pool| pool.outlier.latency_factor = 3.0);
    balancer.follow(&state);
    assert!(balancer.pick().expect("a server").is_timed());
}
