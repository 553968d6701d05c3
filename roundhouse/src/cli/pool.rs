//! `roundhouse pool list|show|set|remove`: how the servers of a pool are chosen, reached and inspected.

mod flags;
pub(super) mod table;

use std::path::PathBuf;

use clap::Subcommand;
use client::Client;
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
    let client = args.common.client()?;
    let Some(file) = &args.file else {
        return change(args, &client).await;
    };
    let written = document::read_element(file, args.id.as_str())?;
    let demand = args.common.demand();
    let set = client.put_element(&args.id, &written, &demand).await?;
    args.common.finish::<Pool>("set", set)
}

/// Changes what the flags say, or makes a pool of it.
async fn change(args: &Set, client: &Client) -> Result<(), Failure> {
    let Set {
        id, flags, common, ..
    } = args;
    let demand = common.demand();
    let patched = client
        .patch_element::<Pool>(id, &flags.patch(), &demand)
        .await;
    match patched {
        Err(error) if error.is_not_found() => {
            let added = client.add_element(&flags.pool(id), &demand).await?;
            common.finish::<Pool>("added", added)
        }
        patched => common.finish::<Pool>("set", patched?),
    }
}
