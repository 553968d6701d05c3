//! `roundhouse servers`: the servers of one pool or of all.

use client::{Client, Error, ServerView};
use model::{PoolId, ServerState};

use super::connection::Connection;
use super::failure::Failure;
use super::output::{Output, columns};

/// The flags of `roundhouse servers`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The pool; all of them where none is given.
    #[arg(long, value_name = "POOL")]
    pool: Option<PoolId>,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let client = args.connection.client()?;
    let servers = match &args.pool {
        Some(pool) => client.servers(pool).await?,
        None => servers_of_all(&client).await?,
    };
    args.output.write(&servers, |servers| text(servers))
}

async fn servers_of_all(client: &Client) -> Result<Vec<ServerView>, Error> {
    let mut servers = Vec::new();
    for pool in client.pools().await? {
        match client.servers(&pool.id).await {
            Ok(of_pool) => servers.extend(of_pool),
            // It was removed just now.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(servers)
}

pub(super) fn text(servers: &[ServerView]) -> String {
    let header = [
        "POOL", "ID", "ADDRESS", "WEIGHT", "ZONE", "STATE", "HEALTH", "WHY",
    ];
    columns(header, servers.iter().map(row).collect())
}

fn row(server: &ServerView) -> [String; 8] {
    [
        server.pool.to_string(),
        server.id.to_string(),
        server.address.clone(),
        server.weight.to_string(),
        server.zone.clone(),
        state(server.state).to_owned(),
        server.health.to_string(),
        server.reason.clone(),
    ]
}

pub(super) fn state(state: ServerState) -> &'static str {
    match state {
        ServerState::Active => "active",
        ServerState::Draining => "draining",
        ServerState::Disabled => "disabled",
    }
}
