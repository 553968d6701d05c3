//! A balancer as a process: from its flags to its exit code.

use std::process::ExitCode;
use std::time::Duration;

use runtime::{Ending, LogOptions};

use crate::{Args, Balancer, StartError};

/// What ending in order may take beside the drain time.
const GRACE: Duration = Duration::from_secs(10);

/// Runs a balancer until it is told to end.
pub fn run(args: Args, log: &LogOptions) -> ExitCode {
    if let Err(problem) = args.check() {
        return runtime::misused(problem);
    }
    let registry = match registry::open_shared(&args.registry) {
        Ok(registry) => registry,
        Err(error) => return runtime::misused(error),
    };
    let ending = Ending {
        within: args.drain_timeout.saturating_add(GRACE),
        awaits: "the requests under way",
    };
    runtime::run(log, ending, async |supervisor| {
        let balancer = Balancer::start(args, registry, &supervisor).await?;
        runtime::announce("balancer", Some(balancer.address()), balancer.ops_address());
        Ok::<_, StartError>(balancer)
    })
}
