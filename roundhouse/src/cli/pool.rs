//! `roundhouse pool list|show|set|remove`: how the servers of a pool are chosen, reached and inspected.

mod flags;
pub(super) mod table;

use std::path::PathBuf;

use clap::Subcommand;
use model::{Pool, PoolId};

use super::document;
use super::elements::{self, Common, List, Remove, Show};
use super::failure::{EXIT_CODES, Failure};
use flags::Flags;

/// What can be done with pools.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the pools, with how each chooses, reaches and inspects its servers.
    #[command(after_help = EXIT_CODES)]
    List(List),
    /// Print a pool with all of its settings, as a document for `--file`.
    #[command(after_help = EXIT_CODES)]
    Show(Show<PoolId>),
    /// Change what the flags name of a pool, which is made where there is none: what is not said stays as it is. A file sets all.
    #[command(after_help = EXIT_CODES)]
    Set(Box<Set>),
    /// Remove a pool that has no servers and that no route names.
    #[command(after_help = EXIT_CODES)]
    Remove(Remove<PoolId>),
}

/// The flags of `roundhouse pool set`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Set {
    /// The pool's name.
    #[arg(value_name = "NAME")]
    id: PoolId,
    /// The pool, in YAML or JSON, as `roundhouse pool show` writes it; `-` is standard input.
    #[arg(long, short, value_name = "FILE", conflicts_with = "Flags")]
    file: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => elements::list(&args, table::text).await,
        Command::Show(args) => elements::show::<Pool>(&args).await,
        Command::Set(args) => set(&args).await,
        Command::Remove(args) => elements::remove::<Pool>(&args).await,
    }
}

async fn set(args: &Set) -> Result<(), Failure> {
    let Set {
        id,
        file,
        flags,
        common,
    } = args;
    let (client, demand) = (common.client()?, common.demand());
    let written = file.as_ref();
    let written = written.map(|file| document::read_element(file, id.as_str()));
    let written = written.transpose()?;
    let before = elements::revision_of::<Pool>(&client, id).await?;
    let (done, changed) = match (&written, before) {
        (Some(written), _) => ("set", client.put_element(id, written, &demand).await?),
        (None, Some(_)) => {
            let patch = flags.patch();
            ("set", client.patch_element(id, &patch, &demand).await?)
        }
        (None, None) => {
            let pool = flags.pool(id);
            ("added", client.add_element(&pool, &demand).await?)
        }
    };
    common.finish_since::<Pool>(before, done, changed)
}
