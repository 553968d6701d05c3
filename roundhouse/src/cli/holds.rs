//! `roundhouse holds`: withdrawals that the balancers hold back until somebody confirms or rejects them.

use client::HoldView;

use super::connection::Connection;
use super::failure::Failure;
use super::output::{Output, columns, shortened_of};

/// The flags of `roundhouse holds`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let holds = args.connection.client()?.holds().await?;
    args.output.write(&holds, |holds| text(holds))
}

pub(super) fn text(holds: &[HoldView]) -> String {
    let header = ["POOL", "UP TO REVISION", "SERVERS", "HELD BY"];
    columns(header, holds.iter().map(row).collect())
}

/// How many servers a row names, so that it stays one line on a terminal; JSON has more.
const NAMED_MAX: usize = 5;

fn row(hold: &HoldView) -> [String; 4] {
    let servers = hold.servers.iter().map(|key| key.server.to_string());
    let total = hold.total.max(hold.servers.len());
    let balancers = hold.balancers.iter().map(|holder| holder.advertise.clone());
    [
        hold.pool.to_string(),
        hold.revision.to_string(),
        shortened_of(servers.collect(), NAMED_MAX, total),
        balancers.collect::<Vec<_>>().join(", "),
    ]
}
