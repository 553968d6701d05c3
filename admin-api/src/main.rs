//! The admin API on its own.

use std::process::ExitCode;

use clap::Parser;

/// The operators' door: pools, servers and the state of a fleet as REST.
#[derive(Debug, Parser)]
#[command(name = "admin-api", version)]
struct CommandLine {
    #[command(flatten)]
    args: admin_api::Args,
    #[command(flatten)]
    log: runtime::LogOptions,
}

fn main() -> ExitCode {
    match runtime::parse() {
        Ok(CommandLine { args, log }) => admin_api::run(args, &log),
        Err(code) => code,
    }
}
