//! A thousand servers flap at once: how many revisions that becomes, and what it costs a balancer under load.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use model::{Collection, FleetName, Health};
use registry::Announcement;

use super::super::findings::{Figure, Section};
use super::super::fleet::{Balancer, deadline, pause};
use super::super::servers::Mood;
use super::Stage;
use crate::Error;
use crate::load::{Plan, Report, Request};
use crate::peers::{OTHER_CORE, PROXY_CORE};
use crate::stats::{median, median_ratio};

/// Client connections.
const CONNECTIONS: usize = 64;

/// How long the load goes on before anything counts.
const WARM_UP: Duration = Duration::from_secs(2);

/// How long servers are down, and then well again: a verdict of either kind takes two intervals.
const HALF: Duration = Duration::from_secs(6);

/// How much more a balancer may use while they flap.
const RATIO_MOST: f64 = 1.1;

const NOTE: &str = "So many of the servers fail at once, are well again 6 s later, and so on: they answer probes with 503 and reset other connections.
A balancer of one thread, on the orchestrator's core, is asked for a fixed rate by 64 connections meanwhile, in turns with and without
the flapping, each of 12 s, which is failing and recovering once. A request that meets a server which fails is sent to another, so
retries and suspicions are in the cost. A ratio is taken within each round.";

/// A revision of verdicts: when it was heard of, and how many verdicts it has.
type Heard = Arc<Mutex<Vec<(Instant, usize)>>>;

pub(super) struct Flapping<'a> {
    stage: &'a Stage<'a>,
    heard: Heard,
}

/// When the servers began to fail, when to be well, and when all were found to be up.
#[derive(Debug, Clone, Copy)]
struct Flap {
    failed: Instant,
    well: Instant,
    over: Instant,
}

/// What verdicts followed an edge.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Edge {
    revisions: f64,
    verdicts: f64,
    /// Until the last of them.
    seconds: f64,
}

impl<'a> Flapping<'a> {
    pub(super) fn new(stage: &'a Stage<'a>) -> Self {
        Self {
            stage,
            heard: Heard::default(),
        }
    }

    pub(super) fn measure(&self) -> Result<Section, Error> {
        let mut section = Section::new("Servers that flap", NOTE);
        self.stage.runtime.block_on(self.listen())?;
        let fleet = FleetName::standard();
        let mut balancers = self.stage.fleet.balancers(1, PROXY_CORE, &fleet)?;
        let balancer = balancers.remove(0);
        let (mut quiet, mut flapping, mut flaps) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.stage.args.rounds {
            quiet.push(self.load(&balancer)?);
            let (report, [failed, well]) = self.load_while_flapping(&balancer)?;
            flapping.push(report);
            self.stage.runtime.block_on(self.all_up())?;
            let over = Instant::now();
            flaps.push(Flap { failed, well, over });
        }
        add_costs(&mut section, &quiet, &flapping)?;
        self.add_edges(&mut section, &flaps);
        Ok(section)
    }

    /// Notes every revision of verdicts from now on.
    async fn listen(&self) -> Result<(), Error> {
        let mut announcements = self.stage.registry.announcements().await?;
        let heard = Arc::clone(&self.heard);
        tokio::spawn(async move {
            while let Ok(announcement) = announcements.next().await {
                if let Announcement::Delta(delta) = announcement {
                    let entries = delta.entries.iter();
                    let verdicts = entries.filter(|it| it.collection == Collection::Health);
                    let revision = (Instant::now(), verdicts.count());
                    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                    heard.push(revision);
                }
            }
        });
        Ok(())
    }

    fn load(&self, balancer: &Balancer) -> Result<Report, Error> {
        let plan = Plan {
            address: balancer.address,
            connections: CONNECTIONS,
            request: Request::get("/"),
            certificate: None,
            rate: Some(self.stage.args.rate),
            warm_up: WARM_UP,
            warm_up_requests: 0,
            duration: 2 * HALF,
            watch: balancer.process.pid(),
        };
        let said = self
            .stage
            .fleet
            .load(&serde_json::to_string(&plan)?, OTHER_CORE)?;
        Ok(serde_json::from_str(&said)?)
    }

    fn load_while_flapping(&self, balancer: &Balancer) -> Result<(Report, [Instant; 2]), Error> {
        thread::scope(|scope| {
            let flap = scope.spawn(|| self.flap());
            let report = self.load(balancer);
            let flap = flap.join();
            let flap = flap.map_err(|_| Error::Unfit("the servers could not flap".into()))??;
            Ok((report?, flap))
        })
    }

    /// Once, when the load is warm. Tells when they failed and when they were well again.
    fn flap(&self) -> Result<[Instant; 2], Error> {
        let which = || 0..self.stage.args.flapping;
        thread::sleep(WARM_UP);
        let failed = Instant::now();
        self.stage.servers.set(which(), Mood::Failing)?;
        thread::sleep(HALF);
        let well = Instant::now();
        self.stage.servers.set(which(), Mood::Well)?;
        Ok([failed, well])
    }

    async fn all_up(&self) -> Result<(), Error> {
        let until = deadline();
        loop {
            let read = self.stage.registry.snapshot().await?;
            let is_up = read.is_some_and(|read| {
                let mut verdicts = read.snapshot.health.values();
                verdicts.all(|verdict| verdict.value.health == Health::Up)
            });
            if is_up {
                return Ok(());
            }
            pause(until, "every server to be up again").await?;
        }
    }

    /// What followed each edge.
    fn add_edges(&self, section: &mut Section, flaps: &[Flap]) {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = flaps
            .iter()
            .map(|flap| Edge::of(&heard, flap.failed, flap.well));
        let well = flaps
            .iter()
            .map(|flap| Edge::of(&heard, flap.well, flap.over));
        add_edge(section, "failed", &failed.collect::<Vec<_>>());
        add_edge(section, "were well again", &well.collect::<Vec<_>>());
    }
}

impl Edge {
    /// Of the revisions from one moment to another.
    fn of(heard: &[(Instant, usize)], from: Instant, until: Instant) -> Self {
        let within: Vec<_> = heard
            .iter()
            .filter(|(at, verdicts)| (from..until).contains(at) && *verdicts > 0)
            .collect();
        let last = within.last().map(|(at, _)| *at - from);
        Self {
            revisions: within.len() as f64,
            verdicts: within.iter().map(|(_, verdicts)| *verdicts as f64).sum(),
            seconds: last.unwrap_or_default().as_secs_f64(),
        }
    }
}

fn add_edge(section: &mut Section, what: &str, edges: &[Edge]) {
    let most = |of: fn(&Edge) -> f64| edges.iter().map(of).fold(0.0, f64::max);
    for (figure, value, unit) in [
        ("revisions", most(|edge| edge.revisions), ""),
        ("verdicts in them", most(|edge| edge.verdicts), ""),
        ("until the last verdict", most(|edge| edge.seconds), "s"),
    ] {
        let figure = format!("{figure} after they {what}, at most");
        section.add(Figure::new(figure, value, unit));
    }
}

fn add_costs(section: &mut Section, quiet: &[Report], flapping: &[Report]) -> Result<(), Error> {
    let shares = |reports: &[Report]| -> Vec<f64> {
        let share = |report: &Report| report.cpu_ns as f64 / 1e9 / report.seconds;
        reports.iter().map(share).collect()
    };
    let (quiet_shares, flapping_shares) = (shares(quiet), shares(flapping));
    let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
    let ratio = median_ratio(&some(&flapping_shares), &some(&quiet_shares));
    let nothing = || Error::Unfit("no round was measured".into());
    for (what, reports, shares) in [
        ("in quiet", quiet, &quiet_shares),
        ("while they flap", flapping, &flapping_shares),
    ] {
        let share = median(shares).ok_or_else(nothing)?;
        let requests: f64 = reports.iter().map(|report| report.requests as f64).sum();
        let seconds: f64 = reports.iter().map(|report| report.seconds).sum();
        let failures: u64 = reports.iter().map(|report| report.failures).sum();
        let worst = reports
            .iter()
            .filter_map(|report| Some(report.latencies.as_ref()?.p99_us))
            .fold(0.0, f64::max);
        let named = |figure: &str| format!("{figure}, {what}");
        section.add(Figure::new(
            named("a balancer's CPU, of one core"),
            share,
            "",
        ));
        section.add(Figure::new(
            named("requests a second"),
            requests / seconds,
            "",
        ));
        section.add(Figure::new(
            named("requests that failed"),
            failures as f64,
            "",
        ));
        section.add(Figure::new(named("p99 of a request"), worst / 1e3, "ms"));
    }
    let ratio = ratio.ok_or_else(nothing)?;
    section.add(Figure::new("CPU while they flap by CPU in quiet", ratio, "").at_most(RATIO_MOST));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_has_the_revisions_of_verdicts_until_the_next_one() {
        let from = Instant::now();
        let after = |millis| from + Duration::from_millis(millis);
        let heard = [
            (from - Duration::from_millis(1), 7),
            (after(0), 1),
            (after(10), 0),
            (after(250), 900),
            (after(1000), 7),
        ];
        let expected = Edge {
            revisions: 2.0,
            verdicts: 901.0,
            seconds: 0.25,
        };
        assert_eq!(Edge::of(&heard, from, after(1000)), expected);
        assert_eq!(Edge::of(&[], from, after(1)).revisions, 0.0);
    }
}
