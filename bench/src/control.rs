//! The control plane's measurements, each with a page of its own: what probing costs, how soon a change is in force everywhere, and how
//! soon a server that failed one request gets no more.
//!
//! Redis, the orchestrator, the balancers and the admin API are real processes; servers are one thread, and followers may be tasks.

mod findings;
mod fleet;
mod probes;
mod propagation;
mod redis;
mod servers;
mod suspicion;

use std::path::PathBuf;

use tokio::runtime::Runtime;

use crate::Error;
use crate::machine::{Machine, redis_version};
use crate::peers::{Peer, Places};

pub(crate) use fleet::start_redis;
pub(crate) use probes::ProbesArgs;
pub(crate) use propagation::PropagationArgs;
pub(crate) use suspicion::SuspicionArgs;

pub(crate) use probes::run as run_probes;
pub(crate) use propagation::run as run_propagation;
pub(crate) use suspicion::run as run_suspicion;

/// What every one of them takes.
#[derive(clap::Args, Debug)]
pub(crate) struct CommonArgs {
    /// Where the page, and its figures as JSON, are written.
    #[arg(long, default_value = "docs/benchmarks")]
    output: PathBuf,

    /// The binary that is measured.
    #[arg(long, default_value = "target/release/roundhouse")]
    roundhouse: PathBuf,

    /// Where logs go.
    #[arg(long, default_value = "target/control")]
    work: PathBuf,
}

impl CommonArgs {
    fn places(&self) -> std::io::Result<Places> {
        std::fs::create_dir_all(&self.work)?;
        Ok(Places {
            roundhouse: self.roundhouse.clone(),
            envoy: PathBuf::new(),
            bench: std::env::current_exe()?,
            work: self.work.canonicalize()?,
        })
    }
}

/// This machine, with the versions of all that takes part.
fn machine(places: &Places) -> Machine {
    let mut machine = Machine::here(&[Peer::Roundhouse], places);
    machine.versions.push(("redis".into(), redis_version()));
    machine
}

/// A runtime with a thread for each core that this process may use.
fn runtime() -> Result<Runtime, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    Ok(runtime)
}

/// In milliseconds.
fn ms(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
