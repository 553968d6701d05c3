//! Runs the cases: everyone's turn in each round, so that a change of the machine's mood meets all alike.

mod changes;
mod rates;

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crate::Error;
use crate::cases::{Asked, Case, Contestant, Work};
use crate::identity::Identity;
use crate::load::{self, Plan, Report, Streaming};
use crate::origin::addresses;
use crate::peers::{OTHER_CORE, Places, Running, Setting};
use crate::process::{Launch, Process, free_address_v4};
use crate::results::{CaseResult, Figure, Measured, Sample};
use crate::stats::median;
use crate::usage::Memory;
use changes::while_changing;
use rates::{Most, steady_rates};

/// How often it is tried what everyone can at most.
const SETTLING_ROUNDS: usize = 3;

/// How much of a turn's time each of these trials takes: less than a turn, since only the rate is read from it, which varies little.
const SETTLING_SHARE: f64 = 0.5;

/// How many times as many rounds as others a noisy case has: medians vary less by the root of it, a quarter. It makes nine of the usual
/// five, an odd number too, so that the median is a figure that was measured.
const NOISY_ROUNDS_FACTOR: f64 = 1.8;

/// How long memory may still settle after the last connection.
const SETTLE: Duration = Duration::from_secs(2);

/// How a comparison is run.
#[derive(Debug, Clone)]
pub(crate) struct Plans {
    pub(crate) rounds: usize,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    pub(crate) places: Places,
}

impl Plans {
    /// How often everyone's turn comes in a case.
    fn rounds_of(&self, case: &Case) -> usize {
        match case.is_noisy {
            true => (self.rounds as f64 * NOISY_ROUNDS_FACTOR).ceil() as usize,
            false => self.rounds,
        }
    }
}

/// A case that is being run.
struct Stage<'a> {
    plans: &'a Plans,
    case: &'a Case,
}

/// A program with the server behind it: one of its own, since ten thousand connections from each would be too many for one.
struct Scene {
    running: Running,
    origin: SocketAddrV4,
    /// What it shows, where it is reached within TLS.
    identity: Option<Identity>,
    _origin: Process,
}

/// A contestant, with what runs for it unless it is started anew each round.
struct Entrant<'a> {
    contestant: &'a Contestant,
    running: Option<Scene>,
    /// Requests a second that it is to be asked for.
    rate: Option<f64>,
    measured: Measured,
}

/// Runs a case. Who cannot be measured is left out, with the reason; fails where nobody could be.
pub(crate) fn run(case: &Case, plans: &Plans) -> Result<CaseResult, Error> {
    eprintln!("\n{}", case.title);
    let stage = Stage { plans, case };
    let mut entrants: Vec<_> = case
        .contestants
        .iter()
        .map(|contestant| stage.enter(contestant))
        .collect();
    match case.work {
        Work::Steady(_, _, Asked::Share) => stage.settle_rates(&mut entrants),
        Work::Steady(_, _, Asked::Rate(rate)) => {
            entrants
                .iter_mut()
                .for_each(|entrant| entrant.rate = Some(rate));
        }
        Work::Closed(..) | Work::Streams(..) | Work::Idle(_) => {}
    }
    for _ in 0..plans.rounds_of(case) {
        for entrant in &mut entrants {
            stage.turn(entrant);
        }
    }
    Ok(CaseResult {
        name: case.name.into(),
        title: case.title.into(),
        note: case.note.into(),
        contestants: entrants
            .into_iter()
            .map(|entrant| entrant.measured)
            .collect(),
    })
}

impl<'a> Stage<'a> {
    /// Sets a contestant up, where it runs for the whole case.
    fn enter(&self, contestant: &'a Contestant) -> Entrant<'a> {
        let mut entrant = Entrant {
            contestant,
            running: None,
            rate: None,
            measured: Measured {
                name: contestant.name.clone(),
                peer: contestant.peer,
                against: contestant.against.clone(),
                rounds: Vec::new(),
                trouble: None,
            },
        };
        if !matches!(self.case.work, Work::Idle(_)) {
            match self.start(contestant) {
                Ok(running) => entrant.running = Some(running),
                Err(error) => entrant.fail(&error),
            }
        }
        entrant
    }

    fn start(&self, contestant: &Contestant) -> Result<Scene, Error> {
        let name = format!("{} {}", self.case.name, contestant.name).replace([' ', ','], "-");
        let (origin, process) = self.start_origin(&name)?;
        let work = &self.plans.places.work;
        let identity = self.case.is_secured().then(|| Identity::within(work));
        let setting = Setting {
            servers: addresses(origin, contestant.servers).collect(),
            threads: contestant.threads,
            algorithm: contestant.algorithm,
            rules: contestant.rules,
            identity: identity.transpose()?,
        };
        Ok(Scene {
            running: contestant.peer.start(&name, &setting, &self.plans.places)?,
            origin,
            identity: setting.identity,
            _origin: process,
        })
    }

    fn start_origin(&self, name: &str) -> Result<(SocketAddrV4, Process), Error> {
        let address = free_address_v4()?;
        let places = &self.plans.places;
        let name = format!("{name}-origin");
        let launch = Launch::new(&name, OTHER_CORE, &places.bench, &places.work);
        let process = launch
            .args(["origin", &address.to_string(), "--everywhere"])
            .start()?;
        Ok((address, process.listening(address.into())?))
    }

    /// What each can at most, as the median of short closed loops, tells what all are asked for.
    fn settle_rates(&self, entrants: &mut [Entrant<'_>]) {
        let mut seen = vec![Vec::new(); entrants.len()];
        for _ in 0..SETTLING_ROUNDS {
            for (entrant, seen) in entrants.iter_mut().zip(&mut seen) {
                seen.extend(self.most(entrant));
            }
        }
        let mosts: Vec<_> = entrants
            .iter()
            .zip(&seen)
            .map(|(entrant, seen)| Most {
                peer: entrant.contestant.peer,
                own_rate: entrant.contestant.own_rate,
                rate: median(seen),
            })
            .collect();
        for (entrant, rate) in entrants.iter_mut().zip(steady_rates(&mosts)) {
            entrant.rate = rate;
        }
    }

    /// Requests a second in a closed loop, if it runs and answers.
    fn most(&self, entrant: &mut Entrant<'_>) -> Option<f64> {
        let scene = entrant.running.as_ref()?;
        let length = self.plans.duration.mul_f64(SETTLING_SHARE);
        match self.load(scene, entrant.contestant.servers, None, length) {
            Ok(report) => Some(report.requests as f64 / report.seconds),
            Err(error) => {
                entrant.fail(&error);
                None
            }
        }
    }

    fn turn(&self, entrant: &mut Entrant<'_>) {
        let sample = match entrant.must_be_left_out() {
            true => None,
            false => self
                .sample(entrant)
                .map_err(|error| entrant.fail(&error))
                .ok(),
        };
        if let Some(sample) = &sample {
            eprintln!("  {:<40} {}", entrant.contestant.name, brief(sample));
        }
        entrant.measured.rounds.push(sample);
    }

    fn sample(&self, entrant: &Entrant<'_>) -> Result<Sample, Error> {
        if let Work::Idle(connections) = self.case.work {
            return self.idle(entrant.contestant, connections);
        }
        let scene = entrant.running.as_ref();
        let scene = scene.ok_or_else(|| Error::Unfit("it does not run".into()))?;
        let Contestant {
            servers, changes, ..
        } = *entrant.contestant;
        if matches!(self.case.work, Work::Steady(..)) && entrant.rate.is_none() {
            return Err(Error::Unfit("what it can at most is not known".into()));
        }
        let report = || self.load(scene, servers, entrant.rate, self.plans.duration);
        let (report, changes) = match scene.running.admin.as_ref().filter(|_| changes) {
            Some(admin) => {
                let (report, changes) = while_changing(admin, scene.extra(servers), report)?;
                (report, Some(changes))
            }
            None => (report()?, None),
        };
        if report.requests == 0 {
            return Err(Error::Unfit("no request was answered".into()));
        }
        let mut sample = figures(&report, entrant.rate);
        if let Work::Closed(_, request) = &self.case.work
            && request.close
            && request.tls.is_some()
        {
            let share = report.resumed as f64 / report.requests as f64;
            sample.insert(Figure::ResumedShare, share);
        }
        sample.extend(changes.map(|changes| (Figure::Changes, changes)));
        Ok(sample)
    }

    /// One load, carried out by a process of its own on the other core.
    fn load(
        &self,
        scene: &Scene,
        servers: usize,
        rate: Option<f64>,
        duration: Duration,
    ) -> Result<Report, Error> {
        let (connections, request) = match &self.case.work {
            Work::Closed(connections, request) | Work::Steady(connections, request, _) => {
                (*connections, request)
            }
            Work::Streams(connections, streams) => {
                return self.stream(scene, *connections, *streams, duration);
            }
            Work::Idle(_) => {
                return Err(Error::Unfit("idle connections ask for nothing".into()));
            }
        };
        let plan = Plan {
            address: scene.running.address,
            connections,
            request: request.clone(),
            certificate: scene.certificate(),
            rate,
            warm_up: self.plans.warm_up,
            // Each target is asked for too, as often as each server, and each connection has made way for another where one is resumed.
            warm_up_requests: 2 * servers.max(request.targets).max(connections) as u64,
            duration,
            watch: scene.running.process.pid(),
        };
        let places = &self.plans.places;
        let launch = Launch::new("load", OTHER_CORE, &places.bench, &places.work);
        let said = launch
            .args(["load", &serde_json::to_string(&plan)?])
            .output()?;
        Ok(serde_json::from_str(&said)?)
    }

    fn stream(
        &self,
        scene: &Scene,
        connections: usize,
        streams: usize,
        duration: Duration,
    ) -> Result<Report, Error> {
        let streaming = Streaming {
            address: scene.running.address,
            connections,
            streams,
            warm_up: self.plans.warm_up,
            duration,
            watch: scene.running.process.pid(),
        };
        streaming.run(&self.plans.places.work)
    }

    fn idle(&self, contestant: &Contestant, connections: usize) -> Result<Sample, Error> {
        let Scene { running, .. } = &self.start(contestant)?;
        let pid = running.process.pid();
        let before = Memory::of(pid)?;
        let held = load::hold(running.address, connections)?;
        thread::sleep(SETTLE);
        let after = Memory::of(pid)?;
        let open = held.open();
        if open < connections {
            return Err(Error::Unfit(format!(
                "it kept only {open} of {connections} connections"
            )));
        }
        let added = after.resident.saturating_sub(before.resident) as f64;
        Ok(Sample::from([
            (Figure::KibPerConnection, added / connections as f64),
            (Figure::PeakMib, after.peak as f64 / 1024.0),
        ]))
    }
}

impl Entrant<'_> {
    /// A round that failed may be followed by one that does not.
    fn fail(&mut self, error: &Error) {
        eprintln!("  {:<40} cannot be measured: {error}", self.contestant.name);
        self.measured.trouble = Some(error.to_string());
    }

    /// Whether it never got as far as to be measured.
    fn must_be_left_out(&self) -> bool {
        self.measured.trouble.is_some()
            && self.running.is_none()
            && self.measured.rounds.iter().all(Option::is_none)
    }
}

impl Scene {
    /// One more server than so many.
    fn extra(&self, servers: usize) -> SocketAddrV4 {
        addresses(self.origin, servers + 1)
            .last()
            .unwrap_or(self.origin)
    }

    /// What the client is to be shown, if anything.
    fn certificate(&self) -> Option<PathBuf> {
        let identity = self.identity.as_ref()?;
        Some(identity.certificate.clone())
    }
}

fn figures(report: &Report, rate: Option<f64>) -> Sample {
    let requests = report.requests as f64;
    let mut sample = Sample::from([
        (Figure::CpuUs, report.cpu_ns as f64 / 1000.0 / requests),
        (Figure::UserShare, report.user_share),
        (
            Figure::RequestsPerSecond,
            report.requests as f64 / report.seconds,
        ),
        (Figure::PeakMib, report.peak_kib as f64 / 1024.0),
        (Figure::Failures, report.failures as f64),
    ]);
    let Some(latencies) = &report.latencies else {
        return sample;
    };
    sample.extend([
        (Figure::P50Us, latencies.p50_us),
        (Figure::P99Us, latencies.p99_us),
    ]);
    // In a closed loop the slowest ones say little but how full the client's core was.
    if let Some(rate) = rate {
        sample.extend([
            (Figure::Rate, rate),
            (Figure::P999Us, latencies.p999_us),
            (Figure::MaxUs, latencies.max_us),
        ]);
    }
    sample
}

fn brief(sample: &Sample) -> String {
    let shown = [
        (Figure::CpuUs, "us/request"),
        (Figure::RequestsPerSecond, "requests/s"),
        (Figure::P99Us, "us p99"),
        (Figure::MaxUs, "us at most"),
        (Figure::KibPerConnection, "KiB/connection"),
        (Figure::Failures, "failed"),
    ];
    let part =
        |(figure, unit): (Figure, &str)| Some(format!("{:>9.1} {unit}", sample.get(&figure)?));
    shown
        .into_iter()
        .filter_map(part)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Latencies;
    use crate::peers::Peer;

    #[test]
    fn costs_are_per_request_that_succeeded() {
        let report = Report {
            seconds: 2.0,
            requests: 1000,
            failures: 3,
            resumed: 0,
            cpu_ns: 9_000_000,
            user_share: 0.25,
            latencies: Some(Latencies {
                p50_us: 10.0,
                p99_us: 20.0,
                p999_us: 30.0,
                max_us: 40.0,
            }),
            peak_kib: 2048,
        };
        let sample = figures(&report, Some(700.0));
        assert!((sample[&Figure::CpuUs] - 9.0).abs() < 1e-9);
        assert!((sample[&Figure::RequestsPerSecond] - 500.0).abs() < 1e-9);
        assert!((sample[&Figure::PeakMib] - 2.0).abs() < 1e-9);
        assert!((sample[&Figure::Rate] - 700.0).abs() < 1e-9);
        assert_eq!(figures(&report, None).get(&Figure::Rate), None);
    }

    #[test]
    fn who_tells_no_latencies_has_none() {
        let report = Report {
            seconds: 1.0,
            requests: 1,
            failures: 0,
            resumed: 0,
            cpu_ns: 1,
            user_share: 0.0,
            latencies: None,
            peak_kib: 1,
        };
        let sample = figures(&report, None);
        assert_eq!(sample.get(&Figure::P99Us), None);
        assert_eq!(sample.get(&Figure::RequestsPerSecond), Some(&1.0));
    }

    #[test]
    fn a_noisy_case_has_nearly_twice_the_rounds() {
        let mut case = crate::cases::all(&[Peer::Roundhouse]).remove(0);
        for (rounds, noisy) in [(5, 9), (2, 4), (10, 18)] {
            let plans = Plans {
                rounds,
                warm_up: Duration::ZERO,
                duration: Duration::ZERO,
                places: Places {
                    roundhouse: "".into(),
                    envoy: "".into(),
                    bench: "".into(),
                    work: "".into(),
                },
            };
            case.is_noisy = false;
            assert_eq!(plans.rounds_of(&case), rounds);
            case.is_noisy = true;
            assert_eq!(plans.rounds_of(&case), noisy);
        }
    }
}
