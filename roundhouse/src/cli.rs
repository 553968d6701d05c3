//! The operators' commands: what a person or a script asks of a running fleet, through the admin API.
//!
//! Each prints a table for people, or with `--output json` what the API answered, for scripts. What went
//! wrong is one line on standard error, or one for each field that breaks a rule, and an exit code that says of what kind it was.

mod apply;
mod balancers;
mod certificate;
mod change;
mod connection;
mod document;
mod elements;
mod export;
mod failure;
mod healthcheck;
mod hold;
mod holds;
mod limit;
mod listener;
mod networks;
mod output;
mod pool;
mod revision;
mod route;
pub(crate) mod seal_key;
mod secret;
mod server;
mod servers;
mod status;
mod watch;
mod whole;
mod words;

use std::process::ExitCode;

use clap::Subcommand;
use runtime::complain;

use failure::{EXIT_CODES, Failure};

/// What can be asked of a running fleet.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the fleet at a glance, and whatever somebody should look at.
    #[command(after_help = EXIT_CODES)]
    Status(status::Args),
    /// List the servers, with their health.
    #[command(after_help = EXIT_CODES)]
    Servers(servers::Args),
    /// Add, drain, activate or remove a server.
    #[command(subcommand)]
    Server(server::Command),
    /// List, show, set or remove pools: how their servers are chosen, reached and inspected.
    #[command(subcommand)]
    Pool(pool::Command),
    /// List, show, add, set, remove or explain routes: which requests go where.
    #[command(subcommand)]
    Route(route::Command),
    /// List, show, set or change lists of networks, which firewalls name.
    #[command(subcommand)]
    Networks(networks::Command),
    /// List, show, set or remove whom the balancers let in at their addresses.
    #[command(subcommand)]
    Listener(listener::Command),
    /// List, show, set or remove limits: how many requests are taken.
    #[command(subcommand)]
    Limit(limit::Command),
    /// List, show, put or remove certificates, whose private keys are kept sealed.
    #[command(subcommand)]
    Certificate(certificate::Command),
    /// Make seal keys, by which private keys are sealed for the balancers alone.
    #[command(subcommand)]
    SealKey(seal_key::Command),
    /// List the balancers, with what each has applied.
    #[command(after_help = EXIT_CODES)]
    Balancers(balancers::Args),
    /// List the withdrawals that the balancers hold back until somebody confirms or rejects them.
    #[command(after_help = EXIT_CODES)]
    Holds(holds::Args),
    /// Confirm or reject a withdrawal that is held back.
    #[command(subcommand)]
    Hold(hold::Command),
    /// Give a secret of the fleet a new key.
    #[command(subcommand)]
    Secret(secret::Command),
    /// List what was changed, or go back to how it was.
    #[command(subcommand)]
    Revision(revision::Command),
    /// Print all pools, servers, routes, listeners, lists of networks, certificates and limits as one document.
    #[command(after_help = EXIT_CODES)]
    Export(export::Args),
    /// Make pools, servers, routes, listeners, lists of networks, certificates and limits what a document says.
    #[command(after_help = EXIT_CODES)]
    Apply(apply::Args),
    /// Print a line for everything that changes, until Ctrl-C.
    #[command(after_help = EXIT_CODES)]
    Watch(watch::Args),
    /// Ask a URL once, for container health checks: a 2xx answer is healthy.
    #[command(after_help = EXIT_CODES)]
    Healthcheck(healthcheck::Args),
}

/// Runs one command to its end.
pub(crate) fn run(command: Command) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(command)),
        Err(error) => Err(Failure::Start(error)),
    };
    let Err(failure) = outcome else {
        return ExitCode::SUCCESS;
    };
    if !failure.is_silent() {
        failure.lines().iter().for_each(complain);
    }
    failure.exit_code()
}

async fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Status(args) => status::run(&args).await,
        Command::Servers(args) => servers::run(&args).await,
        Command::Server(command) => server::run(command).await,
        Command::Pool(command) => pool::run(command).await,
        Command::Route(command) => route::run(command).await,
        Command::Networks(command) => networks::run(command).await,
        Command::Listener(command) => listener::run(command).await,
        Command::Limit(command) => limit::run(command).await,
        Command::Certificate(command) => certificate::run(command).await,
        Command::SealKey(command) => seal_key::run(&command),
        Command::Balancers(args) => balancers::run(&args).await,
        Command::Holds(args) => holds::run(&args).await,
        Command::Hold(command) => hold::run(command).await,
        Command::Secret(command) => secret::run(command).await,
        Command::Revision(command) => revision::run(command).await,
        Command::Export(args) => export::run(&args).await,
        Command::Apply(args) => apply::run(&args).await,
        Command::Watch(args) => watch::run(&args).await,
        Command::Healthcheck(args) => healthcheck::run(&args).await,
    }
}

#[cfg(test)]
mod tests;
