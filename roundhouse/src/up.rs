//! `roundhouse up`: a whole fleet in one process, by the same starts as one process a role.
//!
//! It ends in stages, as an operator would end a fleet: first the balancers, which finish what runs; then
//! the servers, which leave the fleet; last what they leave it through.

mod args;
mod fleet;
mod stages;

use std::net::SocketAddr;
use std::process::ExitCode;

use runtime::{LogOptions, misused};

pub(crate) use args::Args;
use fleet::Fleet;
use stages::Stages;

/// Why the fleet could not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Balancer(#[from] balancer::StartError),
    #[error(transparent)]
    Orchestrator(#[from] orchestrator::StartError),
    #[error(transparent)]
    AdminApi(#[from] admin_api::StartError),
    #[error(transparent)]
    DemoServer(#[from] demo_servers::StartError),
    #[error("{0}: there is no port after 65535")]
    Port(SocketAddr),
}

/// Runs the fleet until it is told to end.
pub(crate) fn run(args: &Args, log: &LogOptions) -> ExitCode {
    if let Err(error) = args.admin().check() {
        return misused(error);
    }
    let registry = match registry::open(&args.registry) {
        Ok(registry) => registry,
        Err(error) => return misused(error),
    };
    runtime::run(&quiet(log), stages::ALL, async |supervisor| {
        let stages = Stages::default();
        supervisor.spawn("stages", stages.clone().run(supervisor.stop_token()));
        let fleet = Fleet::start(args, registry, &stages).await?;
        fleet.ready().await;
        fleet.show(args);
        Ok::<_, StartError>(fleet)
    })
}

/// The log between the table and what is tried: warnings only, unless more is asked for.
fn quiet(log: &LogOptions) -> LogOptions {
    let mut quiet = log.clone();
    if std::env::var_os("RUST_LOG").is_none() {
        quiet.log.get_or_insert_with(|| "warn".into());
    }
    quiet
}
