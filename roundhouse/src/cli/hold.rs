//! `roundhouse hold confirm`: an operator's word that a mass withdrawal is meant.

use std::time::Duration;

use clap::Subcommand;
use client::{Changed, Confirmed, Wait};
use model::{PoolId, Revision, parse_duration};

use super::change::{demand, finish};
use super::connection::Connection;
use super::failure::{EXIT_CODES, Failure};
use super::output::Output;

/// What can be done about a hold.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Let the balancers do without the servers that they hold back.
    #[command(after_help = EXIT_CODES)]
    Confirm(Confirm),
}

/// The flags of `roundhouse hold confirm`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Confirm {
    /// The pool whose servers are held back.
    #[arg(value_name = "POOL")]
    pool: PoolId,
    /// Confirm what was withdrawn up to this revision; what is held now where none is given.
    #[arg(long, value_name = "REVISION")]
    revision: Option<u64>,
    /// Wait until every balancer works with it.
    #[arg(long)]
    wait: bool,
    /// How long a wait may last.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration, requires = "wait")]
    timeout: Duration,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Confirm(args) => confirm(&args).await,
    }
}

async fn confirm(args: &Confirm) -> Result<(), Failure> {
    let demand = demand(args.wait.then(|| Wait::applied(args.timeout)));
    let up_to = args.revision.map(Revision);
    let client = args.connection.client()?;
    let changed = client.confirm_hold(&args.pool, up_to, &demand).await?;
    let Changed { value, outcome } = changed;
    args.output.write(&value, |it: &Confirmed| {
        format!("confirmed {} by revision {}", it.pool, it.revision)
    })?;
    finish(format!("the confirmation for {}", args.pool), outcome)
}
