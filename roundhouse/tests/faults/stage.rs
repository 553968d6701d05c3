//! The stage: a whole fleet of real processes, each with a way of its own to a real Redis.

use std::process::Command;
use std::sync::Arc;

use hyper::{Method, StatusCode};
use model::{Epoch, FleetName, Health, Position, RevisionId, Snapshot};
use registry::testing::{RedisServer, Sentinels, password_of};
use registry::{Options, Registry};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::clock::{self, Clock};
use crate::member::{self, Member};
use crate::proxy::{Mode, Proxy};
use crate::shared::eventually;
use crate::shared::http::{Answer, Http};
use crate::shared::process::{Process, Role};

/// Whose wall clock can be set. Redis's cannot: libfaketime and the allocator that Debian's Redis is linked with wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clocked {
    /// The orchestrator that leads at first.
    Leader,
    /// The first balancer.
    Balancer,
}

/// What a fault needs besides the plain stage.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Setup {
    /// A master, two replicas and three Sentinels instead of one Redis.
    pub(crate) sentinels: bool,
    pub(crate) clock: Option<Clocked>,
    /// The first balancer keeps its state on a small disk of its own.
    pub(crate) small_disk: bool,
}

impl Setup {
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            sentinels: self.sentinels || other.sentinels,
            clock: self.clock.or(other.clock),
            small_disk: self.small_disk || other.small_disk,
        }
    }

    /// What of it cannot be had here.
    pub(crate) fn missing(self) -> Option<&'static str> {
        if self.clock.is_some() && clock::library().is_none() {
            return Some("libfaketime is not installed (Debian's package faketime)");
        }
        if self.small_disk && !member::can_mount() {
            return Some("no small disk can be mounted: that takes root, and the right to mount");
        }
        None
    }
}

/// The registry's own servers.
pub(crate) enum Store {
    /// One, with a fleet's users.
    Single(RedisServer),
    Sentinels(Sentinels),
}

/// A time in which a balancer was away, because a fault took it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    pub(crate) balancer: usize,
    pub(crate) from: Instant,
    /// Until it was ready again.
    pub(crate) until: Option<Instant>,
}

pub(crate) struct Stage {
    pub(crate) balancers: Vec<Member>,
    pub(crate) orchestrators: Vec<Member>,
    pub(crate) admin: Member,
    pub(crate) servers: Vec<Role>,
    /// The registry as the test itself sees it, by a way that no fault spoils.
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) http: Http,
    pub(crate) outages: Vec<Outage>,
    /// The orchestrator that led when the fault began.
    pub(crate) leader: usize,
    /// Where the registry stood then.
    pub(crate) before: Position,
    /// Connections that only take up room.
    pub(crate) crowd: Vec<std::net::TcpStream>,
    pub(crate) store: Store,
    /// What all of them keep on disk.
    _folder: TempDir,
}

impl Stage {
    /// Starts everything, and waits until every balancer works by the same table with three servers that are up.
    pub(crate) async fn start(setup: Setup) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(setup);
        let registry = open(&store.url("root"));
        let first = Snapshot::first(Epoch::random(), RevisionId::random());
        let seeded = registry.seed(&first).await;
        assert_eq!(seeded, Ok(true), "the registry is new");
        let state = |name: &str| folder.path().join(name);
        let mut orchestrators = Vec::new();
        let mut balancers = Vec::new();
        for number in 0..2 {
            let orchestrator = member("orchestrator", "orchestrator", &store).await;
            let state = state(&format!("orchestrator-{number}"));
            orchestrators.push(orchestrator.keeping(state, "orchestrator.json"));
        }
        for number in 0..2 {
            let balancer = member("balancer", "balancer", &store).await;
            let state = state(&format!("balancer-{number}"));
            balancers.push(balancer.keeping(state, "balancer.json"));
        }
        balancers[0].small_disk = setup.small_disk;
        match setup.clock {
            Some(Clocked::Leader) => orchestrators[0].clock = Some(Clock::new(folder.path())),
            Some(Clocked::Balancer) => balancers[0].clock = Some(Clock::new(folder.path())),
            None => {}
        }
        let admin = member("admin-api", "admin", &store).await;
        let mut stage = Self {
            balancers,
            orchestrators,
            admin,
            servers: Vec::new(),
            registry,
            http: Http::new(),
            outages: Vec::new(),
            leader: 0,
            before: first.position,
            crowd: Vec::new(),
            store,
            _folder: folder,
        };
        stage.populate().await;
        stage
    }

    async fn populate(&mut self) {
        self.orchestrators[0].start();
        eventually("the first orchestrator leads", || async {
            self.leading().await == Some(0)
        })
        .await;
        self.orchestrators[1].start();
        self.admin.start();
        for name in ["1", "2"] {
            let server = demo_server(name, None);
            self.add_server(&format!("s{name}"), &server.url).await;
            self.servers.push(server);
        }
        self.servers.push(demo_server("3", Some(&self.admin.url())));
        eventually("three servers are up", || async { self.up().await == 3 }).await;
        for balancer in &mut self.balancers {
            balancer.start();
        }
        for balancer in 0..self.balancers.len() {
            self.await_ready(balancer).await;
        }
        self.await_equal_tables().await;
    }

    async fn add_server(&self, id: &str, url: &str) {
        let address = url.trim_start_matches("http://");
        let body = format!(r#"{{"address":"{address}"}}"#);
        eventually("the admin API takes a server", || async {
            let answer = self.change(id, Method::PUT, &body, "").await;
            answer.is_ok_and(|answer| answer.status.is_success())
        })
        .await;
    }

    /// How many servers are up, by the registry.
    async fn up(&self) -> usize {
        let Ok(Some(read)) = self.registry.snapshot().await else {
            return 0;
        };
        let servers = read.snapshot.servers.keys();
        let up = servers.filter(|key| read.snapshot.health_of(key) == Health::Up);
        up.count()
    }

    /// Asks the admin API to change a server.
    pub(crate) async fn change(
        &self,
        server: &str,
        method: Method,
        body: &str,
        query: &str,
    ) -> Result<Answer, String> {
        let path = format!(
            "{}/v1/pools/default/servers/{server}{query}",
            self.admin.url()
        );
        self.http.send(method, &path, body).await
    }

    /// Which orchestrator leads, by the registry.
    pub(crate) async fn leading(&self) -> Option<usize> {
        let leader = self.registry.head().await.ok()??.leader?;
        let instances = self.registry.instances().await.ok()?;
        let leader = instances.iter().find(|it| it.report.instance == leader)?;
        let place = |member: &Member| member.address.to_string() == leader.report.advertise;
        self.orchestrators.iter().position(place)
    }

    /// Waits until a balancer says that it is ready for clients.
    pub(crate) async fn await_ready(&self, balancer: usize) {
        let ready = format!("{}/readyz", self.balancers[balancer].ops());
        eventually("the balancer is ready", || async {
            let answer = self.http.send(Method::GET, &ready, "").await;
            answer.is_ok_and(|answer| answer.status == StatusCode::OK)
        })
        .await;
    }

    /// Takes a balancer away, as a crash would.
    pub(crate) fn kill_balancer(&mut self, balancer: usize) {
        self.outages.push(Outage {
            balancer,
            from: Instant::now(),
            until: None,
        });
        self.balancers[balancer].kill();
    }

    /// Starts it again, and waits until it is ready.
    pub(crate) async fn restart_balancer(&mut self, balancer: usize) {
        self.balancers[balancer].start();
        self.await_ready(balancer).await;
        let outage = self.outages.iter_mut().rfind(|it| it.balancer == balancer);
        outage.expect("it was killed").until = Some(Instant::now());
    }

    /// Makes all ways to Redis alike.
    pub(crate) fn set_ways(&self, mode: Mode) {
        let members = self.orchestrators.iter().chain(&self.balancers);
        for member in members.chain([&self.admin]) {
            member.way.as_ref().expect("it has one").set(mode);
        }
    }

    pub(crate) fn redis(&mut self) -> &mut RedisServer {
        match &mut self.store {
            Store::Single(redis) => redis,
            Store::Sentinels(sentinels) => sentinels.first_master(),
        }
    }

    /// Sends a command to Redis as its administrator.
    pub(crate) fn command(&mut self, words: &[&str]) -> String {
        self.redis().command_as_root(words)
    }

    /// Notes who leads and where the registry stands.
    pub(crate) async fn note(&mut self) {
        let head = self.registry.head().await.expect("the registry answers");
        self.before = head.expect("it holds a fleet").position;
        self.leader = self.leading().await.expect("somebody leads");
    }
}

impl Store {
    /// How one of a fleet's users reaches it.
    fn url(&self, user: &str) -> String {
        match self {
            Self::Single(redis) => redis.url_of(user),
            Self::Sentinels(sentinels) => sentinels.url(),
        }
    }
}

fn store(setup: Setup) -> Store {
    if setup.sentinels {
        return Store::Sentinels(Sentinels::start());
    }
    Store::Single(RedisServer::with_users(&FleetName::standard()))
}

fn open(url: &str) -> Arc<dyn Registry> {
    registry::open(&Options::new(url, FleetName::standard())).expect("a good address")
}

/// A process with a way of its own to Redis, where that is a single one.
async fn member(role: &str, user: &str, store: &Store) -> Member {
    match store {
        Store::Sentinels(_) => Member::new(role, &store.url(user), None),
        Store::Single(redis) => {
            let way = Proxy::start(redis.address()).await;
            let password = password_of(user);
            let url = format!("redis://{user}:{password}@{}", way.address());
            Member::new(role, &url, Some(way))
        }
    }
}

/// A server to balance; it registers itself where it is told an admin API.
fn demo_server(name: &str, admin: Option<&str>) -> Role {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roundhouse"));
    command.args(["demo-server", "--name", name, "--listen", "127.0.0.1:0"]);
    if let Some(admin) = admin {
        command.args(["--register", admin, "--id", &format!("s{name}")]);
    }
    Role::started(Process::spawn(command))
}
