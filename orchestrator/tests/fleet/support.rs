//! A fleet in one process: a registry, in memory unless a test has a Redis, orchestrators that can be stopped or
//! killed, and servers that answer what a test tells them to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use model::{
    Author, Change, Collection, Delta, Entry, FleetName, Health, HealthCheck, Pool, PoolId,
    Revision, Server, ServerKey, Snapshot,
};
use orchestrator::{Args, Orchestrator};
use registry::testing::RedisServer;
use registry::{Announcement, Announcements, Commit, Committed, Memory, Options, Registry};
use runtime::Supervisor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

/// What nothing in these tests takes unless it is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Waits until `condition` gives something.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    condition: impl Fn() -> F,
) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The flags, as they would be given, with a free port.
pub(crate) fn args(flags: &[&str]) -> Args {
    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }
    let fixed = ["orchestrator", "--ops", "127.0.0.1:0"];
    Cli::parse_from(fixed.iter().chain(flags)).args
}

/// One orchestrator, on a runtime of its own so that it can be killed like a process.
pub(crate) struct Running {
    pub(crate) orchestrator: Orchestrator,
    pub(crate) supervisor: Supervisor,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Running {
    pub(crate) async fn start(registry: &Arc<Memory>, flags: &[&str]) -> Self {
        Self::start_on(Arc::<Memory>::clone(registry), flags).await
    }

    pub(crate) async fn start_on(registry: Arc<dyn Registry>, flags: &[&str]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let supervisor = Supervisor::new();
        let (args, watched) = (args(flags), supervisor.clone());
        let start = async move { Orchestrator::start(args, registry, &watched).await };
        let started = runtime.spawn(start).await.expect("no panic");
        Self {
            orchestrator: started.expect("an orchestrator"),
            supervisor,
            runtime: Some(runtime),
        }
    }

    /// As `kill -9` would: nothing it does happens any more, and it says goodbye to nobody.
    pub(crate) fn kill(mut self) {
        self.runtime.take().expect("it runs").shutdown_background();
    }

    /// Ends it in order.
    pub(crate) async fn stop(self) {
        self.supervisor.request_stop();
        let finished = self.supervisor.finished(LIMIT).await;
        assert_eq!(finished, Ok(()), "still running");
        assert_eq!(self.supervisor.failure(), None);
    }

    /// What `/readyz` or `/metrics` answers.
    pub(crate) async fn ops(&self, path: &str) -> String {
        let address = self.orchestrator.address();
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: ops\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    pub(crate) async fn leads(&self) {
        eventually("it leads", async || self.orchestrator.leads().then_some(())).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A fleet's registry, as an operator uses it.
pub(crate) struct Stage<R: ?Sized = Memory> {
    pub(crate) registry: Arc<R>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            registry: Arc::new(Memory::new()),
        }
    }
}

/// A connection of its own, as each process has one.
pub(crate) fn connect(redis: &RedisServer) -> Arc<dyn Registry> {
    let options = Options::new(redis.url().as_str(), FleetName::standard());
    registry::open(&options).expect("a URL")
}

impl Stage<dyn Registry> {
    pub(crate) fn on(redis: &RedisServer) -> Self {
        Self {
            registry: connect(redis),
        }
    }
}

impl<R: Registry + ?Sized> Stage<R> {
    pub(crate) async fn snapshot(&self) -> Option<Snapshot> {
        let snapshotted = self.registry.snapshot().await.expect("it answers");
        snapshotted.map(|snapshotted| snapshotted.snapshot)
    }

    /// Waits for the first initialisation.
    pub(crate) async fn initialised(&self) -> Snapshot {
        eventually("a fleet", async || self.snapshot().await).await
    }

    pub(crate) async fn commit(&self, change: Change) -> Committed {
        self.commit_all(vec![change]).await
    }

    pub(crate) async fn commit_all(&self, changes: Vec<Change>) -> Committed {
        let author = Author::Operator {
            name: "test".into(),
        };
        let commit = Commit::new(author, changes);
        self.registry.commit(commit).await.expect("taken")
    }

    /// Gives the pool `default` a hurried check, changed by `edit`.
    pub(crate) async fn check(&self, edit: impl FnOnce(&mut HealthCheck)) {
        self.pool(|pool| edit(&mut pool.health)).await;
    }

    /// The same of any of its settings.
    pub(crate) async fn pool(&self, edit: impl FnOnce(&mut Pool)) {
        let mut pool = Pool::new(PoolId::standard());
        pool.health.interval = Duration::from_millis(100);
        edit(&mut pool);
        self.commit(Change::put_pool(pool)).await;
    }

    /// Writes a server; the revision becomes its incarnation.
    pub(crate) async fn put(&self, name: &str, address: SocketAddr) -> Revision {
        let key = key(name);
        let server = Server::new(key.pool, key.server, address);
        self.commit(Change::put_server(server))
            .await
            .position
            .revision
    }

    pub(crate) async fn health(&self, name: &str) -> Health {
        let snapshot = self.snapshot().await.expect("a fleet");
        snapshot.health_of(&key(name))
    }

    pub(crate) async fn reason(&self, name: &str) -> String {
        let snapshot = self.snapshot().await.expect("a fleet");
        snapshot.health[&key(name)].value.reason.clone()
    }

    pub(crate) async fn becomes(&self, name: &str, health: Health) {
        let reached = async || (self.health(name).await == health).then_some(());
        eventually(&format!("{name} {health}"), reached).await;
    }

    /// A server's own lease is renewed, once.
    pub(crate) async fn renew(&self, name: &str, lifetime: Duration) {
        let key = key(name);
        let renewed = self.registry.renew_registration(&key, lifetime).await;
        renewed.expect("the registry takes it");
    }

    /// Begins to note down every revision.
    pub(crate) async fn log(&self) -> Log<R> {
        let registry = Arc::clone(&self.registry);
        let announcements = registry.announcements().await.expect("subscribed");
        let seen = self.initialised().await.position.revision;
        Log {
            registry,
            announcements,
            seen,
        }
    }
}

/// The revisions that are made, in order.
pub(crate) struct Log<R: ?Sized = Memory> {
    registry: Arc<R>,
    announcements: Announcements,
    seen: Revision,
}

impl<R: Registry + ?Sized> Log<R> {
    /// The next revision.
    pub(crate) async fn next(&mut self) -> Delta {
        loop {
            let announcement = timeout(LIMIT, self.announcements.next()).await;
            let announcement = announcement.expect("in time").expect("a subscription");
            if let Announcement::Delta(delta) = announcement
                && delta.revision > self.seen
            {
                self.seen = delta.revision;
                return delta;
            }
        }
    }

    /// The revisions since the last look, up to where the registry stands now.
    pub(crate) async fn take(&mut self) -> Vec<Delta> {
        let head = self.registry.head().await.expect("it answers");
        let now = head.expect("a head").position.revision;
        let mut deltas = Vec::new();
        while self.seen < now {
            deltas.push(self.next().await);
        }
        deltas
    }

    /// The verdicts among them, as `s1 up`.
    pub(crate) async fn verdicts(&mut self) -> Vec<String> {
        let deltas = self.take().await;
        let entries = deltas.into_iter().flat_map(|delta| delta.entries);
        let of_health = entries.filter(|entry| entry.collection == Collection::Health);
        of_health.map(|entry| describe(&entry)).collect()
    }
}

fn describe(entry: &Entry) -> String {
    let key: ServerKey = entry.key.parse().expect("a key");
    match &entry.value {
        Some(value) => {
            let health = value["value"]["health"].as_str().expect("a verdict");
            format!("{} {health}", key.server)
        }
        None => format!("{} removed", key.server),
    }
}

pub(crate) fn key(name: &str) -> ServerKey {
    format!("default/{name}").parse().expect("a key")
}

/// A server that answers probes as it is told to, on every address of this machine.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    manner: Arc<Manner>,
}

#[derive(Default)]
struct Manner {
    status: AtomicU16,
    /// For a single answer, where it is not 0.
    once: AtomicU16,
    hangs: AtomicBool,
    probes: AtomicUsize,
    connections: AtomicUsize,
    ended: AtomicUsize,
    /// By the connection's number, in the order in which they came.
    over: Mutex<BTreeMap<usize, Over>>,
    /// What is answered in turn, where it is anything.
    in_turn: Mutex<Vec<u16>>,
}

/// How one connection is used.
#[derive(Default)]
struct Over {
    status: Option<u16>,
    probes: usize,
}

impl Target {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let target = Self {
            address: ([127, 0, 0, 1], port).into(),
            manner: Arc::default(),
        };
        target.answers(200);
        let manner = Arc::clone(&target.manner);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = manner.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, number, Arc::clone(&manner)));
            }
        });
        target
    }

    /// An address at which nobody listens.
    pub(crate) async fn start_and_end() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("an address")
    }

    pub(crate) fn answers(&self, status: u16) {
        self.manner.status.store(status, Ordering::SeqCst);
    }

    /// The next probe alone gets this status.
    pub(crate) fn answers_once(&self, status: u16) {
        self.manner.once.store(status, Ordering::SeqCst);
    }

    /// From now on these statuses come one after another, again and again.
    pub(crate) fn answers_in_turn(&self, statuses: &[u16]) {
        *self.manner.in_turn.lock().expect("no panic") = statuses.to_vec();
    }

    /// Who came as this one, the first being 0, gets this status over its connection.
    pub(crate) fn answers_over(&self, connection: usize, status: u16) {
        let mut over = self.manner.over.lock().expect("no panic");
        over.entry(connection).or_default().status = Some(status);
    }

    /// Waits until it has been probed so many times more over this connection.
    pub(crate) async fn probed_over(&self, connection: usize, times: usize) {
        let probes = || {
            let over = self.manner.over.lock().expect("no panic");
            over.get(&connection).map_or(0, |over| over.probes)
        };
        let goal = probes() + times;
        eventually("probes", async || (probes() >= goal).then_some(())).await;
    }

    /// From now on probes are read and not answered.
    pub(crate) fn hang(&self) {
        self.manner.hangs.store(true, Ordering::SeqCst);
    }

    /// How often it was probed.
    pub(crate) fn probes(&self) -> usize {
        self.manner.probes.load(Ordering::SeqCst)
    }

    /// How many connections it was probed over.
    pub(crate) fn connections(&self) -> usize {
        self.manner.connections.load(Ordering::SeqCst)
    }

    /// Waits until it has been probed so many times more.
    pub(crate) async fn probed(&self, times: usize) {
        let goal = self.probes() + times;
        eventually("probes", async || (self.probes() >= goal).then_some(())).await;
    }

    /// Waits until nobody is connected.
    pub(crate) async fn left(&self) {
        let ended = || self.manner.ended.load(Ordering::SeqCst);
        let left = async || (ended() == self.connections()).then_some(());
        eventually("its connections end", left).await;
    }
}

async fn serve(stream: TcpStream, number: usize, manner: Arc<Manner>) {
    // A connection that is lost has ended, which is all that is asked.
    let _ = answer(stream, number, &manner).await;
    manner.ended.fetch_add(1, Ordering::SeqCst);
}

impl Manner {
    /// What the next probe over this connection gets.
    fn status(&self, connection: usize) -> u16 {
        let probes = self.probes.fetch_add(1, Ordering::SeqCst);
        let own = {
            let mut over = self.over.lock().expect("no panic");
            let over = over.entry(connection).or_default();
            over.probes += 1;
            over.status
        };
        let in_turn = self.in_turn.lock().expect("no panic");
        match (self.once.swap(0, Ordering::SeqCst), own) {
            (0, Some(own)) => own,
            (0, None) if !in_turn.is_empty() => in_turn[probes % in_turn.len()],
            (0, None) => self.status.load(Ordering::SeqCst),
            (once, _) => once,
        }
    }
}

async fn answer(mut stream: TcpStream, number: usize, manner: &Manner) -> std::io::Result<()> {
    let mut head = Vec::new();
    loop {
        head.push(stream.read_u8().await?);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        head.clear();
        let status = manner.status(number);
        if manner.hangs.load(Ordering::SeqCst) {
            continue;
        }
        let text = format!("HTTP/1.1 {status} Status\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(text.as_bytes()).await?;
    }
}
