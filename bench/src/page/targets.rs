//! What was to be reached, and whether it was.

use std::fmt::Write as _;

use crate::results::{Figure, Results};

/// A ratio that may be at most so much.
struct Target {
    case: &'static str,
    figure: Figure,
    /// Ours.
    of: &'static str,
    /// By this one's; by the best peer's where it is not given.
    by: Option<&'static str>,
    at_most: f64,
}

const OURS: &str = "roundhouse";

const PEERS: [&str; 3] = ["nginx", "haproxy", "envoy"];

const TARGETS: [Target; 14] = [
    by_peer("short-64", Figure::CpuUs, "nginx", 0.90),
    by_peer("short-64", Figure::CpuUs, "haproxy", 0.85),
    by_peer("short-64", Figure::CpuUs, "envoy", 0.28),
    by_peer("short-64", Figure::CpuUs, "relay", 1.10),
    by_peer("short-512", Figure::CpuUs, "nginx", 0.70),
    by_peer("body-100k", Figure::CpuUs, "nginx", 0.70),
    by_peer("body-100k", Figure::CpuUs, "haproxy", 0.90),
    target("latency", Figure::P99Us, OURS, None, 1.0),
    by_peer("idle", Figure::KibPerConnection, "nginx", 1.5),
    by_itself("servers", Figure::CpuUs, "roundhouse, 10000 servers", 1.1),
    by_itself("servers", Figure::P99Us, "roundhouse, 10000 servers", 1.1),
    by_itself("changes", Figure::CpuUs, "roundhouse, changing", 1.1),
    by_itself("changes", Figure::P99Us, "roundhouse, changing", 1.1),
    by_itself("threads", Figure::CpuUs, "roundhouse, 2 threads", 1.1),
];

const fn by_peer(case: &'static str, figure: Figure, peer: &'static str, at_most: f64) -> Target {
    target(case, figure, OURS, Some(peer), at_most)
}

const fn by_itself(
    case: &'static str,
    figure: Figure,
    variant: &'static str,
    at_most: f64,
) -> Target {
    target(case, figure, variant, Some(OURS), at_most)
}

const fn target(
    case: &'static str,
    figure: Figure,
    of: &'static str,
    by: Option<&'static str>,
    at_most: f64,
) -> Target {
    Target {
        case,
        figure,
        of,
        by,
        at_most,
    }
}

pub(super) fn render(results: &Results) -> String {
    let mut text =
        String::from("| case | figure | ratio | at most | seen | |\n|---|---|---|---:|---:|---|\n");
    for target in &TARGETS {
        let Some(case) = results.case(target.case) else {
            continue;
        };
        let by = target.by.unwrap_or("the best peer");
        let (seen, verdict) = match target.seen(results) {
            Some(seen) if seen <= target.at_most => (format!("{seen:.2}"), "met"),
            Some(seen) => (format!("{seen:.2}"), "**missed**"),
            None => (String::new(), "not measured"),
        };
        let figure = named(target.figure);
        let _ = writeln!(
            text,
            "| {} | {figure} | {} / {by} | {:.2} | {seen} | {verdict} |",
            case.title, target.of, target.at_most
        );
    }
    text
}

impl Target {
    /// The ratio that was seen; by the best peer, that is the largest of those by each.
    fn seen(&self, results: &Results) -> Option<f64> {
        let case = results.case(self.case)?;
        let ours = case.contestant(self.of)?;
        let by = |name: &str| ours.ratio(case.contestant(name)?, self.figure);
        match self.by {
            Some(name) => by(name),
            None => PEERS.into_iter().filter_map(by).max_by(f64::total_cmp),
        }
    }
}

fn named(figure: Figure) -> &'static str {
    match figure {
        Figure::CpuUs => "CPU per request",
        Figure::P99Us => "p99",
        Figure::KibPerConnection => "memory per connection",
        Figure::UserShare => "user share",
        Figure::RequestsPerSecond => "requests a second",
        Figure::P50Us => "p50",
        Figure::PeakMib => "peak memory",
        Figure::Failures => "failures",
        Figure::Rate => "rate",
    }
}
