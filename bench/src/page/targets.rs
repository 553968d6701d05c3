//! What was to be reached, and whether it was.

use std::fmt::Write as _;

use crate::results::{Figure, Measured, Results};

/// A figure beside another's.
struct Target {
    case: &'static str,
    figure: Figure,
    /// Ours; the other's where more is better.
    of: &'static str,
    /// By this one's; by the best peer's where it is not given.
    by: Option<&'static str>,
    bound: Bound,
}

/// What is bounded.
enum Bound {
    /// The ratio of the two.
    Ratio(f64),
    /// How much more it is, as the difference of the medians, in microseconds.
    ExcessUs(f64),
}

const OURS: &str = "roundhouse";

const PEERS: [&str; 3] = ["nginx", "haproxy", "envoy"];

/// What may be no worse with more servers or under changes. Requests a second are the other way round.
const OF_ITSELF: [Figure; 5] = [
    Figure::CpuUs,
    Figure::RequestsPerSecond,
    Figure::P50Us,
    Figure::P99Us,
    Figure::PeakMib,
];

fn targets() -> Vec<Target> {
    let best_p99 = Target {
        by: None,
        ..by_peer("latency", Figure::P99Us, "", 1.0)
    };
    let mut all = vec![
        by_peer("short-64", Figure::CpuUs, "nginx", 0.90),
        by_peer("short-64", Figure::CpuUs, "haproxy", 0.85),
        by_peer("short-64", Figure::CpuUs, "envoy", 0.28),
        by_peer("short-64", Figure::CpuUs, "relay", 1.10),
        by_peer("short-512", Figure::CpuUs, "nginx", 0.70),
        by_peer("body-100k", Figure::CpuUs, "nginx", 0.70),
        by_peer("body-100k", Figure::CpuUs, "haproxy", 0.90),
        best_p99,
        by_peer("idle", Figure::KibPerConnection, "nginx", 1.5),
    ];
    for (case, variant) in [
        ("servers", "roundhouse, 10000 servers"),
        ("changes", "roundhouse, changing"),
    ] {
        all.extend(OF_ITSELF.map(|figure| by_itself(case, figure, variant)));
    }
    all.extend([
        by_swaps(OURS, "roundhouse, changing"),
        by_swaps(
            "roundhouse, least_connections",
            "roundhouse, least_connections, changing",
        ),
        by_itself("threads", Figure::CpuUs, "roundhouse, 2 threads"),
        by_peer("https", Figure::CpuUs, "nginx", 1.0),
        by_peer("h2", Figure::CpuUs, "haproxy", 0.9),
        Target {
            of: "roundhouse, 1000 routes, firewall and limit",
            ..by_peer("routes", Figure::CpuUs, OURS, 1.05)
        },
    ]);
    all
}

fn by_peer(case: &'static str, figure: Figure, peer: &'static str, at_most: f64) -> Target {
    Target {
        case,
        figure,
        of: OURS,
        by: Some(peer),
        bound: Bound::Ratio(at_most),
    }
}

fn by_itself(case: &'static str, figure: Figure, variant: &'static str) -> Target {
    let (of, by) = match figure {
        Figure::RequestsPerSecond => (OURS, variant),
        _ => (variant, OURS),
    };
    Target {
        of,
        ..by_peer(case, figure, by, 1.1)
    }
}

fn by_swaps(base: &'static str, changing: &'static str) -> Target {
    Target {
        case: "swaps",
        figure: Figure::MaxUs,
        of: changing,
        by: Some(base),
        bound: Bound::ExcessUs(1000.0),
    }
}

pub(super) fn render(results: &Results) -> String {
    let mut text =
        String::from("| case | figure | of | at most | seen | |\n|---|---|---|---:|---:|---|\n");
    for target in targets() {
        let Some(case) = results.case(target.case) else {
            continue;
        };
        let (seen, verdict) = match target.seen(results) {
            Some(seen) if seen <= target.bound.at_most() => (target.bound.shown(seen), "met"),
            Some(seen) => (target.bound.shown(seen), "**missed**"),
            None => (String::new(), "not measured"),
        };
        let figure = named(target.figure);
        let by = target.by.unwrap_or("the best peer at the same rate");
        let _ = writeln!(
            text,
            "| {} | {figure} | {} {} {by} | {} | {seen} | {verdict} |",
            case.title,
            target.of,
            target.bound.sign(),
            target.bound.shown(target.bound.at_most()),
        );
    }
    text
}

impl Target {
    /// What was seen; by the best peer, that is the largest ratio of those by each that was asked for as much as ours.
    fn seen(&self, results: &Results) -> Option<f64> {
        let case = results.case(self.case)?;
        let ours = case.contestant(self.of)?;
        match self.by {
            Some(name) => self.bound.seen(ours, case.contestant(name)?, self.figure),
            None => PEERS
                .into_iter()
                .filter_map(|name| case.contestant(name))
                .filter(|peer| peer.median(Figure::Rate) == ours.median(Figure::Rate))
                .filter_map(|peer| self.bound.seen(ours, peer, self.figure))
                .max_by(f64::total_cmp),
        }
    }
}

impl Bound {
    fn at_most(&self) -> f64 {
        match self {
            Self::Ratio(at_most) | Self::ExcessUs(at_most) => *at_most,
        }
    }

    fn seen(&self, of: &Measured, by: &Measured, figure: Figure) -> Option<f64> {
        match self {
            Self::Ratio(_) => of.ratio(by, figure),
            Self::ExcessUs(_) => Some(of.median(figure)? - by.median(figure)?),
        }
    }

    fn shown(&self, value: f64) -> String {
        match self {
            Self::Ratio(_) => format!("{value:.2}"),
            Self::ExcessUs(_) => format!("{value:.0} us"),
        }
    }

    fn sign(&self) -> char {
        match self {
            Self::Ratio(_) => '/',
            Self::ExcessUs(_) => '-',
        }
    }
}

fn named(figure: Figure) -> &'static str {
    match figure {
        Figure::CpuUs => "CPU per request",
        Figure::P99Us => "p99",
        Figure::P999Us => "p99.9",
        Figure::MaxUs => "the slowest request",
        Figure::KibPerConnection => "memory per connection",
        Figure::UserShare => "user share",
        Figure::RequestsPerSecond => "requests a second",
        Figure::P50Us => "p50",
        Figure::PeakMib => "peak memory",
        Figure::Failures => "failures",
        Figure::Rate => "rate",
        Figure::Changes => "changes a second",
        Figure::ResumedShare => "resumed share",
    }
}
