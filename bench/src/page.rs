//! The page: README.md and its chart, made wholly from the results. What people found out stands in `findings.md`, by
//! hand, and is linked.

mod chart;
mod table;
mod targets;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Error;
use crate::results::{CaseResult, Figure, Results};

/// Writes README.md and cpu.svg into a folder.
pub(crate) fn write(results: &Results, folder: &Path) -> Result<(), Error> {
    fs::write(folder.join("cpu.svg"), chart::svg(results)?)?;
    let has_findings = folder.join("findings.md").exists();
    Ok(fs::write(
        folder.join("README.md"),
        render(results, has_findings),
    )?)
}

fn render(results: &Results, has_findings: bool) -> String {
    let mut page = String::from(INTRODUCTION);
    page += &where_it_ran(results);
    if has_findings {
        page += "\nWhat was found out about the figures, by hand: [findings.md](findings.md).\n";
    }
    page += "\n![Processor time per request](cpu.svg)\n\n## What was to be reached\n\n";
    page += &targets::render(results);
    page += HOW_TO_READ;
    for case in &results.cases {
        page += &render_case(case, results.rounds);
    }
    page
}

const INTRODUCTION: &str = "# Side by side

Roundhouse beside nginx, HAProxy, Envoy and a bare byte relay, each with one worker on a core of its own and equal work: connections
kept on both sides, `X-Forwarded-For` added, bodies sent on as they come, no access log, as many connections that may wait to be
accepted, the same times within which things must happen. The servers and the client have the other core. Roundhouse runs as it is:
with metrics, health state, counts of what is in flight and retries armed, in a fleet on Redis whose other processes have the other
core too. The relay knows no HTTP and copies bytes: the floor.

What is not equal is what each does by default. Roundhouse alone writes `Via`, `Forwarded` and `X-Forwarded-Host`, keeps a request's
body up to 64 KiB to send it again, and closes a client's connection after 10,000 requests, but not within TLS (the peers' bounds are
lifted); `X-Forwarded-Proto` and a request id Envoy writes too. Each has buffers of its own sizes. Servers are probed by the
orchestrator, not by the balancer, and the peers probe none.

Within TLS all show the same certificate (ECDSA over P-256), allow TLS 1.2 and 1.3, give out tickets for sessions, and speak HTTP/2 and
HTTP/1.1 to clients, HTTP/1.1 to servers. The client takes TLS 1.3 with TLS_AES_128_GCM_SHA256 and verifies no signature, so that its
core is left to what is measured.

This page is written by the tool; to repeat it on a machine with two cores and nothing else to do:

    bench/compare
";

const HOW_TO_READ: &str = "
## The cases

Everyone has a turn in each round. A figure is the median of its rounds; a ratio is taken within each round, and is the median of
those: ours by theirs, so that less than 1 is better for ours in everything but requests a second. Another setting of ours is
compared to the plain one, as its own figure by the plain one's. CPU is user and system time of the whole process, from /proc.
Memory is the most that was ever resident. Requests a second are bounded by the client's core as much as by the proxy's.
";

fn where_it_ran(results: &Results) -> String {
    let rounds = format!("{} of {} s each", results.rounds, results.seconds);
    results.machine.table(&[
        ("network", results.machine.network.clone()),
        ("rounds", rounds),
    ])
}

fn render_case(case: &CaseResult, rounds: usize) -> String {
    let mut text = format!("\n### {}\n\n", case.title);
    if !case.note.is_empty() {
        let _ = writeln!(text, "{}\n", case.note);
    }
    let own_rounds = case.rounds();
    if own_rounds != rounds {
        let _ = writeln!(
            text,
            "Its figures vary more than others', so it had {own_rounds} rounds.\n"
        );
    }
    text += &table::render(case);
    for measured in &case.contestants {
        let failures = measured.sum(Figure::Failures);
        if failures > 0.0 {
            let _ = writeln!(text, "\n{}: {failures} requests failed.", measured.name);
        }
        if let Some(trouble) = &measured.trouble {
            let words: Vec<_> = trouble.split_whitespace().collect();
            let missing = measured
                .rounds
                .iter()
                .filter(|sample| sample.is_none())
                .count();
            let _ = writeln!(
                text,
                "\n{} could not be measured in {missing} of {} rounds: {}.",
                measured.name,
                measured.rounds.len(),
                words.join(" ")
            );
        }
    }
    text
}

#[cfg(test)]
mod tests;
