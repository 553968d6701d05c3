//! `roundhouse status`: the fleet at a glance.

use std::collections::HashMap;

use client::{Alarm, InstanceSummary, Status};

use super::connection::Connection;
use super::failure::Failure;
use super::output::{Output, columns, counts};

/// What is said of a state that has not been read.
const UNKNOWN: &str = "not known";

/// The flags of `roundhouse status`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let status = args.connection.client()?.status().await?;
    args.output.write(&status, text)
}

pub(super) fn text(status: &Status) -> String {
    let mut lines = vec![
        format!("registry       {}", registry(status)),
        format!("leader         {}", leader(status)),
        format!("balancers      {}", balancers(status.balancers.as_deref())),
        format!(
            "orchestrators  {}",
            instances(status.orchestrators.as_deref())
        ),
        format!("pools          {}", pools(status)),
        format!("servers        {}", servers(status)),
    ];
    if !status.certificates.is_empty() {
        lines.push(format!("certificates   {}", status.certificates.len()));
    }
    if !status.alarms.is_empty() {
        lines.push(String::new());
        lines.push(alarms(&status.alarms));
    }
    lines.join("\n")
}

fn registry(status: &Status) -> String {
    let connected = if status.connected {
        "connected"
    } else {
        "not connected"
    };
    match (status.revision, status.desired) {
        (Some(revision), Some(desired)) => {
            format!("{connected}, revision {revision}, last changed by revision {desired}")
        }
        _ => format!("{connected}, no revision known"),
    }
}

fn pools(status: &Status) -> String {
    let pools = status.pools.map(|pools| pools.to_string());
    pools.unwrap_or_else(|| UNKNOWN.into())
}

fn leader(status: &Status) -> String {
    let Some(leader) = status.leader else {
        return "none".into();
    };
    let orchestrators = status.orchestrators.iter().flatten();
    let known = orchestrators
        .clone()
        .find(|orchestrator| orchestrator.id == leader);
    let name = known
        .map(|known| known.advertise.clone())
        .filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| leader.to_string());
    match status.term {
        Some(term) => format!("{name}, term {term}"),
        None => name,
    }
}

fn balancers(balancers: Option<&[InstanceSummary]>) -> String {
    let behind = |it: &&InstanceSummary| !it.lost && it.lag != Some(0);
    let count = |counted: &dyn Fn(&&InstanceSummary) -> bool| {
        balancers.iter().copied().flatten().filter(counted).count()
    };
    let mut text = instances(balancers);
    for (count, what) in [(count(&behind), "behind"), (count(&|it| it.stale), "stale")] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text
}

/// What an orchestrator has applied is of no interest: it reports that once a second, and no request waits for it.
fn instances(instances: Option<&[InstanceSummary]>) -> String {
    let Some(instances) = instances else {
        return "not known: the registry cannot be asked".into();
    };
    let lost = instances.iter().filter(|instance| instance.lost).count();
    match lost {
        0 => instances.len().to_string(),
        lost => format!("{}, {lost} lost", instances.len()),
    }
}

fn servers(status: &Status) -> String {
    let Some(servers) = &status.servers else {
        return UNKNOWN.into();
    };
    let counted = [
        (servers.up, "up"),
        (servers.down, "down"),
        (servers.unknown, "unknown"),
        (servers.draining, "draining"),
        (servers.disabled, "disabled"),
    ];
    counts(servers.total, &counted)
}

/// How many alarms of one kind are shown, so that hundreds of them hide no others; JSON has all.
const ALARMS_MAX: usize = 10;

/// How many instances are shown with one at least, where more of them say something of one kind.
const REPORTERS_MAX: usize = 100;

/// The kinds that instances say, and that concern these. The others concern elements, of which one is like the next.
const REPORTED: [&str; 4] = ["lost", "hold", "nack", "trouble"];

/// The alarms, those of one kind side by side.
fn alarms(alarms: &[Alarm]) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    for alarm in alarms {
        if !kinds.contains(&alarm.kind.as_str()) {
            kinds.push(&alarm.kind);
        }
    }
    let rows = kinds.into_iter().flat_map(|kind| of_kind(kind, alarms));
    columns(["ALARM", "CONCERNS", "WHAT"], rows.collect())
}

fn of_kind(kind: &str, alarms: &[Alarm]) -> Vec<[String; 3]> {
    let alarms: Vec<_> = alarms.iter().filter(|alarm| alarm.kind == kind).collect();
    let shown = spread(kind, &alarms);
    let count = |alarms: &[&Alarm]| alarms.iter().map(|alarm| alarm.count).sum::<u64>();
    let rest = count(&alarms).saturating_sub(count(&shown));
    let row = |alarm: &Alarm| {
        [
            alarm.kind.clone(),
            alarm.subject.clone(),
            alarm.detail.clone(),
        ]
    };
    let mut rows: Vec<_> = shown.into_iter().map(row).collect();
    rows.extend((rest > 0).then(|| [kind.to_owned(), String::new(), format!("and {rest} more")]));
    rows
}

/// As many alarms of a kind as are shown: one of each subject before a second one of any, those of one subject side by side.
fn spread<'a>(kind: &str, alarms: &[&'a Alarm]) -> Vec<&'a Alarm> {
    let mut subjects = HashMap::new();
    let mut placed = Vec::new();
    for alarm in alarms {
        let place = subjects.len();
        let (place, turns) = subjects.entry(&alarm.subject).or_insert((place, 0));
        placed.push((*place, *turns, *alarm));
        *turns += 1;
    }
    let most = match REPORTED.contains(&kind) {
        true => subjects.len().clamp(ALARMS_MAX, REPORTERS_MAX),
        false => ALARMS_MAX,
    };
    placed.sort_by_key(|(place, turn, _)| (*turn, *place));
    placed.truncate(most);
    placed.sort_by_key(|(place, turn, _)| (*place, *turn));
    placed.into_iter().map(|(.., alarm)| alarm).collect()
}
