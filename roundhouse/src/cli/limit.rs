//! `roundhouse limit list|show|set|remove`: how many requests are taken.

pub(super) mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::{ArgGroup, Subcommand};
use client::Shown;
use model::{Limit, LimitId, LimitMode, LimitPart, parse_duration};
use serde::Serialize;

use super::document;
use super::elements::{self, Common, List, Remove, Show};
use super::failure::{EXIT_CODES, Failure};

/// What can be done with limits.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the limits, with what each counts and bounds, and the routes and pools that name it.
    #[command(after_help = EXIT_CODES)]
    List(List),
    /// Print a limit with all of its settings, as a document for `--file`.
    #[command(after_help = EXIT_CODES)]
    Show(Show<LimitId>),
    /// Make a limit, or put it in the place of the one of that name: what is not said has its default.
    #[command(after_help = EXIT_CODES)]
    Set(Set),
    /// Remove a limit.
    #[command(after_help = EXIT_CODES)]
    Remove(Remove<LimitId>),
}

/// The flags of `roundhouse limit set`.
#[derive(clap::Args, Clone, Debug)]
#[command(group = ArgGroup::new("what").args(["requests", "concurrent", "file"]).required(true).multiple(true))]
pub(crate) struct Set {
    /// The limit's name.
    #[arg(value_name = "NAME")]
    id: LimitId,
    /// How many requests in which time, such as 100/1s or 5000/1h.
    #[arg(long, value_name = "N/TIME", value_parser = rate)]
    requests: Option<Rate>,
    /// How many may come at once after a quiet time; as many as --requests, where nothing is said.
    #[arg(long, value_name = "N", requires = "requests", value_parser = count())]
    burst: Option<u32>,
    /// How many requests one balancer takes at the same time.
    #[arg(long, value_name = "N", value_parser = count())]
    concurrent: Option<u32>,
    /// What makes requests count together: client, route, host, or header:NAME. May be repeated.
    #[arg(long, value_name = "PART", value_parser = part)]
    by: Vec<LimitPart>,
    /// Ask the registry for each request, and have it wait for the answer.
    #[arg(long)]
    exact: bool,
    /// The limit, in YAML or JSON, as `roundhouse limit show` writes it; `-` is standard input.
    #[arg(
        long,
        short,
        value_name = "FILE",
        conflicts_with_all = ["requests", "burst", "concurrent", "by", "exact"]
    )]
    file: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// A limit, and who names it.
#[derive(Serialize)]
pub(super) struct Listed {
    #[serde(flatten)]
    limit: Shown<Limit>,
    /// Routes and pools, such as `route api`.
    used_by: Vec<String>,
}

/// So many requests in a time.
#[derive(Clone, Copy, Debug)]
struct Rate {
    requests: u32,
    per: Duration,
}

pub(super) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(&args).await,
        Command::Show(args) => elements::show::<Limit>(&args).await,
        Command::Set(args) => set(args).await,
        Command::Remove(args) => elements::remove::<Limit>(&args).await,
    }
}

async fn list(args: &List) -> Result<(), Failure> {
    let client = args.connection.client()?;
    let limits = client.elements::<Limit>().await?;
    let users = client.limit_users().await?;
    let listed = with_users(limits, users);
    args.output.write(&listed, |limits| table::text(limits))
}

/// The limits with the routes and pools that name each.
pub(super) fn with_users(
    limits: Vec<Shown<Limit>>,
    mut users: BTreeMap<LimitId, Vec<String>>,
) -> Vec<Listed> {
    let listed = |limit: Shown<Limit>| {
        let used_by = users.remove(&limit.value.id).unwrap_or_default();
        Listed { limit, used_by }
    };
    limits.into_iter().map(listed).collect()
}

async fn set(args: Set) -> Result<(), Failure> {
    let Set { id, common, .. } = &args;
    match &args.file {
        Some(file) => {
            let written = document::read_element(file, id.as_str())?;
            elements::set::<Limit>(id, &written, common).await
        }
        None => elements::set::<Limit>(id, &args.limit(), common).await,
    }
}

impl Set {
    fn limit(&self) -> Limit {
        let plain = Limit::new(self.id.clone());
        Limit {
            by: self.by.clone(),
            requests: self.requests.map_or(0, |rate| rate.requests),
            per: self.requests.map_or(plain.per, |rate| rate.per),
            burst: self.burst,
            concurrent: self.concurrent.unwrap_or_default(),
            mode: match self.exact {
                true => LimitMode::Exact,
                false => LimitMode::Leased,
            },
            ..plain
        }
    }
}

fn count() -> impl TypedValueParser<Value = u32> {
    runtime::whole_number::<u32>(1..=u64::from(u32::MAX))
}

fn rate(text: &str) -> Result<Rate, String> {
    let rule = || "must be a number, / and a time, such as 100/1s".to_owned();
    let (requests, per) = text.split_once('/').ok_or_else(rule)?;
    Ok(Rate {
        requests: requests.parse().map_err(|_| rule())?,
        per: parse_duration(per).map_err(|_| rule())?,
    })
}

fn part(text: &str) -> Result<LimitPart, String> {
    match text {
        "client" => Ok(LimitPart::Client),
        "route" => Ok(LimitPart::Route),
        "host" => Ok(LimitPart::Host),
        _ => match text.strip_prefix("header:") {
            Some(name) if !name.is_empty() => Ok(LimitPart::Header(name.into())),
            _ => Err("must be client, route, host, or header: and a name".into()),
        },
    }
}
