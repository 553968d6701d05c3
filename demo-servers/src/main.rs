//! A demo server on its own.

use std::process::ExitCode;

use clap::Parser;

/// A server to balance: it answers every path with its name, and fails on demand.
#[derive(Debug, Parser)]
#[command(name = "demo-server", version)]
struct CommandLine {
    #[command(flatten)]
    args: demo_servers::Args,
    #[command(flatten)]
    log: runtime::LogOptions,
}

fn main() -> ExitCode {
    match runtime::parse() {
        Ok(CommandLine { args, log }) => demo_servers::run(args, &log),
        Err(code) => code,
    }
}
