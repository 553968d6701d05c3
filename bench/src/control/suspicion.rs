//! From the first failed request at one balancer to the last balancer's table without that server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use model::{
    Collection, Delta, FleetName, Health, InstanceId, ServerKey, Stamped, Suspicion, Verdict,
};
use registry::{Announcement, Registry};
use serde::Deserialize;
use tokio::runtime::Runtime;

use super::findings::{Figure, Findings, Section};
use super::fleet::{ANYWHERE, Balancer, Fleet, count, deadline, fill, key_of, pause, settled};
use super::servers::{HEALTH_PATH, Mood, Servers};
use super::{CommonArgs, machine, ms, runtime};
use crate::Error;
use crate::process::{Process, free_address_v4};

/// How many servers there are.
const SERVERS: usize = 50;

/// How often servers are probed, so that one that was down is soon up again. A server goes down by its turns after three of them.
const INTERVAL: Duration = Duration::from_millis(500);

/// Before each failure nothing happens for so long: longer than the leader ever waits after a commit with the next one.
const QUIET: Duration = Duration::from_millis(300);

/// After so long a failure was not noticed.
const GIVE_UP: Duration = Duration::from_secs(5);

/// What all but one of a hundred may take, in milliseconds.
const MOST_MS: f64 = 50.0;

/// How suspicion is measured.
#[derive(clap::Args, Debug)]
pub(crate) struct SuspicionArgs {
    /// Balancers, as processes of one thread each.
    #[arg(long, default_value_t = 20)]
    balancers: usize,

    /// How many servers fail in each way, one after the other.
    #[arg(long, default_value_t = 100)]
    trials: usize,

    #[command(flatten)]
    common: CommonArgs,
}

/// Runs it and writes the page.
pub(crate) fn run(args: &SuspicionArgs) -> Result<(), Error> {
    let places = args.common.places()?;
    let runtime = runtime()?;
    let stage = Stage::start(args, &runtime)?;
    let sections = vec![
        stage.measure("A refused connection", Mood::Refusing, REFUSED_NOTE)?,
        stage.measure("A reset connection", Mood::Failing, RESET_NOTE)?,
    ];
    let setting = [
        ("balancers", args.balancers.to_string()),
        ("servers", SERVERS.to_string()),
        ("failures of each kind", args.trials.to_string()),
    ];
    let findings = Findings {
        name: "suspicion".into(),
        title: "From a failed request to a verdict in force everywhere".into(),
        introduction: INTRODUCTION.into(),
        machine: machine(&places),
        setting: setting.map(|(name, value)| (name.into(), value)).into(),
        sections,
    };
    findings.write(&args.common.output)
}

const INTRODUCTION: &str =
    "A server fails when it is next in turn at one of the balancers, and that one alone is asked for something. It meets the failure, sends the
request elsewhere and says its suspicion; the orchestrator probes there and then and writes its verdict; every balancer makes a table
without that server and reports so. Timed from before the request is sent to the arrival of the last balancer's report, which it sends
once its thread uses no older table. Everything shares the machine's cores.";

const REFUSED_NOTE: &str =
    "The server's process has ended: its listener and its connections are closed.";

const RESET_NOTE: &str = "The server resets connections before the first byte of an answer, and answers probes with 503.";

/// What is heard from Redis, and when.
enum Heard {
    Suspicion(Suspicion),
    Delta(Delta),
    Report(InstanceId),
}

type Told = (Instant, Heard);

struct Stage<'a> {
    args: &'a SuspicionArgs,
    runtime: &'a Runtime,
    servers: Servers,
    registry: Arc<dyn Registry>,
    balancers: Vec<Balancer>,
    instances: Vec<InstanceId>,
    heard: mpsc::Receiver<Told>,
    client: ureq::Agent,
    _orchestrator: Process,
    _fleet: Fleet,
}

/// How long one failure took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Trial {
    /// Until somebody said a suspicion.
    suspicion: f64,
    /// Until its verdict was published.
    verdict: f64,
    /// Until the last balancer worked with that.
    everywhere: f64,
}

/// Turns as a balancer takes them, over and over.
struct Turns(Vec<usize>);

impl<'a> Stage<'a> {
    fn start(args: &'a SuspicionArgs, runtime: &'a Runtime) -> Result<Self, Error> {
        let places = args.common.places()?;
        let servers = Servers::start(free_address_v4()?, SERVERS, true)?;
        let fleet = Fleet::start("suspicion", &places, ANYWHERE)?;
        let registry = fleet.registry(&FleetName::standard())?;
        let orchestrator = fleet.orchestrator(ANYWHERE, None)?;
        runtime.block_on(set_up(&*registry, servers.addresses()))?;
        let balancers = fleet.balancers(args.balancers, ANYWHERE, &FleetName::standard())?;
        let instances = runtime.block_on(settled(&*registry, args.balancers))?;
        let heard = runtime.block_on(listen(&*registry))?;
        Ok(Self {
            args,
            runtime,
            servers,
            registry,
            balancers,
            instances,
            heard,
            client: ureq::Agent::new_with_defaults(),
            _orchestrator: orchestrator,
            _fleet: fleet,
        })
    }

    fn measure(&self, title: &str, mood: Mood, note: &str) -> Result<Section, Error> {
        eprintln!("\n{title}");
        let mut section = Section::new(title, note);
        let mut trials = Vec::new();
        let mut unmet = 0;
        while trials.len() < self.args.trials {
            let number = trials.len() + unmet;
            match self.trial(number * 7 % SERVERS, mood)? {
                Some(trial) => trials.push(trial),
                None => unmet += 1,
            }
            if unmet > self.args.trials {
                return Err(Error::Unfit("turns are not what they should be".into()));
            }
        }
        let of = |part: fn(&Trial) -> f64| trials.iter().map(part).collect::<Vec<_>>();
        let suspicions = of(|trial| trial.suspicion);
        section.add_spread("until it is suspected", &suspicions, [None, None])?;
        let verdicts = of(|trial| trial.verdict);
        section.add_spread("until the verdict is published", &verdicts, [None, None])?;
        let everywhere = of(|trial| trial.everywhere);
        let what = "until the last balancer works with it";
        section.add_spread(what, &everywhere, [None, Some(MOST_MS)])?;
        let what = "failures left out, since it was not plain which request met them";
        section.add(Figure::new(what, unmet as f64, ""));
        Ok(section)
    }

    /// Lets one server fail as soon as it is next in turn, and makes it well again. Nothing where it is not plain which request met
    /// that.
    fn trial(&self, server: usize, mood: Mood) -> Result<Option<Trial>, Error> {
        self.runtime.block_on(self.at_rest())?;
        std::thread::sleep(QUIET);
        let turns = self.come_to(server)?;
        while self.heard.try_recv().is_ok() {}
        self.servers.set(server..server + 1, mood)?;
        let sent = self.meet(turns.after(server))?;
        let trial = match sent {
            Some(sent) => Some(self.follow(server, sent)?),
            None => None,
        };
        self.servers.set(server..server + 1, Mood::Well)?;
        Ok(trial)
    }

    /// Until every server is up, and every balancer works with that.
    async fn at_rest(&self) -> Result<(), Error> {
        let until = deadline();
        loop {
            let read = self.registry.snapshot().await?;
            let is_up = read.is_some_and(|read| {
                let mut verdicts = read.snapshot.health.values();
                verdicts.all(|verdict| verdict.value.health == Health::Up)
            });
            if is_up {
                break;
            }
            pause(until, "every server to be up again").await?;
        }
        settled(&*self.registry, self.args.balancers).await?;
        Ok(())
    }

    /// Asks until it is this server's turn.
    fn come_to(&self, server: usize) -> Result<Turns, Error> {
        let turns: Result<Vec<_>, Error> = (0..SERVERS).map(|_| self.ask()).collect();
        let turns = Turns(turns?);
        for _ in 0..turns.until(server).unwrap_or(0) {
            self.ask()?;
        }
        Ok(turns)
    }

    /// Asks until a request is answered by the server whose turn comes after that of the one which fails, and so met the failure. Tells
    /// when it was sent; nothing where there is no such request.
    fn meet(&self, next: Option<usize>) -> Result<Option<Instant>, Error> {
        for _ in 0..SERVERS {
            let sent = Instant::now();
            if Some(self.ask()?) == next {
                return Ok(Some(sent));
            }
        }
        Ok(None)
    }

    /// Asks the first balancer for something; the server that answers.
    fn ask(&self) -> Result<usize, Error> {
        let url = format!("http://{}/", self.balancers[0].address);
        let failed = |said: String| Error::Unfit(format!("a request failed: {said}"));
        let answer = self.client.get(url).call();
        let mut answer = answer.map_err(|error| failed(error.to_string()))?;
        let body = answer.body_mut().read_to_string();
        let body = body.map_err(|error| failed(error.to_string()))?;
        body.parse().map_err(|_| failed(body))
    }

    /// What becomes of a failure.
    fn follow(&self, server: usize, sent: Instant) -> Result<Trial, Error> {
        let key = key_of(server, 1);
        let (mut suspicion, mut verdict) = (None, None);
        let mut reported: HashMap<InstanceId, Instant> = HashMap::new();
        while verdict.is_none() || reported.len() < self.instances.len() {
            let heard = self.heard.recv_timeout(GIVE_UP);
            let (at, heard) =
                heard.map_err(|_| Error::Unfit(format!("nobody noticed that {key} failed")))?;
            match heard {
                Heard::Suspicion(said) if said.server == key => {
                    _ = suspicion.get_or_insert(at);
                }
                Heard::Delta(delta) if takes_down(&delta, &key) => _ = verdict.get_or_insert(at),
                // There is nothing else to report.
                Heard::Report(instance) if self.instances.contains(&instance) => {
                    reported.entry(instance).or_insert(at);
                }
                Heard::Suspicion(_) | Heard::Delta(_) | Heard::Report(_) => {}
            }
        }
        self.runtime.block_on(self.check())?;
        let since = |at: Instant| ms(at.duration_since(sent));
        let last = reported.into_values().max().unwrap_or(sent);
        Ok(Trial {
            // One that was never said was not what led to the verdict.
            suspicion: suspicion.map_or(f64::INFINITY, since),
            verdict: verdict.map_or(0.0, since),
            everywhere: since(last),
        })
    }

    /// That what balancers reported was the verdict's revision. That one is the last, as long as no other server fails.
    async fn check(&self) -> Result<(), Error> {
        let settled = settled(&*self.registry, self.args.balancers).await?;
        match settled.len() == self.instances.len() {
            true => Ok(()),
            false => Err(Error::Unfit("a balancer was lost".into())),
        }
    }
}

impl Turns {
    /// How many turns there are before that of a server.
    fn until(&self, server: usize) -> Option<usize> {
        self.0.iter().position(|turn| *turn == server)
    }

    /// Whose turn comes after that of a server.
    fn after(&self, server: usize) -> Option<usize> {
        let place = self.until(server)?;
        self.0.iter().cycle().nth(place + 1).copied()
    }
}

async fn set_up(
    registry: &dyn Registry,
    addresses: &[std::net::SocketAddrV4],
) -> Result<(), Error> {
    let until = deadline();
    while registry.head().await?.is_none() {
        pause(until, "the orchestrator to make the fleet").await?;
    }
    let adjust = |pool: &mut model::Pool| {
        pool.health.path = HEALTH_PATH.into();
        pool.health.interval = INTERVAL;
        pool.health.timeout = INTERVAL;
        pool.health.rise = 1;
    };
    let addresses = addresses.iter().copied().map(SocketAddr::V4);
    fill(registry, 1, adjust, addresses).await?;
    while count(registry, Collection::Health).await? < SERVERS as u64 {
        pause(until, "a verdict on every server").await?;
    }
    Ok(())
}

/// Whatever is announced from now on, each with the time at which it came.
async fn listen(registry: &dyn Registry) -> Result<mpsc::Receiver<Told>, Error> {
    let (tell, told) = mpsc::channel();
    let mut announcements = registry.announcements().await?;
    let mut reports = registry.reports().await?;
    let mut suspicions = registry.suspicions().await?;
    let [also, too] = [tell.clone(), tell.clone()];
    tokio::spawn(async move {
        while let Ok(suspicion) = suspicions.next().await {
            let heard = Heard::Suspicion(suspicion);
            if too.send((Instant::now(), heard)).is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Ok(announcement) = announcements.next().await {
            if let Announcement::Delta(delta) = announcement
                && tell.send((Instant::now(), Heard::Delta(delta))).is_err()
            {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Ok(instance) = reports.next().await {
            if also
                .send((Instant::now(), Heard::Report(instance)))
                .is_err()
            {
                return;
            }
        }
    });
    Ok(told)
}

/// Whether a revision says that the server is down.
fn takes_down(delta: &Delta, key: &ServerKey) -> bool {
    let mut entries = delta.entries.iter();
    entries.any(|entry| {
        let is_about = entry.collection == Collection::Health && entry.key == key.to_string();
        let verdict = entry.value.as_ref().map(Stamped::<Verdict>::deserialize);
        let is_down = |verdict: Stamped<Verdict>| verdict.value.health == Health::Down;
        is_about && verdict.is_some_and(|verdict| verdict.is_ok_and(is_down))
    })
}

#[cfg(test)]
mod tests {
    use model::{Author, Entry, Epoch, Revision, RevisionId};
    use serde_json::json;

    use super::*;

    #[test]
    fn turns_go_round() {
        let turns = Turns(vec![4, 2, 9]);
        assert_eq!((turns.until(4), turns.after(4)), (Some(0), Some(2)));
        assert_eq!((turns.until(9), turns.after(9)), (Some(2), Some(4)));
        assert_eq!((turns.until(7), turns.after(7)), (None, None));
    }

    #[test]
    fn only_a_verdict_of_down_on_that_server_takes_it_down() {
        let delta = |key: &ServerKey, health: &str| Delta {
            entries: vec![Entry {
                collection: Collection::Health,
                key: key.to_string(),
                value: Some(
                    json!({"revision": 1, "created": 1, "incarnation": 1, "value": {"incarnation": 1, "health": health}}),
                ),
            }],
            ..empty()
        };
        assert!(takes_down(&delta(&key_of(3, 1), "down"), &key_of(3, 1)));
        assert!(!takes_down(&delta(&key_of(3, 1), "up"), &key_of(3, 1)));
        assert!(!takes_down(&delta(&key_of(4, 1), "down"), &key_of(3, 1)));
        assert!(!takes_down(&empty(), &key_of(3, 1)));
    }

    fn empty() -> Delta {
        serde_json::from_value(json!({
            "epoch": Epoch::random(), "revision": Revision(2), "id": RevisionId::random(),
            "previous": RevisionId::random(), "desired": Revision(1),
            "author": Author::Operator { name: "bench".into() }, "entries": [],
        }))
        .expect("a delta")
    }
}
