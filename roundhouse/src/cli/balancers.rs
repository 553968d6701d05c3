//! `roundhouse balancers`: what each balancer has applied, and what it is letting go of.

use std::time::Duration;

use client::BalancerView;
use model::Origin;

use super::connection::Connection;
use super::failure::Failure;
use super::output::{Output, columns, optional, shortened, shortened_of};

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

/// How many remarks of one kind a row has, so that many of them hide no others; JSON has all.
const REMARKS_MAX: usize = 3;

fn remarks(balancer: &BalancerView) -> Vec<String> {
    let mut remarks = of_itself(balancer);
    let mut add = |what: &str, all: Vec<String>| {
        if !all.is_empty() {
            remarks.push(format!("{what}{}", shortened(all, REMARKS_MAX)));
        }
    };
    let leaving = balancer.leaving.iter();
    let in_flight = leaving.clone().filter(|one| one.in_flight > 0);
    let in_flight = in_flight.map(|one| format!("{} in flight to {}", one.in_flight, one.server));
    add("", in_flight.collect());
    let sticky = leaving.filter(|one| one.sticky);
    let sticky = sticky.map(|one| one.server.to_string());
    add("still sends clients to ", sticky.collect());
    let holds = balancer.holds.iter();
    let holds = holds.map(|hold| format!("{} servers of {}", hold.size(), hold.pool));
    add("holds ", holds.collect());
    let ejected = balancer.ejected.iter().map(ToString::to_string);
    add("has ejected ", ejected.collect());
    remarks.extend(unapplied(balancer));
    remarks
}

fn of_itself(balancer: &BalancerView) -> Vec<String> {
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
    remarks
}

/// What it cannot apply, also of what its report only counts.
fn unapplied(balancer: &BalancerView) -> Option<String> {
    let named = balancer.nacks.iter();
    let named: Vec<_> = named
        .map(|nack| format!("{} {}", nack.collection, nack.key))
        .collect();
    let counted = balancer.more_nacks.values();
    let total = counted.fold(named.len(), |sum, more| sum.saturating_add(*more as usize));
    let told = || shortened_of(named, REMARKS_MAX, total);
    (total > 0).then(|| format!("cannot apply {}", told()))
}
