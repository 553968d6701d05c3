//! The registry's protocol against everything that may go wrong, on virtual time.
//!
//! Each schedule is made from one seed: a few balancers, orchestrators and operators around one registry, and
//! faults while they work. It ends in peace, and then every follower must equal the truth; on the way no
//! property of `ledger` may break. A seed that fails is printed, and replayed by
//! `ROUNDHOUSE_SIMULATION_SEED=<seed> cargo nextest run -p registry --test simulation`.

mod balancer;
mod call;
mod faults;
mod ledger;
mod network;
mod node;
mod operation;
mod orchestrator;
mod registry;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use world::World;

const SEED: &str = "ROUNDHOUSE_SIMULATION_SEED";
const SCHEDULES: &str = "ROUNDHOUSE_SIMULATION_SCHEDULES";

/// How many schedules are run where nothing says otherwise.
const SCHEDULES_DEFAULT: u64 = 2_000;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")),
    )
}

#[test]
fn every_schedule_ends_in_the_truth_and_keeps_every_promise_on_its_way() {
    if let Some(seed) = variable(SEED) {
        World::new(seed, true).run();
        return;
    }
    let schedules = variable(SCHEDULES).unwrap_or(SCHEDULES_DEFAULT);
    let next = AtomicU64::new(0);
    let failed = AtomicU64::new(u64::MAX);
    let work = || {
        while failed.load(Ordering::Relaxed) == u64::MAX {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= schedules {
                break;
            }
            if catch_unwind(AssertUnwindSafe(|| World::new(seed, false).run())).is_err() {
                failed.fetch_min(seed, Ordering::Relaxed);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let seed = failed.into_inner();
    assert!(seed == u64::MAX, "replay this schedule with {SEED}={seed}");
    assert!(next.into_inner() >= schedules);
}

#[test]
fn a_seed_is_the_same_schedule_each_time() {
    for seed in 0..20 {
        let run = || World::new(seed, false).run();
        assert_eq!(run(), run(), "seed {seed}");
    }
}
