//! `roundhouse server add|drain|activate|remove`: changes to one server.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use client::{Changed, NewServer, Outcome, Removed, ServerPatch, ServerView, Wait};
use model::{PoolId, ServerId, ServerKey, ServerState, WEIGHT_MAX, parse_duration};

use super::change::{demand, finish, tell};
use super::connection::Connection;
use super::failure::{EXIT_CODES, Failure};
use super::output::Output;

/// What can be done to one server.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add a server: the balancers send it requests once a probe has found it up.
    #[command(after_help = EXIT_CODES)]
    Add(Add),
    /// Send a server no new request; what runs is finished.
    #[command(after_help = EXIT_CODES)]
    Drain(Drain),
    /// Send a server requests again that was drained or disabled.
    #[command(after_help = EXIT_CODES)]
    Activate(Activate),
    /// Remove a server.
    #[command(after_help = EXIT_CODES)]
    Remove(Remove),
}

/// The flags of `roundhouse server add`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Add {
    /// Its address: a host or an IP address, and a port.
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// Its id; chosen where none is given.
    #[arg(long, value_name = "ID")]
    id: Option<ServerId>,
    /// Its share of the requests, relative to the other servers' weights.
    #[arg(long, value_name = "N", value_parser = runtime::whole_number::<u16>(0..=u64::from(WEIGHT_MAX)))]
    weight: Option<u16>,
    /// The zone it is in.
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Connections to it from one balancer, at most; more requests wait. 0 sets no bound.
    #[arg(long, value_name = "N", value_parser = runtime::whole_number::<u32>(0..=u64::from(u32::MAX)))]
    max_connections: Option<u32>,
    /// Send it requests only where no server of the pool that is no backup is up.
    #[arg(long)]
    backup: bool,
    /// Wait until every balancer works with it.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    common: Common,
}

/// The flags of `roundhouse server drain`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Drain {
    /// The server's id.
    #[arg(value_name = "ID")]
    id: ServerId,
    /// Wait until no balancer has a request in flight to it.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    common: Common,
}

/// The flags of `roundhouse server activate`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Activate {
    /// The server's id.
    #[arg(value_name = "ID")]
    id: ServerId,
    /// Wait until every balancer works with it.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    common: Common,
}

/// The flags of `roundhouse server remove`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Remove {
    /// The server's id.
    #[arg(value_name = "ID")]
    id: ServerId,
    /// Wait until every balancer has let go of it, or also has no request in flight to it, as where nothing is said.
    #[arg(long, value_enum, value_name = "UNTIL", num_args = 0..=1, default_missing_value = "drained")]
    wait: Option<Until>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Until {
    Applied,
    Drained,
}

/// The flags of every change.
#[derive(clap::Args, Clone, Debug)]
struct Common {
    /// The server's pool.
    #[arg(long, value_name = "POOL", default_value = "default")]
    pool: PoolId,
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
        Command::Add(args) => add(args).await,
        Command::Drain(args) => drain(args).await,
        Command::Activate(args) => activate(args).await,
        Command::Remove(args) => remove(args).await,
    }
}

async fn add(args: Add) -> Result<(), Failure> {
    let Common {
        pool,
        timeout,
        connection,
        output,
    } = args.common;
    let server = NewServer {
        address: args.address,
        id: args.id,
        weight: args.weight,
        zone: args.zone,
        max_connections: args.max_connections,
        backup: args.backup,
    };
    let demand = demand(args.wait.then(|| Wait::applied(timeout)));
    let changed = connection
        .client()?
        .add_server(&pool, &server, &demand)
        .await?;
    let Changed {
        value,
        outcome,
        durability,
    } = changed;
    output.write(&value, |it: &ServerView| {
        format!(
            "added {}/{} at {} by revision {}",
            it.pool, it.id, it.address, it.revision
        )
    })?;
    finish(
        format!("the addition of {}/{}", value.pool, value.id),
        outcome,
        durability.as_ref(),
    )
}

async fn drain(args: Drain) -> Result<(), Failure> {
    let key = ServerKey::new(args.common.pool.clone(), args.id);
    let wait = args.wait.then(|| Wait::drained(args.common.timeout));
    let changed = set_state(&args.common, &key, ServerState::Draining, wait).await?;
    let drained = args.wait && changed.outcome == Outcome::Done;
    let state = if drained { "is drained" } else { "is draining" };
    tell(&changed, &args.common.output, |it| {
        format!("{key} {state} since revision {}", it.revision)
    })?;
    let Changed {
        outcome,
        durability,
        ..
    } = changed;
    finish(format!("the drain of {key}"), outcome, durability.as_ref())
}

async fn activate(args: Activate) -> Result<(), Failure> {
    let key = ServerKey::new(args.common.pool.clone(), args.id);
    let wait = args.wait.then(|| Wait::applied(args.common.timeout));
    let changed = set_state(&args.common, &key, ServerState::Active, wait).await?;
    args.common.output.write(&changed.value, |it| {
        format!("{key} is active since revision {}", it.revision)
    })?;
    let Changed {
        outcome,
        durability,
        ..
    } = changed;
    finish(
        format!("the activation of {key}"),
        outcome,
        durability.as_ref(),
    )
}

async fn set_state(
    common: &Common,
    key: &ServerKey,
    state: ServerState,
    wait: Option<Wait>,
) -> Result<Changed<ServerView>, Failure> {
    let patch = ServerPatch {
        state: Some(state),
        ..ServerPatch::default()
    };
    let client = common.connection.client()?;
    Ok(client.patch_server(key, &patch, &demand(wait)).await?)
}

async fn remove(args: Remove) -> Result<(), Failure> {
    let Common {
        pool,
        timeout,
        connection,
        output,
    } = args.common;
    let key = ServerKey::new(pool, args.id);
    let wait = args.wait.map(|until| match until {
        Until::Applied => Wait::applied(timeout),
        Until::Drained => Wait::drained(timeout),
    });
    let changed = connection
        .client()?
        .remove_server(&key, &demand(wait))
        .await?;
    tell(&changed, &output, |it: &Removed| {
        format!("removed {key} by revision {}", it.revision)
    })?;
    let Changed {
        outcome,
        durability,
        ..
    } = changed;
    finish(
        format!("the removal of {key}"),
        outcome,
        durability.as_ref(),
    )
}
