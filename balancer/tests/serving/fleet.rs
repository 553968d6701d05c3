//! A balancer on the memory registry, whose pool counts every server as up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use balancer::{Args, Balancer};
use clap::Parser;
use model::{
    Author, Change, CheckKind, Epoch, Nack, Pool, PoolId, Position, Revision, RevisionId, Server,
    ServerKey, ServerState, Snapshot,
};
use registry::{Commit, Goal, Leaving, Outcome, Registry, wait_for};
use runtime::Supervisor;
use tokio::time::{Instant, timeout};

use crate::client;
use crate::upstream::Upstream;
use crate::wire::{LIMIT, Wire};

/// One balancer and its registry.
pub(crate) struct Fleet {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) balancer: Balancer,
    pub(crate) supervisor: Supervisor,
}

/// The flags, as they would be given, with free ports.
pub(crate) fn args(flags: &[&str]) -> Args {
    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }
    let mut fixed = vec!["balancer", "--ops", "127.0.0.1:0"];
    if !flags.contains(&"--listen") {
        fixed.extend(["--listen", "127.0.0.1:0"]);
    }
    Cli::parse_from(fixed.iter().chain(flags)).args
}

pub(crate) fn key(id: &str) -> ServerKey {
    ServerKey::new(PoolId::standard(), id.parse().expect("a name"))
}

pub(crate) fn server(id: &str, address: SocketAddr) -> Server {
    Server::new(PoolId::standard(), id.parse().expect("a name"), address)
}

/// The pool `default`, without inspection. No answer is so late that another server is asked: how fast the machine is decides
/// nothing, and a test that is about such answers sets its own time. No server is ejected for failures in a row either.
pub(crate) fn pool() -> Pool {
    let mut pool = Pool::new(PoolId::standard());
    pool.health.kind = CheckKind::None;
    pool.timeouts.per_try = 3 * LIMIT;
    pool.outlier.gateway_failures = 0;
    pool
}

/// A registry that holds this pool.
pub(crate) async fn registry(pool: Pool) -> Arc<dyn Registry> {
    let registry = registry::open(&args(&[]).registry).expect("the memory registry");
    seed(&*registry, pool).await;
    registry
}

/// Makes a fleet with this pool in a registry that holds none.
pub(crate) async fn seed(registry: &dyn Registry, pool: Pool) {
    let snapshot = Snapshot::empty(Position {
        epoch: Epoch::random(),
        revision: Revision(1),
        id: RevisionId::random(),
    });
    assert!(registry.seed(&snapshot).await.expect("seeded"));
    commit(registry, vec![Change::put_pool(pool)]).await;
}

pub(crate) async fn commit(registry: &dyn Registry, changes: Vec<Change>) -> Position {
    let author = Author::Operator {
        name: "test".into(),
    };
    let committed = registry.commit(Commit::new(author, changes)).await;
    committed.expect("committed").position
}

impl Fleet {
    /// With two worker threads and these servers, named `s1`, `s2` and so on.
    pub(crate) async fn of(servers: &[&Upstream]) -> Self {
        Self::with(pool(), servers).await
    }

    pub(crate) async fn with(pool: Pool, servers: &[&Upstream]) -> Self {
        let addresses: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
        Self::at(pool, &addresses, &["--threads", "2"]).await
    }

    pub(crate) async fn at(pool: Pool, servers: &[SocketAddr], flags: &[&str]) -> Self {
        let registry = registry(pool).await;
        for (index, address) in servers.iter().enumerate() {
            let server = server(&format!("s{}", index + 1), *address);
            commit(&*registry, vec![Change::put_server(server)]).await;
        }
        let fleet = Self::on(registry, flags).await;
        timeout(LIMIT, fleet.balancer.ready())
            .await
            .expect("ready in time");
        fleet
    }

    /// On a registry, without waiting for readiness.
    pub(crate) async fn on(registry: Arc<dyn Registry>, flags: &[&str]) -> Self {
        let supervisor = Supervisor::new();
        let balancer = Balancer::start(args(flags), Arc::clone(&registry), &supervisor).await;
        Self {
            registry,
            balancer: balancer.expect("a balancer"),
            supervisor,
        }
    }

    /// Returns once the balancer has reported a table.
    pub(crate) async fn has_table(&self) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let instances = self.registry.instances().await.expect("instances");
            if instances.iter().any(|one| one.report.applied.is_some()) {
                return;
            }
            assert!(Instant::now() < deadline, "no table within {LIMIT:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Stops the balancer, and returns when nothing of it runs any more.
    pub(crate) async fn end(&self) {
        self.supervisor.request_stop();
        self.supervisor.finished(LIMIT).await.expect("it ends");
    }

    pub(crate) async fn client(&self) -> Wire {
        client::connect(self.address()).await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.balancer.address()
    }

    /// Changes the state, and returns once every worker has applied it.
    pub(crate) async fn change(&self, change: Change) -> Position {
        let position = commit(&*self.registry, vec![change]).await;
        self.reaches(&Goal::Applied(position)).await;
        position
    }

    pub(crate) async fn set_state(
        &self,
        id: &str,
        address: SocketAddr,
        state: ServerState,
    ) -> Position {
        let server = Server {
            state,
            ..server(id, address)
        };
        self.change(Change::put_server(server)).await
    }

    /// The revision that set the server's address.
    pub(crate) async fn incarnation(&self, id: &str) -> Revision {
        self.leaving(id).await.incarnation
    }

    /// A server that is about to go.
    pub(crate) async fn leaving(&self, id: &str) -> Leaving {
        let known = self.registry.snapshot().await.expect("a registry");
        Leaving::from(&*known.expect("a snapshot").snapshot.servers[&key(id)])
    }

    /// Waits for it as an operator would.
    pub(crate) async fn reaches(&self, goal: &Goal) {
        let outcome = wait_for(&*self.registry, goal, Instant::now() + LIMIT).await;
        assert!(
            matches!(outcome, Ok(Outcome::Done)),
            "{goal:?}: {outcome:?}"
        );
    }

    /// What the balancer cannot apply of this revision.
    pub(crate) async fn nacks_at(&self, position: Position) -> Vec<Nack> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let instances = self.registry.instances().await.expect("instances");
            let report = &instances[0].report;
            if report
                .applied
                .is_some_and(|applied| applied.revision >= position.revision)
            {
                return report.nacks.clone();
            }
            assert!(Instant::now() < deadline, "not reported");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Whether the goal is reached by now, or within a moment.
    pub(crate) async fn has_reached(&self, goal: &Goal) -> bool {
        let moment = Instant::now() + Duration::from_millis(300);
        let outcome = wait_for(&*self.registry, goal, moment).await;
        matches!(outcome, Ok(Outcome::Done))
    }

    /// What `/readyz`, `/livez` or `/metrics` says.
    pub(crate) async fn ops(&self, path: &str) -> crate::wire::Message {
        let address = self.balancer.ops_address();
        let request = format!("GET {path} HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n");
        client::connect(address)
            .await
            .ask(request)
            .await
            .expect("an answer")
    }

    /// The value of a metric, by its name and labels as they are written.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.ops("/metrics").await.text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Returns once so many clients' connections are counted that the balancer ended for this reason.
    pub(crate) async fn has_ended(&self, reason: &str, count: u32) {
        let name = format!("roundhouse_balancer_connections_ended_total{{reason=\"{reason}\"}}");
        self.counts(&name, count).await;
    }

    /// Waits until a metric has this value.
    pub(crate) async fn counts(&self, name: &str, value: u32) {
        let line = format!("{name} {value}");
        let deadline = Instant::now() + LIMIT;
        loop {
            let text = self.ops("/metrics").await.text();
            if text.lines().any(|one| one == line) {
                return;
            }
            assert!(Instant::now() < deadline, "no {name} {value} in {text}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.supervisor.request_stop();
    }
}
