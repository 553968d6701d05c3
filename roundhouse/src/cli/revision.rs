//! `roundhouse revision list|restore`: what was changed, and the way back.

use std::time::Duration;

use clap::Subcommand;
use clap::builder::TypedValueParser;
use client::{Changed, RevisionView, Wait};
use model::{Author, Revision, parse_duration};

use super::change::{demand, finish};
use super::connection::Connection;
use super::failure::{EXIT_CODES, Failure};
use super::output::{Output, columns, shortened};
use super::whole;

/// What can be done with revisions.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the latest changes, newest first.
    #[command(after_help = EXIT_CODES)]
    List(List),
    /// Make all that was configured what it was at a revision, as a new revision.
    #[command(after_help = EXIT_CODES)]
    Restore(Restore),
}

/// The flags of `roundhouse revision list`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct List {
    /// How many to list.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = runtime::whole_number::<u16>(1..=1000))]
    limit: u16,
    /// List those before this revision.
    #[arg(long, value_name = "REVISION", value_parser = revision())]
    before: Option<Revision>,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

/// The flags of `roundhouse revision restore`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Restore {
    /// The revision whose state comes back.
    #[arg(value_name = "REVISION", value_parser = revision())]
    revision: Revision,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
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
        Command::List(args) => list(&args).await,
        Command::Restore(args) => restore(&args).await,
    }
}

async fn list(args: &List) -> Result<(), Failure> {
    let client = args.connection.client()?;
    let revisions = client.revisions(args.limit.into(), args.before).await?;
    args.output.write(&revisions, |revisions| text(revisions))
}

async fn restore(args: &Restore) -> Result<(), Failure> {
    let demand = demand(args.wait.then(|| Wait::applied(args.timeout)));
    let revision = args.revision;
    let client = args.connection.client()?;
    let reason = args.reason.as_deref();
    let changed = client.restore(revision, reason, &demand).await?;
    let Changed {
        value,
        outcome,
        durability,
    } = changed;
    let done = format!("restored the state of revision {revision}");
    args.output.write(&value, |it| whole::text(it, &done))?;
    finish(
        format!("the restore of revision {revision}"),
        outcome,
        durability.as_ref(),
    )
}

/// Takes the number of a revision.
pub(super) fn revision() -> impl TypedValueParser<Value = Revision> {
    runtime::whole_number::<u64>(0..=u64::MAX).map(Revision)
}

pub(super) fn text(revisions: &[RevisionView]) -> String {
    let header = ["REVISION", "TIME", "AUTHOR", "REASON", "CHANGES"];
    columns(header, revisions.iter().map(row).collect())
}

/// How many elements a row names, so that it stays one line on a terminal; JSON has all.
const NAMED_MAX: usize = 3;

fn row(revision: &RevisionView) -> [String; 5] {
    let changes = revision.changes.iter();
    let changes = changes.map(|it| format!("{} {}", it.collection, it.key));
    [
        revision.revision.to_string(),
        revision.time.clone(),
        author(&revision.author),
        // A reason of several lines would break the table.
        revision.reason.replace(char::is_control, " "),
        shortened(changes.collect(), NAMED_MAX),
    ]
}

fn author(author: &Author) -> String {
    match author {
        Author::Operator { name } | Author::Source { name } => name.clone(),
        Author::Leader { .. } => "leader".into(),
    }
}
