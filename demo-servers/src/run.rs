//! A demo server as a process: from its flags to its exit code.

use std::process::ExitCode;
use std::time::Duration;

use runtime::{Ending, LogOptions};

use crate::{Args, DemoServer, StartError};

/// Above what leaving the fleet and closing may take: its drain waits for the whole fleet.
const ENDING: Ending = Ending {
    within: Duration::from_secs(40),
    awaits: "the fleet to let go of this server and for the requests under way",
};

/// Runs a demo server until it is told to end.
pub fn run(args: Args, log: &LogOptions) -> ExitCode {
    runtime::run(log, ENDING, async |supervisor| {
        let server = DemoServer::start(args, &supervisor).await?;
        let role = format!("server {}", server.name());
        runtime::announce(&role, Some(server.address()), None);
        Ok::<_, StartError>(server)
    })
}
