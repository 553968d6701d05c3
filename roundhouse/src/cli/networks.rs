//! `roundhouse networks list|show|set|add|remove`: lists of networks, which firewalls name.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use client::{Changed, Client, Demand, Present, Shown};
use ipnet::IpNet;
use model::{NetworkList, NetworkListId, check_network, parse_network};

use super::document::{read_text, refused};
use super::elements::{self, Common, List, Show};
use super::failure::{EXIT_CODES, Failure};
use super::output::columns;

/// How often a list is read and written again where others were faster.
const TRIES: usize = 8;

/// What can be done with lists of networks.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the lists, with how many networks each has.
    #[command(after_help = EXIT_CODES)]
    List(List),
    /// Print a list with its networks.
    #[command(after_help = EXIT_CODES)]
    Show(Show<NetworkListId>),
    /// Make a list of these networks and no others.
    #[command(after_help = EXIT_CODES)]
    Set(Set),
    /// Add networks to a list, which is made where there is none.
    #[command(after_help = EXIT_CODES)]
    Add(Add),
    /// Remove networks from a list, or, where none is named, the list.
    #[command(after_help = EXIT_CODES)]
    Remove(Remove),
}

/// The flags of `roundhouse networks set`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Set {
    /// The list's name.
    #[arg(value_name = "NAME")]
    id: NetworkListId,
    /// Its networks, such as 10.0.0.0/8 or 192.0.2.7.
    #[arg(value_name = "NETWORK", value_parser = network)]
    networks: Vec<IpNet>,
    /// A file with more of them, one a line, of which `#` begins a comment; `-` is standard input.
    #[arg(long, short, value_name = "FILE", required_unless_present = "networks")]
    file: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// The flags of `roundhouse networks add`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Add {
    /// The list's name.
    #[arg(value_name = "NAME")]
    id: NetworkListId,
    /// The networks, such as 10.0.0.0/8 or 192.0.2.7.
    #[arg(value_name = "NETWORK", value_parser = network, required = true)]
    networks: Vec<IpNet>,
    #[command(flatten)]
    common: Common,
}

/// The flags of `roundhouse networks remove`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Remove {
    /// The list's name.
    #[arg(value_name = "NAME")]
    id: NetworkListId,
    /// The networks; the whole list where none is given.
    #[arg(value_name = "NETWORK", value_parser = parse_network)]
    networks: Vec<IpNet>,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => elements::list(&args, text).await,
        Command::Show(args) => elements::show::<NetworkList>(&args).await,
        Command::Set(args) => set(args).await,
        Command::Add(args) => add(args).await,
        Command::Remove(args) => remove(args).await,
    }
}

async fn set(args: Set) -> Result<(), Failure> {
    let Set {
        id,
        mut networks,
        file,
        common,
    } = args;
    if let Some(file) = file {
        networks.extend(read(&file)?);
    }
    let list = NetworkList::new(id.clone(), networks);
    elements::set::<NetworkList>(&id, &list, &common).await
}

async fn add(args: Add) -> Result<(), Failure> {
    let Add {
        id,
        networks,
        common,
    } = args;
    let change = |list: &mut NetworkList| {
        for network in &networks {
            if !list.networks.contains(network) {
                list.networks.push(*network);
            }
        }
    };
    match edit(&common, &id, true, change).await? {
        Edited::Changed(changed) => common.finish("added to", *changed),
        Edited::Same(list) => common.leave(&list),
    }
}

async fn remove(args: Remove) -> Result<(), Failure> {
    let Remove {
        id,
        networks,
        common,
    } = args;
    if networks.is_empty() {
        return elements::remove_by::<NetworkList>(&id, &common).await;
    }
    let change = |list: &mut NetworkList| list.networks.retain(|it| !networks.contains(it));
    match edit(&common, &id, false, change).await? {
        Edited::Changed(changed) => common.finish("removed from", *changed),
        Edited::Same(list) => common.leave(&list),
    }
}

/// A list that was to be changed.
enum Edited {
    Changed(Box<Changed<Shown<NetworkList>>>),
    /// It was as it should be.
    Same(Box<Shown<NetworkList>>),
}

/// Reads a list, changes it, and writes it, again where somebody else wrote it meanwhile.
async fn edit(
    common: &Common,
    id: &NetworkListId,
    may_be_new: bool,
    change: impl Fn(&mut NetworkList),
) -> Result<Edited, Failure> {
    let client = common.client()?;
    let mut tries = 0;
    loop {
        tries += 1;
        match edit_once(&client, common.demand(), id, may_be_new, &change).await {
            Err(Failure::Api(error)) if error.is_stale() && tries < TRIES => {}
            outcome => return outcome,
        }
    }
}

async fn edit_once(
    client: &Client,
    demand: Demand,
    id: &NetworkListId,
    may_be_new: bool,
    change: impl Fn(&mut NetworkList),
) -> Result<Edited, Failure> {
    let stored: Option<Shown<NetworkList>> = match client.element::<NetworkList>(id).await {
        Ok(shown) => Some(shown),
        Err(error) if error.is_not_found() && may_be_new => None,
        Err(error) => return Err(error.into()),
    };
    let before = stored.as_ref().map(|it| it.value.clone());
    let mut list = before.unwrap_or_else(|| NetworkList::new(id.clone(), Vec::new()));
    change(&mut list);
    let present = stored
        .as_ref()
        .map_or(Present::Absent, |it| Present::At(it.revision));
    if let Some(same) = stored.filter(|it| it.value == list) {
        return Ok(Edited::Same(Box::new(same)));
    }
    let demand = Demand {
        present: Some(present),
        ..demand
    };
    let changed = client.put_element(id, &list, &demand).await?;
    Ok(Edited::Changed(Box::new(changed)))
}

fn read(file: &Path) -> Result<Vec<IpNet>, Failure> {
    let text = read_text(file)?;
    let lines = text.lines().enumerate();
    let networks = lines.filter_map(|(index, line)| {
        let written = line.split('#').next().unwrap_or_default().trim();
        let place = |reason| refused(file, format!("line {}: {reason}", index + 1));
        (!written.is_empty()).then(|| network(written).map_err(place))
    });
    networks.collect()
}

/// A network to put into a list. `remove` takes looser ones too, since older versions let them in.
fn network(text: &str) -> Result<IpNet, String> {
    let network = parse_network(text).map_err(|error| error.to_string())?;
    check_network(&network)?;
    Ok(network)
}

pub(super) fn text(lists: &[Shown<NetworkList>]) -> String {
    let row = |it: &Shown<NetworkList>| {
        let size = it.size.unwrap_or(it.value.networks.len());
        [
            it.value.id.to_string(),
            size.to_string(),
            it.revision.to_string(),
        ]
    };
    let rows = lists.iter().map(row).collect();
    columns(["NAME", "NETWORKS", "REVISION"], rows)
}
