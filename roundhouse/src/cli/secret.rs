//! `roundhouse secret rotate`: gives one of the fleet's secrets a new key.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use client::{Changed, Rotated, Wait};
use model::{SecretId, parse_duration};

use super::change::{demand, finish};
use super::connection::Connection;
use super::failure::{EXIT_CODES, Failure};
use super::output::Output;

/// What can be done about a secret.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Give a secret a new key; what was made with the present one is understood until the next time.
    #[command(after_help = EXIT_CODES)]
    Rotate(Rotation),
}

/// Those that there are.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Secret {
    /// What signs the cookies of sticky sessions.
    Sticky,
}

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Rotation {
    /// Which one.
    #[arg(value_name = "SECRET")]
    secret: Secret,
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
    let Command::Rotate(args) = command;
    let id = match args.secret {
        Secret::Sticky => SecretId::sticky(),
    };
    let client = args.connection.client()?;
    let demand = demand(args.wait.then(|| Wait::applied(args.timeout)));
    let Changed {
        value,
        outcome,
        durability,
    } = client.rotate_secret(&id, &demand).await?;
    args.output.write(&value, |it: &Rotated| {
        format!("rotated the secret {} by revision {}", it.id, it.revision)
    })?;
    finish(
        format!("the rotation of the secret {id}"),
        outcome,
        durability.as_ref(),
    )
}
