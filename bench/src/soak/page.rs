//! The soak's page.

use std::fmt::Write as _;

use super::tally::{Counts, Tally};
use crate::machine::Machine;

const INTRODUCTION: &str = "# Under trouble

A balancer of two threads under a steady load, while its servers are killed, hung, made to reset and slowed down at random and its
membership changes ten times a second, for servers in trouble too. Six of ten requests are GET; two are PUT, half of which bring 48 or
60 KiB, nearly the 64 that are kept to be sent again, and a third of which come in chunks; two are POST of up to 4 KiB. A request that
is idempotent, and whose body can be sent again, need never fail; nor need any other of which nothing had been sent to a server. Both
counts are to be 0.

This page is written by the tool; to repeat it:

    bench/soak
";

pub(super) fn render(tally: &Tally, machine: &Machine, minutes: f64, seed: u64) -> String {
    let mut page = String::from(INTRODUCTION);
    page += &machine.table(&[
        ("length", format!("{minutes} minutes")),
        ("seed", seed.to_string()),
    ]);
    for (trouble, times) in &tally.troubles {
        let _ = writeln!(page, "| {trouble} | {times} times |");
    }
    page += "\n| requests | answered | failed though they need not have | failed after they had been sent |\n|---|---:|---:|---:|\n";
    page += &row(
        "idempotent, with a body that can be sent again or none",
        &tally.repeatable,
    );
    page += &row("others", &tally.once);
    let latency = |quantile| tally.latencies.value_at_quantile(quantile) as f64 / 1000.0;
    let _ = writeln!(
        page,
        "\nWhat was answered took {:.1} ms at the median, {:.1} ms at p99, {:.0} ms at p99.9 and {:.0} ms at most.",
        latency(0.5),
        latency(0.99),
        latency(0.999),
        latency(1.0)
    );
    if !tally.examples.is_empty() {
        page += "\nSome of what failed though it need not have:\n\n";
    }
    for example in &tally.examples {
        let _ = writeln!(page, "- {example}");
    }
    page
}

fn row(name: &str, counts: &Counts) -> String {
    format!(
        "| {name} | {} | {} | {} |\n",
        counts.answered, counts.unforced, counts.forced
    )
}

#[cfg(test)]
mod tests {
    use super::super::tally::{Ending, Kind};
    use super::*;

    #[test]
    fn the_page_has_both_counts_and_the_seed() {
        let mut tally = Tally::default();
        tally.count(Kind::Repeatable, &Ending::Answered, 1500);
        tally.count(Kind::Once, &Ending::Broken("closed".into()), 10);
        let page = render(&tally, &Machine::default(), 10.0, 42);
        for part in [
            "| seed | 42 |",
            "none | 1 | 0 | 0 |",
            "| others | 0 | 1 | 0 |",
            "1.5 ms",
            "- Once, after 10 us",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}
