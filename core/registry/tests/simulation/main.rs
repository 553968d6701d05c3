//! The registry's protocol against everything that may go wrong, on virtual time.
//!
//! Each schedule is made from one seed: a few balancers, orchestrators and operators around one registry, and
//! faults while they work: `faults` names them all. It ends in peace, and then every follower must equal the truth,
//! and every balancer work with it, within a bounded time. On the way
//!
//! - no two leaders are sure of themselves at once, unless the registry forgot the first, and never do the writes of
//!   two take effect out of order (`leading`, `check_leader`, `Ledger::committed`);
//! - no change takes effect twice, or over another state than its author knew, and no server is without its pool
//!   (`check_commit`, `check_servers`);
//! - no revision is applied out of its history's order (`check_step`, `check_jump`), and whoever says to be up to date
//!   has all that was announced (`check_listeners`);
//! - no table is in use that no revision had, but for what is said to be held (`check_table`), nor is a registry
//!   ever made anew of such a one, or too early (`Ledger::seeded`, `listed`);
//! - where withdrawals are guarded, no pool loses all its servers at once but by an operator (`check_withdrawals`);
//! - what a failover lost is made again, over no later change (`check_replay`, `check_replayed`);
//! - no wait is answered while a request can still go out to what it waited for (`check_answer`);
//! - nobody is forgotten who was not silent for long.
//!
//! A seed that fails is printed, and replayed by
//! `ROUNDHOUSE_SIMULATION_SEED=<seed> cargo nextest run -p registry -E 'binary(simulation)' --no-capture`.

mod balancer;
mod call;
mod draft;
mod faults;
mod ledger;
mod network;
mod node;
mod operation;
mod orchestrator;
mod peace;
mod plan;
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
