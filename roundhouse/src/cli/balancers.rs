//! `roundhouse balancers`: what each balancer has applied, and what it is letting go of.

use std::time::Duration;

use client::BalancerView;
use model::Origin;

use super::connection::Connection;
use super::failure::Failure;
use super::output::{Output, columns, optional};

/// The flags of `roundhouse balancers`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let balancers = args.connection.client()?.balancers().await?;
    args.output.write(&balancers, |balancers| text(balancers))
}

pub(super) fn text(balancers: &[BalancerView]) -> String {
    let header = [
        "ADDRESS", "ZONE", "REVISION", "BEHIND", "LAG", "REPORTED", "REMARKS", "ID",
    ];
    columns(header, balancers.iter().map(row).collect())
}

fn row(balancer: &BalancerView) -> [String; 8] {
    [
        balancer.advertise.clone(),
        balancer.zone.clone(),
        optional(balancer.revision),
        optional(balancer.lag),
        optional(balancer.lag_ms.map(lag)),
        format!("{} ago", balancer.age),
        remarks(balancer).join(", "),
        balancer.id.to_string(),
    ]
}

fn lag(milliseconds: u64) -> String {
    model::format_duration(Duration::from_millis(milliseconds))
}

fn remarks(balancer: &BalancerView) -> Vec<String> {
    let mut remarks = Vec::new();
    if balancer.lost {
        remarks.push("lost".to_owned());
    }
    match balancer.origin {
        Origin::Nothing => remarks.push("has no table yet".to_owned()),
        Origin::Disk => remarks.push("works from its own disk".to_owned()),
        Origin::Registry if balancer.stale && !balancer.lost => remarks.push("stale".to_owned()),
        Origin::Registry => {}
    }
    for leaving in balancer.leaving.iter().filter(|one| one.in_flight > 0) {
        remarks.push(format!(
            "{} in flight to {}",
            leaving.in_flight, leaving.server
        ));
    }
    for leaving in balancer.leaving.iter().filter(|one| one.sticky) {
        remarks.push(format!("still sends clients to {}", leaving.server));
    }
    for hold in &balancer.holds {
        remarks.push(format!("holds {} servers of {}", hold.size(), hold.pool));
    }
    for server in &balancer.ejected {
        remarks.push(format!("has ejected {server}"));
    }
    for nack in &balancer.nacks {
        remarks.push(format!("cannot apply {} {}", nack.collection, nack.key));
    }
    for (collection, count) in &balancer.more_nacks {
        remarks.push(format!("and {count} more of {collection}"));
    }
    remarks
}
