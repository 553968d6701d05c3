//! The one binary: each role as a subcommand, the whole fleet in one process, and the operators' commands.

mod cli;
mod restore;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A fleet of load balancers that share one membership through Redis.
#[derive(Debug, Parser)]
#[command(name = "roundhouse", version, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: runtime::LogOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in one process: servers to balance, an orchestrator, the admin API, balancers.
    Up(up::Args),
    /// Run a balancer.
    Balancer(balancer::Args),
    /// Run an orchestrator: one of them leads and probes, the others stand by.
    Orchestrator(orchestrator::Args),
    /// Run the admin API.
    AdminApi(admin_api::Args),
    /// Run a server to balance, which fails on demand.
    DemoServer(demo_servers::Args),
    /// Give a registry that has lost its memory the copy that a state file holds.
    RestoreFrom(restore::Args),
    #[command(flatten)]
    Operator(cli::Command),
}

fn main() -> ExitCode {
    let CommandLine { command, log } = match runtime::parse() {
        Ok(command_line) => command_line,
        Err(code) => return code,
    };
    match command {
        Command::Up(args) => up::run(&args, &log),
        Command::Balancer(args) => balancer::run(args, &log),
        Command::Orchestrator(args) => orchestrator::run(args, &log),
        Command::AdminApi(args) => admin_api::run(args, &log),
        Command::DemoServer(args) => demo_servers::run(args, &log),
        Command::RestoreFrom(args) => restore::run(&args),
        Command::Operator(command) => cli::run(command),
    }
}
