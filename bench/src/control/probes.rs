//! What it costs one orchestrator to probe ten thousand servers, and what it costs a balancer that a thousand of them flap.

mod evenness;
mod flapping;

use std::fs;
use std::time::{Duration, Instant};

use model::{Collection, FleetName};
use registry::Registry;
use tokio::runtime::Runtime;

use super::findings::{Figure, Findings, Section};
use super::fleet::{Fleet, count, deadline, fill, pause, revision};
use super::servers::{HEALTH_PATH, Servers};
use super::{CommonArgs, machine, runtime};
use crate::Error;
use crate::peers::{OTHER_CORE, PROXY_CORE};
use crate::process::{Process, free_address_v4};
use crate::usage::Cpu;
use evenness::Evenness;
use flapping::Flapping;

/// How often open files are counted.
const COUNT_EACH: Duration = Duration::from_secs(1);

/// How long the servers must have been probed in their turns before anything counts.
const SETTLE: Duration = Duration::from_secs(4);

/// So few files, of which an orchestrator keeps an eighth for connections at rest, that nearly every probe needs a new one.
const FEW_FILES: u64 = 4096;

/// Of one core, what probing may cost.
const CORE_MOST: f64 = 1.0;

/// How the orchestrator is measured.
#[derive(clap::Args, Debug)]
pub(crate) struct ProbesArgs {
    /// How many servers are probed.
    #[arg(long, default_value_t = 10_000)]
    servers: usize,

    /// How long each part is measured.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,

    /// How many of the servers flap at once.
    #[arg(long, default_value_t = 1000)]
    flapping: usize,

    /// How often the balancer's turns come, one in quiet and one while they flap.
    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// Requests a second that the balancer is asked for meanwhile.
    #[arg(long, default_value_t = 10_000.0)]
    rate: f64,

    #[command(flatten)]
    common: CommonArgs,
}

/// Runs it and writes the page.
pub(crate) fn run(args: &ProbesArgs) -> Result<(), Error> {
    let places = args.common.places()?;
    let runtime = runtime()?;
    let mut sections = Vec::new();
    {
        let stage = Stage::start("probes-few-files", args, &runtime, Some(FEW_FILES))?;
        sections.push(stage.observe("A new connection for nearly every probe", FEW_FILES_NOTE)?);
    }
    let stage = Stage::start("probes", args, &runtime, None)?;
    sections.insert(0, stage.observe("Connections kept", KEPT_NOTE)?);
    sections.push(Flapping::new(&stage).measure()?);
    let setting = [
        ("servers", args.servers.to_string()),
        ("length of each part", format!("{} s", args.seconds)),
        ("servers that flap", args.flapping.to_string()),
        ("rounds of the flapping", args.rounds.to_string()),
    ];
    let findings = Findings {
        name: "probes".into(),
        title: "Probing".into(),
        introduction: INTRODUCTION.into(),
        machine: machine(&places),
        setting: setting.map(|(name, value)| (name.into(), value)).into(),
        sections,
    };
    findings.write(&args.common.output)
}

const INTRODUCTION: &str =
    "One orchestrator probes every server over HTTP each 2 s, with a jitter of a tenth of that, as is the default. One listener at all
addresses of 127.0.0.0/8 stands for all servers: each has an address of its own. The orchestrator has one core; the servers and Redis
have the other. CPU is user and system time of the whole process, from /proc, as a share of one core.";

const KEPT_NOTE: &str = "The orchestrator may open files enough to keep a connection to each server, which is its own choice where it may.";

const FEW_FILES_NOTE: &str =
    "The orchestrator may open 4,096 files, of which it keeps an eighth for connections at rest.";

/// A fleet whose servers are all up.
struct Stage<'a> {
    args: &'a ProbesArgs,
    runtime: &'a Runtime,
    servers: Servers,
    fleet: Fleet,
    registry: std::sync::Arc<dyn Registry>,
    orchestrator: Process,
}

impl<'a> Stage<'a> {
    fn start(
        name: &str,
        args: &'a ProbesArgs,
        runtime: &'a Runtime,
        files: Option<u64>,
    ) -> Result<Self, Error> {
        eprintln!("\n{name}: {} servers", args.servers);
        let places = args.common.places()?;
        let servers = Servers::start(free_address_v4()?, args.servers, false)?;
        let fleet = Fleet::start(name, &places, OTHER_CORE)?;
        let registry = fleet.registry(&FleetName::standard())?;
        let orchestrator = fleet.orchestrator(PROXY_CORE, files)?;
        let stage = Self {
            args,
            runtime,
            servers,
            fleet,
            registry,
            orchestrator,
        };
        runtime.block_on(stage.fill())?;
        Ok(stage)
    }

    /// Writes the servers, and waits until all are up and probed in their turns.
    async fn fill(&self) -> Result<(), Error> {
        let until = deadline();
        while self.registry.head().await?.is_none() {
            pause(until, "the orchestrator to make the fleet").await?;
        }
        let addresses = self.servers.addresses().iter();
        let addresses = addresses.map(|address| (*address).into());
        let adjust = |pool: &mut model::Pool| pool.health.path = HEALTH_PATH.into();
        fill(&*self.registry, 1, adjust, addresses).await?;
        while count(&*self.registry, Collection::Health).await? < self.args.servers as u64 {
            pause(until, "a verdict on every server").await?;
        }
        tokio::time::sleep(SETTLE).await;
        Ok(())
    }

    fn observe(&self, title: &str, note: &str) -> Result<Section, Error> {
        let mut section = Section::new(title, note);
        let mut redis = self.fleet.connection()?;
        let revision = || self.runtime.block_on(revision(&*self.registry));
        let (counts, first) = (redis.counts()?, revision()?);
        self.servers.record();
        let begun = Instant::now();
        let cpu = Cpu::of(self.orchestrator.pid())?;
        let files = self.most_files(begun + Duration::from_secs_f64(self.args.seconds))?;
        let cpu = Cpu::of(self.orchestrator.pid())?.since(cpu);
        let seconds = begun.elapsed().as_secs_f64();
        let probes = self.servers.recorded();
        let (rates, last) = (redis.counts()?.since(counts), revision()?);
        let share = cpu.total_ns as f64 / 1e9 / seconds;
        section.add(Figure::new("CPU, of one core", share, "").at_most(CORE_MOST));
        section.add(Figure::new("user time, of that", cpu.user_share(), ""));
        let each = probes.len() as f64 / seconds;
        section.add(Figure::new("probes a second", each, ""));
        section.add(Figure::new("CPU for one probe", share / each * 1e6, "us"));
        let evenness = Evenness::of(&probes, Duration::from_secs_f64(seconds));
        evenness.add_to(&mut section)?;
        section.add(Figure::new("open files, at most", files as f64, ""));
        let revisions = (last.0 - first.0) as f64;
        section.add(Figure::new("revisions written meanwhile", revisions, "").at_most(0.0));
        section.add(Figure::new(
            "commands to Redis a second",
            rates.commands,
            "",
        ));
        section.add(Figure::new(
            "bytes to Redis a second",
            rates.input_bytes,
            "",
        ));
        Ok(section)
    }

    /// How many files the orchestrator had open at most until then.
    fn most_files(&self, until: Instant) -> Result<usize, Error> {
        let folder = format!("/proc/{}/fd", self.orchestrator.pid());
        let mut most = 0;
        while Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            std::thread::sleep(left.min(COUNT_EACH));
            most = most.max(fs::read_dir(&folder)?.count());
        }
        Ok(most)
    }
}
