//! An orchestrator on its own.

use std::process::ExitCode;

use clap::Parser;

/// Inspects the servers of a fleet, leads or stands by.
#[derive(Debug, Parser)]
#[command(name = "orchestrator", version)]
struct CommandLine {
    #[command(flatten)]
    args: orchestrator::Args,
    #[command(flatten)]
    log: runtime::LogOptions,
}

fn main() -> ExitCode {
    match runtime::parse() {
        Ok(CommandLine { args, log }) => orchestrator::run(args, &log),
        Err(code) => code,
    }
}
