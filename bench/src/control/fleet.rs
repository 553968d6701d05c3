//! A fleet to be measured: a Redis, the processes on it, and what is written into it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{
    Author, Change, Collection, Epoch, FleetName, InstanceId, Pool, PoolId, Revision, RevisionId,
    Role, Server, ServerKey, Snapshot, Verdict,
};
use registry::{Commit, Committed, HEARTBEAT_PERIOD, Leadership, Options, Registry};
use serde_json::json;

use super::redis::Connection;
use crate::Error;
use crate::admin::Admin;
use crate::peers::{BOTH_CORES, Places};
use crate::process::{Launch, Process, free_address};

/// Changes in one commit, at most.
const CHANGES_MAX: usize = 1000;

/// How long something may take that is waited for.
const WITHIN: Duration = Duration::from_secs(60);

/// How often it is looked for.
const LOOK_EACH: Duration = Duration::from_millis(50);

/// A lease that ends with the measurement and not before.
const LONG_LEASE: Duration = Duration::from_secs(3600);

/// A Redis with what runs on it.
#[derive(Debug)]
pub(super) struct Fleet {
    places: Places,
    folder: PathBuf,
    _redis: Process,
    address: SocketAddr,
}

/// A balancer of its own process.
#[derive(Debug)]
pub(super) struct Balancer {
    pub(super) address: SocketAddr,
    pub(super) process: Process,
}

impl Fleet {
    /// Starts a Redis on these cores, with a folder of its own for logs.
    pub(super) fn start(name: &str, places: &Places, cores: &str) -> Result<Self, Error> {
        let folder = places.work.join(name);
        fs::create_dir_all(&folder)?;
        let (redis, address) = start_redis(&folder, cores)?;
        Ok(Self {
            places: places.clone(),
            folder,
            _redis: redis,
            address,
        })
    }

    /// The registry, over connections of its own.
    pub(super) fn registry(&self, fleet: &FleetName) -> Result<Arc<dyn Registry>, Error> {
        let options = Options::new(self.url().as_str(), fleet.clone());
        registry::open(&options).map_err(|error| Error::Unfit(error.to_string()))
    }

    /// A connection past the registry.
    pub(super) fn connection(&self) -> Result<Connection, Error> {
        Connection::open(self.address)
    }

    fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Starts an orchestrator, which may have so many files open.
    pub(super) fn orchestrator(&self, cores: &str, files: Option<u64>) -> Result<Process, Error> {
        let ops = free_address()?;
        let arguments = ["--ops", &ops.to_string()].map(str::to_owned);
        self.launch("orchestrator", "orchestrator", cores, files)
            .args(arguments)
            .start()?
            .listening(ops)
    }

    /// Starts the admin API.
    pub(super) fn admin(&self, cores: &str, fleet: &FleetName) -> Result<(Process, Admin), Error> {
        let listen = free_address()?;
        let launch = self.launch("admin-api", "admin-api", cores, None);
        let launch = launch.args(["--fleet", fleet.as_str()]);
        let process = launch.args(["--listen", &listen.to_string()]).start()?;
        Ok((process.listening(listen)?, Admin::new(listen)))
    }

    /// Starts balancers of one thread each, and waits until each of them serves.
    pub(super) fn balancers(
        &self,
        count: usize,
        cores: &str,
        fleet: &FleetName,
    ) -> Result<Vec<Balancer>, Error> {
        // All are taken before any is let go, so that no two are the same.
        let taken: Vec<_> = (0..2 * count)
            .map(|_| std::net::TcpListener::bind("127.0.0.1:0"))
            .collect::<Result<_, _>>()?;
        let addresses: Vec<_> = taken
            .iter()
            .map(std::net::TcpListener::local_addr)
            .collect::<Result<_, _>>()?;
        drop(taken);
        let mut balancers = Vec::new();
        for (index, pair) in addresses.chunks_exact(2).enumerate() {
            let (listen, ops) = (pair[0].to_string(), pair[1].to_string());
            let arguments = ["--listen", &listen, "--ops", &ops, "--threads", "1"];
            let name = format!("balancer-{index}");
            let launch = self.launch(&name, "balancer", cores, None).args(arguments);
            let launch = launch.args(["--fleet", fleet.as_str()]);
            balancers.push(Balancer {
                address: pair[0],
                process: launch.start()?,
            });
        }
        let ready = Admin::new(self.address);
        for pair in addresses.chunks_exact(2) {
            ready.await_ready(pair[1])?;
        }
        Ok(balancers)
    }

    fn launch(&self, name: &str, role: &str, cores: &str, files: Option<u64>) -> Launch {
        let url = self.url();
        let arguments = [role, "--registry", &url, "--log", "warn"];
        let program = &self.places.roundhouse;
        match files {
            None => Launch::new(name, cores, program, &self.folder).args(arguments),
            Some(files) => {
                let limit = format!("--nofile={files}:{files}");
                let launch = Launch::new(name, cores, "prlimit", &self.folder).args([limit]);
                launch.args([program]).args(arguments)
            }
        }
    }

    /// Starts this program in another role, and waits for what it says.
    pub(super) fn load(&self, plan: &str, cores: &str) -> Result<String, Error> {
        let launch = Launch::new("load", cores, &self.places.bench, &self.folder);
        launch.args(["load", plan]).output()
    }
}

/// Starts a Redis that keeps nothing on disk, on a free port.
pub(crate) fn start_redis(
    folder: &std::path::Path,
    cores: &str,
) -> Result<(Process, SocketAddr), Error> {
    let address = free_address()?;
    let port = address.port().to_string();
    let launch = Launch::new("redis", cores, "redis-server", folder).args([
        "--bind",
        "127.0.0.1",
        "--port",
        &port,
        "--save",
        "",
        "--maxmemory-policy",
        "noeviction",
        "--dir",
    ]);
    let process = launch.args([folder]).start()?;
    Ok((process.listening(address)?, address))
}

/// Where it does not matter on which core something runs.
pub(super) const ANYWHERE: &str = BOTH_CORES;

/// Makes a new history, which holds the pool `default` alone.
pub(super) async fn seed(registry: &dyn Registry) -> Result<(), Error> {
    let first = Snapshot::first(Epoch::random(), RevisionId::random());
    registry.seed(&first).await?;
    Ok(())
}

/// Makes changes as an operator, in as many revisions as they need; tells of the last.
pub(super) async fn put(registry: &dyn Registry, changes: Vec<Change>) -> Result<Committed, Error> {
    let author = || Author::Operator {
        name: "bench".into(),
    };
    let mut last = Err(Error::Unfit("nothing to change".into()));
    for some in changes.chunks(CHANGES_MAX) {
        last = Ok(registry
            .commit(Commit::new(author(), some.to_vec()))
            .await?);
    }
    last
}

/// Pools with these servers, shared out evenly: `default` where it is one. `adjust` says in what they are not the usual ones.
pub(super) async fn fill(
    registry: &dyn Registry,
    pools: usize,
    adjust: impl Fn(&mut Pool),
    addresses: impl IntoIterator<Item = SocketAddr>,
) -> Result<Committed, Error> {
    let pool = |index| {
        let mut pool = Pool::new(key_of(index, pools).pool);
        adjust(&mut pool);
        Change::put_pool(pool)
    };
    let servers = addresses.into_iter().enumerate();
    let server = |(index, address)| Change::put_server(server(index, pools, address));
    let changes = (0..pools).map(pool).chain(servers.map(server));
    put(registry, changes.collect()).await
}

/// A server by its number. All names are of one length, so that all changes are.
pub(super) fn server(index: usize, pools: usize, address: SocketAddr) -> Server {
    let key = key_of(index, pools);
    Server::new(key.pool, key.server, address)
}

pub(super) fn key_of(index: usize, pools: usize) -> ServerKey {
    let pool = match pools {
        1 => PoolId::standard(),
        _ => format!("p{:03}", index % pools).parse().expect("a name"),
    };
    let server = format!("s{index:05}").parse().expect("a name");
    ServerKey::new(pool, server)
}

/// Leads until the runtime ends, with a heartbeat each second and nothing else: no server is probed.
pub(super) async fn lead(registry: Arc<dyn Registry>) -> Result<Leadership, Error> {
    let instance = InstanceId::random();
    let head = registry.acquire(instance, LONG_LEASE).await?;
    let head = head.ok_or_else(|| Error::Unfit("somebody else leads".into()))?;
    let term = head.term;
    tokio::spawn(async move {
        let mut period = tokio::time::interval(HEARTBEAT_PERIOD);
        loop {
            period.tick().await;
            // One that is missed is followed by the next.
            let _ = registry.renew(instance, term, LONG_LEASE).await;
        }
    });
    Ok(Leadership {
        instance,
        epoch: head.position.epoch,
        term,
    })
}

/// Finds every server to be up.
pub(super) async fn judge(registry: &dyn Registry, leadership: Leadership) -> Result<(), Error> {
    let read = registry.snapshot().await?;
    let snapshot = read.map(|read| read.snapshot);
    let snapshot = snapshot.ok_or_else(|| Error::Unfit("there is no fleet".into()))?;
    let verdicts = snapshot.servers.iter().map(|(key, server)| {
        let verdict = up(server.incarnation);
        Change::Verdict(key.clone(), Some(verdict))
    });
    for some in verdicts.collect::<Vec<_>>().chunks(CHANGES_MAX) {
        let commit = Commit {
            epoch: Some(leadership.epoch),
            leadership: Some(leadership),
            ..Commit::new(leadership.author(), some.to_vec())
        };
        registry.commit(commit).await?;
    }
    Ok(())
}

fn up(incarnation: Revision) -> Verdict {
    let verdict = json!({ "incarnation": incarnation, "health": "up" });
    serde_json::from_value(verdict).expect("a verdict has defaults for all else")
}

/// The registry's last revision.
pub(super) async fn revision(registry: &dyn Registry) -> Result<Revision, Error> {
    let head = registry.head().await?;
    let head = head.ok_or_else(|| Error::Unfit("there is no fleet".into()))?;
    Ok(head.position.revision)
}

/// How many elements a collection has, by the head.
pub(super) async fn count(registry: &dyn Registry, of: Collection) -> Result<u64, Error> {
    let head = registry.head().await?;
    let digest = head.and_then(|head| head.digests.get(&of).copied());
    Ok(digest.unwrap_or_default().count)
}

/// The balancers, once there are so many and all of them work with the last revision.
pub(super) async fn settled(
    registry: &dyn Registry,
    balancers: usize,
) -> Result<Vec<InstanceId>, Error> {
    let deadline = Instant::now() + WITHIN;
    loop {
        let last = revision(registry).await?;
        let instances = registry.instances().await?;
        let reports = instances.into_iter().map(|instance| instance.report);
        let settled = reports.filter(|report| {
            let applied = report.applied.map(|applied| applied.revision);
            report.role == Role::Balancer && applied >= Some(last)
        });
        let settled: Vec<_> = settled.map(|report| report.instance).collect();
        if settled.len() == balancers {
            return Ok(settled);
        }
        pause(deadline, "every balancer to work with the last revision").await?;
    }
}

/// Lets some time pass before the next look. Fails where there is none left.
pub(super) async fn pause(deadline: Instant, what: &str) -> Result<(), Error> {
    if Instant::now() > deadline {
        return Err(Error::Unfit(format!("waited in vain for {what}")));
    }
    tokio::time::sleep(LOOK_EACH).await;
    Ok(())
}

/// When what is waited for should have come.
pub(super) fn deadline() -> Instant {
    Instant::now() + WITHIN
}
