//! `roundhouse apply`: makes the desired state what a document says.

use std::path::PathBuf;
use std::time::Duration;

use client::{Changed, Import, Wait};
use model::parse_duration;

use super::change::{demand, finish};
use super::connection::Connection;
use super::document;
use super::failure::Failure;
use super::output::Output;
use super::whole;

/// The flags of `roundhouse apply`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The document, in YAML or JSON, as `roundhouse export` writes it; `-` is standard input.
    #[arg(long, short, value_name = "FILE")]
    file: PathBuf,
    /// Change nothing, and tell what would change.
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Remove what the document does not hold, of the kinds that it has a list of: an empty list removes all of its kind.
    #[arg(long)]
    prune: bool,
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

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let document = document::read(&args.file)?;
    let demand = demand(args.wait.then(|| Wait::applied(args.timeout)));
    let import = Import {
        dry_run: args.dry_run,
        prune: args.prune,
    };
    let client = args.connection.client()?;
    let changed = client.import(&document, import, &demand).await?;
    let Changed {
        value,
        outcome,
        durability,
    } = changed;
    let file = args.file.display();
    let done = format!("applied {file}");
    args.output.write(&value, |it| whole::text(it, &done))?;
    finish(
        format!("the change by {file}"),
        outcome,
        durability.as_ref(),
    )
}
