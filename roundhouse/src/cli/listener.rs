//! `roundhouse listener list|show|set`: whom the balancers let in at their addresses, and how they speak TLS.

use std::path::PathBuf;

use clap::Subcommand;
use client::{Demand, Present, Shown};
use model::{Firewall, Listener, ListenerId, ListenerTls, Networks, Unknown};

use super::document;
use super::elements::{self, Common, List, Show};
use super::failure::{EXIT_CODES, Failure};
use super::output::columns;

/// What can be done with listeners.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the listeners that have settings, with whom each lets in.
    #[command(after_help = EXIT_CODES)]
    List(List),
    /// Print a listener with all of its settings, as a document for `--file`.
    #[command(after_help = EXIT_CODES)]
    Show(Show<ListenerId>),
    /// Set whom a listener lets in: what is not said is emptied. Its TLS stays as it is; a file sets all.
    #[command(after_help = EXIT_CODES)]
    Set(Set),
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
    /// The listener, in YAML or JSON, as `roundhouse listener show` writes it; `-` is standard input.
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["allow", "deny"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => elements::list(&args, text).await,
        Command::Show(args) => elements::show::<Listener>(&args).await,
        Command::Set(args) => set(args).await,
    }
}

async fn set(args: Set) -> Result<(), Failure> {
    let Set {
        id,
        allow,
        deny,
        file,
        common,
    } = args;
    let client = common.client()?;
    let demand = common.demand();
    let set = match file {
        Some(file) => {
            let written = document::read_element(&file, id.as_str())?;
            client.put_element(&id, &written, &demand).await?
        }
        None => {
            let firewall = Firewall {
                allow,
                deny,
                unknown: Unknown::default(),
            };
            let (tls, present) = match client.element::<Listener>(&id).await {
                Ok(stored) => (stored.value.tls, Present::At(stored.revision)),
                Err(error) if error.is_not_found() => (ListenerTls::default(), Present::Absent),
                Err(error) => return Err(error.into()),
            };
            let listener = Listener {
                firewall,
                tls,
                ..Listener::new(id.clone())
            };
            let demand = Demand {
                present: Some(present),
                ..demand
            };
            client.put_element(&id, &listener, &demand).await?
        }
    };
    common.finish::<Listener>("set", set)
}

pub(super) fn text(listeners: &[Shown<Listener>]) -> String {
    let row = |it: &Shown<Listener>| {
        let Firewall { allow, deny, .. } = &it.value.firewall;
        [it.value.id.to_string(), joined(allow), joined(deny)]
    };
    let rows = listeners.iter().map(row).collect();
    columns(["NAME", "ALLOW", "DENY"], rows)
}

/// How many networks a row names, so that it stays one line on a terminal; JSON has all.
const NAMED_MAX: usize = 5;

fn joined(networks: &[Networks]) -> String {
    let named = networks.iter().take(NAMED_MAX).map(ToString::to_string);
    let unnamed = networks.len().saturating_sub(NAMED_MAX);
    let unnamed = (unnamed > 0).then(|| format!("and {unnamed} more"));
    named.chain(unnamed).collect::<Vec<_>>().join(", ")
}
