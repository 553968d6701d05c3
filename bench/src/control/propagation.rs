//! How soon a change is in force everywhere, by followers as tasks and by real balancers; what is published for it; and what it costs
//! to read all of a large fleet, once and a hundred times at once.

mod balancers;
mod followers;
mod published;
mod resync;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::{Change, FleetName};
use registry::Registry;
use tokio::runtime::Runtime;

use super::findings::{Findings, Section};
use super::fleet::{ANYWHERE, Fleet, fill, judge, lead, put, seed, server};
use super::{CommonArgs, machine, runtime};
use crate::Error;
use crate::origin::addresses;

/// Between two changes, so that each finds everybody at rest.
const PAUSE: Duration = Duration::from_millis(30);

/// Pools of the fleet that has many.
const POOLS: usize = 100;

/// What half of all may take, in milliseconds, and what all but one of a hundred may.
const MOST: [Option<f64>; 2] = [Some(2.0), Some(10.0)];

/// How propagation is measured.
#[derive(clap::Args, Debug)]
pub(crate) struct PropagationArgs {
    /// How many servers the fleet has.
    #[arg(long, default_value_t = 10_000)]
    servers: usize,

    /// Followers, as tasks of one process.
    #[arg(long, default_value_t = 100)]
    followers: usize,

    /// Balancers, as processes of one thread each.
    #[arg(long, default_value_t = 20)]
    balancers: usize,

    /// How many changes are made of each kind.
    #[arg(long, default_value_t = 200)]
    changes: usize,

    #[command(flatten)]
    common: CommonArgs,
}

/// Runs it and writes the page.
pub(crate) fn run(args: &PropagationArgs) -> Result<(), Error> {
    let places = args.common.places()?;
    let runtime = runtime()?;
    let fleet = Fleet::start("propagation", &places, ANYWHERE)?;
    let name = FleetName::standard();
    let stage = Stage::start(args, &runtime, &fleet, name, 1)?;
    let mut sections = vec![followers::measure(&stage)?, balancers::measure(&stage)?];
    {
        let name = "of-many-pools".parse().expect("a name");
        let stage = Stage::start(args, &runtime, &fleet, name, POOLS)?;
        sections.push(balancers::measure(&stage)?);
    }
    sections.extend([published::measure(&stage)?, resync::measure(&stage)?]);
    let setting = [
        ("servers", args.servers.to_string()),
        ("changes of each kind", args.changes.to_string()),
    ];
    let findings = Findings {
        name: "propagation".into(),
        title: "Propagation".into(),
        introduction: INTRODUCTION.into(),
        machine: machine(&places),
        setting: setting.map(|(name, value)| (name.into(), value)).into(),
        sections,
    };
    findings.write(&args.common.output)
}

const INTRODUCTION: &str =
    "A fleet on one Redis, in which every server has a verdict; nobody probes and nobody asks, so that nothing else changes. Its servers are in
one pool, unless said otherwise. Each change gives one server another weight. Times are from before the commit is sent: its own way to Redis and back is in them.
Everything shares the machine's cores.";

/// A fleet of many servers, all up, led by nobody but this.
struct Stage<'a> {
    args: &'a PropagationArgs,
    runtime: &'a Runtime,
    fleet: &'a Fleet,
    name: FleetName,
    pools: usize,
    registry: Arc<dyn Registry>,
    addresses: Vec<SocketAddr>,
    /// How many changes were made, so that none is what was there before.
    made: AtomicUsize,
}

impl<'a> Stage<'a> {
    fn start(
        args: &'a PropagationArgs,
        runtime: &'a Runtime,
        fleet: &'a Fleet,
        name: FleetName,
        pools: usize,
    ) -> Result<Self, Error> {
        let first = "127.0.0.1:9".parse().expect("an address");
        let addresses: Vec<_> = addresses(first, args.servers).map(SocketAddr::V4).collect();
        let registry = fleet.registry(&name)?;
        runtime.block_on(async {
            seed(&*registry).await?;
            fill(&*registry, pools, |_| {}, addresses.iter().copied()).await?;
            let leadership = lead(Arc::clone(&registry)).await?;
            judge(&*registry, leadership).await
        })?;
        Ok(Self {
            args,
            runtime,
            fleet,
            name,
            pools,
            registry,
            addresses,
            made: AtomicUsize::new(0),
        })
    }

    /// Another weight for a server than it has.
    fn change(&self) -> Change {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let index = number * 7 % self.addresses.len();
        let mut server = server(index, self.pools, self.addresses[index]);
        server.weight = 2 + u16::try_from(number % 899).unwrap_or(0);
        Change::put_server(server)
    }

    /// Commits a change; the revision that it became.
    async fn commit(&self) -> Result<model::Revision, Error> {
        let committed = put(&*self.registry, vec![self.change()]).await?;
        Ok(committed.position.revision)
    }
}

fn section(title: &str, note: &str) -> Section {
    eprintln!("\n{title}");
    Section::new(title, note)
}
