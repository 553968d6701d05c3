//! `roundhouse hold confirm|reject`: an operator's word on a mass withdrawal.

use std::time::Duration;

use clap::Subcommand;
use client::{Changed, Confirmed, Demand, Rejected, Wait};
use model::{PoolId, Revision, parse_duration};

use super::change::{demand, finish};
use super::connection::Connection;
use super::failure::{EXIT_CODES, Failure};
use super::output::Output;
use super::revision::revision;

/// What can be done about a hold.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Let the balancers do without the servers that they hold back.
    #[command(after_help = EXIT_CODES)]
    Confirm(Ruling),
    /// Put the servers back that the balancers hold back, and leave verdicts unbelieved that they contradict.
    #[command(after_help = EXIT_CODES)]
    Reject(Ruling),
}

/// The flags of both.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Ruling {
    /// The pool whose servers are held back.
    #[arg(value_name = "POOL")]
    pool: PoolId,
    /// Decide on what was withdrawn up to this revision; on what is held now where none is given. A revision earlier than what is
    /// held now is refused.
    #[arg(long, value_name = "REVISION", value_parser = revision())]
    revision: Option<Revision>,
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

impl Ruling {
    fn demand(&self) -> Demand {
        demand(self.wait.then(|| Wait::applied(self.timeout)))
    }
}

pub(super) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Confirm(args) => confirm(&args).await,
        Command::Reject(args) => reject(&args).await,
    }
}

async fn confirm(args: &Ruling) -> Result<(), Failure> {
    let (client, demand) = (args.connection.client()?, args.demand());
    let changed = client.confirm_hold(&args.pool, args.revision, &demand);
    let Changed {
        value,
        outcome,
        durability,
    } = changed.await?;
    args.output.write(&value, |it: &Confirmed| {
        format!("confirmed {} by revision {}", it.pool, it.revision)
    })?;
    let change = format!("the confirmation for {}", args.pool);
    finish(change, outcome, durability.as_ref())
}

async fn reject(args: &Ruling) -> Result<(), Failure> {
    let (client, demand) = (args.connection.client()?, args.demand());
    let changed = client.reject_hold(&args.pool, args.revision, &demand);
    let Changed {
        value,
        outcome,
        durability,
    } = changed.await?;
    args.output.write(&value, rejected)?;
    let change = format!("the rejection for {}", args.pool);
    finish(change, outcome, durability.as_ref())
}

pub(super) fn rejected(it: &Rejected) -> String {
    let restored = match it.restored.len() {
        0 => String::new(),
        1 => ": 1 server restored".into(),
        many => format!(": {many} servers restored"),
    };
    format!("rejected {} by revision {}{restored}", it.pool, it.revision)
}
