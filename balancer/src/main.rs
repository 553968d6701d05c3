//! A balancer on its own.

use std::process::ExitCode;

use clap::Parser;

/// Sends requests to the servers of a fleet.
#[derive(Debug, Parser)]
#[command(name = "balancer", version)]
struct CommandLine {
    #[command(flatten)]
    args: balancer::Args,
    #[command(flatten)]
    log: runtime::LogOptions,
}

fn main() -> ExitCode {
    match runtime::parse() {
        Ok(CommandLine { args, log }) => balancer::run(args, &log),
        Err(code) => code,
    }
}
