//! `roundhouse up`: a whole fleet in one process, by the same starts as one process a role.
//!
//! It ends in stages, as an operator would end a fleet: first the balancers, which finish what runs; then
//! the servers, which leave the fleet; last what they leave it through.

mod args;
mod fleet;
mod stages;

use std::net::SocketAddr;
use std::process::ExitCode;

use runtime::{Ending, LogOptions, misused};

pub(crate) use args::Args;
use args::{Renamed, renamed};
use fleet::Fleet;
use stages::Stages;

const ENDING: Ending = Ending {
    within: stages::ALL,
    awaits: "the requests under way and for the servers to leave the fleet",
};

const FILTER: &str = "warn";

/// Why the fleet could not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("{}", renamed(Renamed::Balancer, .0))]
    Balancer(#[from] balancer::StartError),
    #[error("{}", renamed(Renamed::Orchestrator, .0))]
    Orchestrator(#[from] orchestrator::StartError),
    #[error("{}", renamed(Renamed::AdminApi, .0))]
    AdminApi(#[from] admin_api::StartError),
    #[error("{}", renamed(Renamed::DemoServer, .0))]
    DemoServer(#[from] demo_servers::StartError),
    #[error(transparent)]
    Port(#[from] NoPort),
}

/// There are more of a role than ports.
#[derive(Debug, thiserror::Error)]
#[error("{flag} {address}: the others listen on the ports after it, and there is none after 65535")]
struct NoPort {
    flag: &'static str,
    address: SocketAddr,
}

/// Runs the fleet until it is told to end.
pub(crate) fn run(args: &Args, log: &LogOptions) -> ExitCode {
    let seal = match args.check() {
        Ok(seal) => seal,
        Err(problem) => return misused(problem),
    };
    let registry = match registry::open(&args.registry) {
        Ok(registry) => registry,
        Err(error) => return misused(error),
    };
    runtime::run(&quiet(log), ENDING, async |supervisor| {
        let stages = Stages::default();
        supervisor.spawn("stages", stages.clone().run(supervisor.stop_token()));
        let fleet = Fleet::start(args, &seal, registry, &stages).await?;
        fleet.ready().await;
        fleet.show(args);
        Ok::<_, StartError>(fleet)
    })
}

/// The log between the table and what is tried: warnings only, unless more is asked for.
fn quiet(log: &LogOptions) -> LogOptions {
    let mut quiet = log.clone();
    if std::env::var_os("RUST_LOG").is_none() {
        quiet.log.get_or_insert_with(|| FILTER.into());
    }
    quiet
}
