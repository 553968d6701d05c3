//! `roundhouse listener list|show|set|remove`: whom the balancers let in at their addresses, whether they answer about health
//! there, and how they speak TLS.

mod flags;

use std::path::PathBuf;

use clap::Subcommand;
use client::{Demand, Present, Shown};
use model::{Firewall, Listener, ListenerId, Networks, Unknown};

use super::document;
use super::elements::{self, Common, List, Remove, Show};
use super::failure::{EXIT_CODES, Failure};
use super::output::{columns, shortened};
use flags::TlsFlags;

/// What can be done with listeners.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the listeners that have settings, with whom each lets in, and whether it answers about health.
    #[command(after_help = EXIT_CODES)]
    List(List),
    /// Print a listener with all of its settings, as a document for `--file`.
    #[command(after_help = EXIT_CODES)]
    Show(Show<ListenerId>),
    /// Set whom a listener lets in (of `--allow` and `--deny`, the one left out is emptied), whether it answers about health, and how it
    /// speaks TLS. What no flag is about stays as it is; a file sets all.
    #[command(after_help = EXIT_CODES)]
    Set(Box<Set>),
    /// Remove a listener's settings, so that all of it is as by default.
    #[command(after_help = EXIT_CODES)]
    Remove(Remove<ListenerId>),
}

/// The flags of `roundhouse listener set`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Set {
    /// The listener's name: `http` is the address of a balancer's --listen, `https` that of its --listen-tls.
    #[arg(value_name = "NAME")]
    id: ListenerId,
    /// A network, or the name of a list, whose clients are let in, and no others then. May be repeated.
    #[arg(long, value_name = "NETWORK|LIST")]
    allow: Vec<Networks>,
    /// A network, or the name of a list, whose clients are turned away. May be repeated.
    #[arg(long, value_name = "NETWORK|LIST")]
    deny: Vec<Networks>,
    /// Answer `/livez` and `/readyz` there, for whoever watches the balancers from outside; `--health=false` ends that.
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    health: Option<bool>,
    #[command(flatten)]
    tls: TlsFlags,
    /// The listener, in YAML or JSON, as `roundhouse listener show` writes it; `-` is standard input.
    #[arg(
        long,
        short,
        value_name = "FILE",
        conflicts_with_all = ["allow", "deny", "health", "TlsFlags"]
    )]
    file: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => elements::list(&args, text).await,
        Command::Show(args) => elements::show::<Listener>(&args).await,
        Command::Set(args) => set(*args).await,
        Command::Remove(args) => elements::remove::<Listener>(&args).await,
    }
}

async fn set(args: Set) -> Result<(), Failure> {
    let Set {
        id,
        allow,
        deny,
        health,
        tls,
        file,
        common,
    } = args;
    if let Some(file) = file {
        let written = document::read_element(&file, id.as_str())?;
        return elements::set::<Listener>(&id, &written, &common).await;
    }
    let client = common.client()?;
    let (stored, before) = match client.element::<Listener>(&id).await {
        Ok(stored) => (stored.value, Some(stored.revision)),
        Err(error) if error.is_not_found() => (Listener::new(id.clone()), None),
        Err(error) => return Err(error.into()),
    };
    let is_about_others = health.is_some() || !tls.is_empty();
    // Without any flag everybody is let in again.
    let is_about_clients = !is_about_others || !allow.is_empty() || !deny.is_empty();
    let firewall = is_about_clients.then(|| Firewall {
        allow,
        deny,
        unknown: Unknown::default(),
    });
    let listener = Listener {
        firewall: firewall.unwrap_or(stored.firewall),
        health: health.unwrap_or(stored.health),
        tls: tls.over(stored.tls)?,
        ..Listener::new(id.clone())
    };
    let demand = Demand {
        present: Some(before.map_or(Present::Absent, Present::At)),
        ..common.demand()
    };
    let set = client.put_element(&id, &listener, &demand).await?;
    common.finish_since::<Listener>(before, "set", set)
}

pub(super) fn text(listeners: &[Shown<Listener>]) -> String {
    let row = |it: &Shown<Listener>| {
        let Listener {
            id,
            firewall,
            health,
            ..
        } = &it.value;
        let (allow, deny) = (joined(&firewall.allow), joined(&firewall.deny));
        let health = if *health { "answers" } else { "" };
        [id.to_string(), allow, deny, health.to_owned()]
    };
    let rows = listeners.iter().map(row).collect();
    columns(["NAME", "ALLOW", "DENY", "HEALTH"], rows)
}

/// How many networks a row names.
const NAMED_MAX: usize = 5;

fn joined(networks: &[Networks]) -> String {
    let names = networks.iter().map(ToString::to_string);
    shortened(names.collect(), NAMED_MAX)
}
