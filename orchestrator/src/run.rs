//! An orchestrator as a process: from its flags to its exit code.

use std::process::ExitCode;
use std::time::Duration;

use runtime::{Ending, LogOptions};

use crate::{Args, Orchestrator, StartError};

/// What ending in order may take.
const ENDING: Ending = Ending {
    within: Duration::from_secs(10),
    awaits: "its lease to be given back and its commits to end",
};

/// Runs an orchestrator until it is told to end.
pub fn run(args: Args, log: &LogOptions) -> ExitCode {
    let registry = match registry::open_shared(&args.registry) {
        Ok(registry) => registry,
        Err(error) => return runtime::misused(error),
    };
    runtime::run(log, ENDING, async |supervisor| {
        let orchestrator = Orchestrator::start(args, registry, &supervisor).await?;
        runtime::announce("orchestrator", None, Some(orchestrator.address()));
        Ok::<_, StartError>(orchestrator)
    })
}
