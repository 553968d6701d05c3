//! The admin API as a process: from its flags to its exit code.

use std::process::ExitCode;
use std::time::Duration;

use runtime::{Ending, LogOptions};

use crate::{AdminApi, Args, StartError};

/// What ending in order may take.
const ENDING: Ending = Ending {
    within: Duration::from_secs(10),
    awaits: "the requests under way",
};

/// Runs the admin API until it is told to end.
pub fn run(args: Args, log: &LogOptions) -> ExitCode {
    if let Err(error) = args.check() {
        return runtime::misused(error);
    }
    let registry = match registry::open_shared(&args.registry) {
        Ok(registry) => registry,
        Err(error) => return runtime::misused(error),
    };
    runtime::run(log, ENDING, async |supervisor| {
        let admin = AdminApi::start(args, registry, &supervisor).await?;
        runtime::announce("admin API", Some(admin.address()), admin.ops_address());
        Ok::<_, StartError>(admin)
    })
}
