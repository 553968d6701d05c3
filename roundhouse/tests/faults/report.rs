//! What becomes of a run: the table of `docs/faults.md`, and what did not hold.

use std::fmt::Write;
use std::time::Duration;

use crate::scene::Facts;
use crate::table::Fault;

/// How one scene ended.
pub(crate) enum Outcome {
    Held(Facts),
    /// What it lacks here.
    Skipped(&'static str),
    /// What was not as it must be.
    Broken(String),
}

/// One scene of a run.
pub(crate) struct Row {
    pub(crate) faults: Vec<&'static Fault>,
    pub(crate) outcome: Outcome,
}

impl Row {
    pub(crate) fn name(&self) -> String {
        let names: Vec<_> = self.faults.iter().map(|fault| fault.name).collect();
        names.join(" + ")
    }

    /// A line for who looks on.
    pub(crate) fn line(&self) -> String {
        let name = self.name();
        match &self.outcome {
            Outcome::Held(facts) => format!(
                "{name}: held {}, {} of {} requests failed, the longest took {}, {} of {} changes taken, converged {} after it healed",
                text(facts.held),
                facts.failed,
                facts.requests,
                text(facts.longest),
                facts.acknowledged,
                facts.changes,
                text(facts.converged)
            ),
            Outcome::Skipped(reason) => format!("{name}: skipped: {reason}"),
            Outcome::Broken(reason) => format!("{name}: DID NOT HOLD: {reason}"),
        }
    }

    fn cells(&self) -> String {
        match &self.outcome {
            Outcome::Held(facts) => {
                let reasons = self.faults.iter().filter_map(|fault| fault.failures);
                let reasons: Vec<_> = reasons.collect();
                let failed = match (facts.failed, reasons.first()) {
                    (1.., Some(reason)) => format!("{} ({reason})", facts.failed),
                    (failed, _) => failed.to_string(),
                };
                format!(
                    "{} | {} | {failed} | {} | {} of {} | {}",
                    text(facts.held),
                    facts.requests,
                    text(facts.longest),
                    facts.acknowledged,
                    facts.changes,
                    text(facts.converged)
                )
            }
            Outcome::Skipped(reason) => format!("skipped: {reason} | | | | |"),
            Outcome::Broken(reason) => {
                let reason = reason.lines().next().unwrap_or_default().replace('|', "/");
                format!("**did not hold**: {reason} | | | | |")
            }
        }
    }
}

/// Whole milliseconds below a second, and tenths of a second from there on.
fn text(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

/// The whole page.
pub(crate) fn page(singles: &[Row], pairs: &[Row], seed: u64) -> String {
    let mut page = String::from(HEAD);
    page.push_str("\n## Each alone\n\n");
    page.push_str("| what breaks | what is expected | held | requests | failed | longest | changes taken | converged after |\n");
    page.push_str("|---|---|---|---|---|---|---|---|\n");
    for row in singles {
        let expected = row.faults[0].expected;
        let _ = writeln!(page, "| {} | {expected} | {} |", row.name(), row.cells());
    }
    if pairs.is_empty() {
        return page;
    }
    let _ = write!(
        page,
        "\n## Two at once\n\nBy chance, with the seed {seed}.\n\n"
    );
    page.push_str(
        "| what breaks | held | requests | failed | longest | changes taken | converged after |\n",
    );
    page.push_str("|---|---|---|---|---|---|---|\n");
    for row in pairs {
        let _ = writeln!(page, "| {} | {} |", row.name(), row.cells());
    }
    page
}

const HEAD: &str = "# What breaks, and what it costs

This page is written by `scripts/faults --rounds N`; do not edit it. `roundhouse/tests/faults` says what is done and how it is looked at.

For each row a fleet of its own runs as real processes: a Redis, two orchestrators, the admin API, two balancers, three servers, one of which
registers itself. A client sends 100 requests a second, by turns to each balancer and by turns on kept and on new connections, whether or not
earlier ones were answered. Then something breaks, holds, and is healed, while somebody goes on to change the membership: a server is
drained and made active again, weights change, servers are added.

*failed* counts requests without a 200, and *longest* is the longest that any other one took from when it was due. *changes taken* is how many
changes the admin API acknowledged. *converged after* is how long after the healing another change was taken and applied by all, and every
balancer's table was the registry's content.

In each row that held, and at the end of it: every balancer's table equals the registry's content, every acknowledged change is in it, one
orchestrator leads, no leader wrote after another one with a later term, and changes are applied by all balancers.
";
