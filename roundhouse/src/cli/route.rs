//! `roundhouse route list|show|add|set|remove|explain`: which requests go where.

pub(super) mod explain;
mod flags;
pub(super) mod table;

use std::path::PathBuf;

use clap::{ArgGroup, Subcommand};
use model::{Route, RouteId};
use serde::Serialize;

use super::document;
use super::elements::{self, Common, List, Remove, Show};
use super::failure::{EXIT_CODES, Failure};
use flags::Flags;

/// What can be done with routes.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the routes, with what each claims and does.
    #[command(after_help = EXIT_CODES)]
    List(List),
    /// Print a route with all of its settings, as a document for `--file`.
    #[command(after_help = EXIT_CODES)]
    Show(Show<RouteId>),
    /// Add a route.
    #[command(after_help = EXIT_CODES)]
    Add(Save),
    /// Put a route in the place of the one of that name: what is not said has its default.
    #[command(after_help = EXIT_CODES)]
    Set(Save),
    /// Remove a route.
    #[command(after_help = EXIT_CODES)]
    Remove(Remove<RouteId>),
    /// Tell which route would take a request, and why the others would not.
    #[command(after_help = EXIT_CODES)]
    Explain(explain::Args),
}

/// The flags of `roundhouse route add` and `set`.
#[derive(clap::Args, Clone, Debug)]
#[command(group(ArgGroup::new("action").required(true)))]
pub(crate) struct Save {
    /// The route's name.
    #[arg(value_name = "NAME")]
    id: RouteId,
    /// The route, in YAML or JSON, as `roundhouse route show` writes it; `-` is standard input.
    #[arg(
        long,
        short,
        value_name = "FILE",
        group = "action",
        conflicts_with = "Flags"
    )]
    file: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    common: Common,
}

/// A route as the API takes it.
#[derive(Serialize)]
#[serde(untagged)]
enum Description {
    Written(serde_json::Map<String, serde_json::Value>),
    Flags(Box<Route>),
}

pub(super) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => elements::list(&args, table::text).await,
        Command::Show(args) => elements::show::<Route>(&args).await,
        Command::Add(args) => add(args).await,
        Command::Set(args) => set(args).await,
        Command::Remove(args) => elements::remove::<Route>(&args).await,
        Command::Explain(args) => explain::run(&args).await,
    }
}

async fn add(args: Save) -> Result<(), Failure> {
    let (_, description, common) = args.description()?;
    let client = common.client()?;
    let added = client.add_element(&description, &common.demand()).await?;
    common.finish::<Route>("added", added)
}

async fn set(args: Save) -> Result<(), Failure> {
    let (id, description, common) = args.description()?;
    elements::set::<Route>(&id, &description, &common).await
}

impl Save {
    fn description(self) -> Result<(RouteId, Description, Common), Failure> {
        let Self {
            id,
            file,
            flags,
            common,
        } = self;
        let description = match file {
            Some(file) => Description::Written(document::read_element(&file, id.as_str())?),
            None => Description::Flags(Box::new(flags.route(id.clone()))),
        };
        Ok((id, description, common))
    }
}
