//! Breaks one thing at a time, and then two, under a fleet of real processes with a steady load.
//!
//! No fault of Redis or of an orchestrator costs a request: that is what each scene here looks at. A scene (`scene`) has a stage of its own
//! (`stage`): a real Redis, and the built `roundhouse` in its roles, each with a way to Redis (`proxy`) that can be spoiled. An open-loop
//! client (`load`) records every request, and an operator (`operator`) changes the membership all the while and remembers what was
//! acknowledged. The table of faults (`table`) says for each how it breaks, how it heals, what is expected, and which requests may fail: none,
//! but for those of the clients of a balancer that the fault itself took away. After the healing it is measured how long it takes until every
//! balancer's table equals the registry's content (`equal`).
//!
//! The tests here play each fault once, for a few seconds. `scripts/faults --rounds N` plays each for its whole time, then `N` pairs by
//! chance, and writes `docs/faults.md`. What this machine cannot do (set a clock, mount a small disk) is skipped, and said.
//! `ROUNDHOUSE_FAULTS_ONLY=words` plays only the faults with these words in their names.

mod clock;
mod equal;
mod load;
mod member;
mod operator;
mod proxy;
mod report;
mod run;
mod scene;
#[path = "../shared/mod.rs"]
mod shared;
mod stage;
mod table;

use run::{long_form, play_each};
use table::{BALANCERS, ORCHESTRATORS, REDIS, WAYS};

#[test]
fn no_fault_of_redis_costs_a_request() {
    play_each(REDIS);
}

#[test]
fn no_fault_of_the_ways_to_redis_costs_a_request() {
    play_each(WAYS);
}

#[test]
fn no_fault_of_an_orchestrator_costs_a_request() {
    play_each(ORCHESTRATORS);
}

#[test]
fn a_balancer_that_dies_costs_its_own_clients_alone() {
    play_each(BALANCERS);
}

#[test]
#[ignore = "it takes minutes: scripts/faults runs it"]
fn each_fault_for_its_whole_time_and_pairs_by_chance() {
    long_form();
}
