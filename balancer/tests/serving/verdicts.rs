//! Verdicts age: those from disk, and those of a leader that is not heard any more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{
    Author, Change, Health, InstanceId, Pool, PoolId, Revision, Snapshot, Stamped, Verdict,
};
use registry::testing::RedisServer;
use registry::{Commit, Registry, StateFile};
use tokio::time::{Instant, timeout};

use crate::client;
use crate::fleet::{Fleet, args, commit, key, registry, seed, server};
use crate::upstream::{Upstream, nobody};
use crate::wire::LIMIT;

/// Requests that were sent to another server, since there was no connection to the first.
const CONNECT_RETRIES: &str = "roundhouse_balancer_retries_total{cause=\"connect\"}";

fn inspected() -> Pool {
    let mut pool = Pool::new(PoolId::standard());
    pool.health.interval = Duration::from_millis(200);
    pool
}

async fn registry_with(servers: &[(&str, SocketAddr)]) -> Arc<dyn Registry> {
    let registry = registry(inspected()).await;
    let put = |(id, address): &(&str, SocketAddr)| Change::put_server(server(id, *address));
    commit(&*registry, servers.iter().map(put).collect()).await;
    registry
}

async fn snapshot(registry: &dyn Registry) -> Snapshot {
    let known = registry.snapshot().await.expect("a registry");
    known.expect("a snapshot").snapshot
}

fn incarnation(snapshot: &Snapshot, id: &str) -> Revision {
    snapshot.servers[&key(id)].incarnation
}

fn judge(snapshot: &mut Snapshot, id: &str, health: Health) {
    let incarnation = incarnation(snapshot, id);
    let verdict = Stamped {
        revision: incarnation,
        created: incarnation,
        ordinal: 0,
        incarnation,
        value: Verdict {
            incarnation,
            health,
            reason: String::new(),
            silent_ms: 0,
            unknown: model::Unknown::default(),
        },
    };
    snapshot.health.insert(key(id), Arc::new(verdict));
}

/// A balancer that has this on its disk, and no registry.
async fn booted_from(snapshot: &Snapshot) -> (Fleet, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("a path");
    let flags = ["--threads", "1", "--registry", "redis://127.0.0.1:1"];
    let args = args(&[&flags[..], &["--state-dir", path]].concat());
    let file = directory.path().join("balancer.json");
    StateFile::save(&file, &args.registry.fleet, snapshot).expect("saved");
    let away = registry::open(&args.registry).expect("a registry");
    let flags = [&flags[..], &["--state-dir", path]].concat();
    let fleet = Fleet::on(away, &flags).await;
    timeout(LIMIT, fleet.balancer.ready())
        .await
        .expect("ready in time");
    (fleet, directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_from_disk_count_for_nothing() {
    let back = Upstream::named("back").await;
    let registry = registry_with(&[("s1", nobody()), ("s2", back.address)]).await;
    let mut stored = snapshot(&*registry).await;
    judge(&mut stored, "s1", Health::Up);
    judge(&mut stored, "s2", Health::Down);
    let (fleet, _directory) = booted_from(&stored).await;
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let answer = client::get(fleet.address(), "/").await;
        assert_eq!((answer.status(), answer.text()), (200, "back".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn booted_from_disk_it_finds_out_itself_who_is_up() {
    let up = Upstream::named("up").await;
    let registry = registry_with(&[("s1", nobody()), ("s2", up.address)]).await;
    let mut stored = snapshot(&*registry).await;
    judge(&mut stored, "s1", Health::Up);
    let (fleet, _directory) = booted_from(&stored).await;
    leaves_alone_the_dead(&fleet, "up").await;
}

/// Returns once requests go to this server only, without a retry.
async fn leaves_alone_the_dead(fleet: &Fleet, up: &str) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let before = fleet.metric(CONNECT_RETRIES).await;
        for _ in 0..4 {
            assert_eq!(client::get(fleet.address(), "/").await.text(), up);
        }
        if fleet.metric(CONNECT_RETRIES).await == before {
            return;
        }
        assert!(Instant::now() < deadline, "the dead one is still tried");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Who leads, and gives verdicts by hand.
struct Leader {
    registry: Arc<dyn Registry>,
    author: Author,
    epoch: model::Epoch,
}

impl Leader {
    async fn of(registry: &Arc<dyn Registry>) -> Self {
        let instance = InstanceId::random();
        let lease = registry.acquire(instance, LIMIT).await.expect("a registry");
        let head = lease.expect("the lease");
        Self {
            registry: Arc::clone(registry),
            author: Author::Leader {
                instance,
                term: head.term,
            },
            epoch: head.position.epoch,
        }
    }

    async fn finds(&self, id: &str, health: Health, silent_ms: u64) {
        let verdict = Verdict {
            incarnation: incarnation(&snapshot(&*self.registry).await, id),
            health,
            reason: format!("after {silent_ms} ms"),
            silent_ms,
            unknown: model::Unknown::default(),
        };
        let commit = Commit {
            epoch: Some(self.epoch),
            ..Commit::new(
                self.author.clone(),
                vec![Change::Verdict(key(id), Some(verdict))],
            )
        };
        self.registry.commit(commit).await.expect("committed");
    }
}

/// Waits until the balancer reports that it holds something back, or nothing.
async fn holds(fleet: &Fleet, something: bool) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let instances = fleet.registry.instances().await.expect("a registry");
        let mut reports = instances.iter().map(|it| &it.report);
        if reports.any(|report| report.holds.is_empty() != something) {
            return;
        }
        assert!(Instant::now() < deadline, "{instances:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_takes_no_server_away_that_answers() {
    let up = Upstream::named("s1").await;
    let registry = registry_with(&[("s1", up.address)]).await;
    let leader = Leader::of(&registry).await;
    leader.finds("s1", Health::Up, 0).await;
    let fleet = Fleet::on(registry, &["--threads", "1"]).await;
    timeout(LIMIT, fleet.balancer.ready())
        .await
        .expect("ready in time");
    let mut client = fleet.client().await;
    // When the second is answered, the first has been written down as a good answer.
    for _ in 0..2 {
        assert_eq!(client.get("/").await.status(), 200);
    }
    leader.finds("s1", Health::Down, 3_600_000).await;
    holds(&fleet, true).await;
    assert_eq!(client::get(fleet.address(), "/").await.status(), 200);
    // The server says itself that it is unwell: that is not contested.
    leader.finds("s1", Health::Up, 0).await;
    holds(&fleet, false).await;
    leader.finds("s1", Health::Down, 0).await;
    let deadline = Instant::now() + LIMIT;
    while client::get(fleet.address(), "/").await.status() != 503 {
        assert!(Instant::now() < deadline, "it is still used");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_leader_it_finds_out_itself_who_has_gone_down() {
    let up = Upstream::named("up").await;
    let registry = registry_with(&[("s1", nobody()), ("s2", up.address)]).await;
    let leader = Leader::of(&registry).await;
    for id in ["s1", "s2"] {
        leader.finds(id, Health::Up, 0).await;
    }
    let fleet = Fleet::on(registry, &["--threads", "1"]).await;
    timeout(LIMIT, fleet.balancer.ready())
        .await
        .expect("ready in time");
    leaves_alone_the_dead(&fleet, "up").await;
}

/// A fleet whose leader found two servers up, and was never heard again.
struct Abandoned {
    fleet: Fleet,
    dying: Upstream,
    _other: Upstream,
}

impl Abandoned {
    /// What is known of a server comes from the verdicts alone: no balancer ejects any on its own.
    fn pool() -> Pool {
        let mut pool = inspected();
        pool.outlier.gateway_failures = 0;
        pool
    }

    async fn on(registry: Arc<dyn Registry>) -> Self {
        // An address of its own, at which it can come back.
        let dying = Upstream::named_at(([127, 0, 77, 1], 0).into(), "dying").await;
        let other = Upstream::named("other").await;
        let put =
            |(id, upstream): (&str, &Upstream)| Change::put_server(server(id, upstream.address));
        let servers = [("s1", &dying), ("s2", &other)];
        commit(&*registry, servers.into_iter().map(put).collect()).await;
        let leader = Leader::of(&registry).await;
        for (id, _) in servers {
            leader.finds(id, Health::Up, 0).await;
        }
        let fleet = Fleet::on(registry, &["--threads", "1"]).await;
        timeout(LIMIT, fleet.balancer.ready())
            .await
            .expect("ready in time");
        gets(&fleet, "dying").await;
        Self {
            fleet,
            dying,
            _other: other,
        }
    }

    /// The server dies, and comes back.
    async fn lives_on(self) {
        let address = self.dying.address;
        self.dying.end().await;
        leaves_alone_the_dead(&self.fleet, "other").await;
        let _back = Upstream::named_at(address, "back").await;
        gets(&self.fleet, "back").await;
    }
}

/// Returns once this server answers.
async fn gets(fleet: &Fleet, name: &str) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = client::get(fleet.address(), "/").await;
        assert_eq!(answer.status(), 200);
        if answer.text() == name {
            return;
        }
        assert!(Instant::now() < deadline, "{name} is not used");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_without_a_leader_a_server_that_dies_is_left_alone_and_used_again_when_it_is_back() {
    let registry = registry(Abandoned::pool()).await;
    Abandoned::on(registry).await.lives_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_without_redis_a_server_that_dies_is_left_alone_and_used_again_when_it_is_back() {
    let mut redis = RedisServer::start();
    let args = args(&["--registry", &redis.url()]);
    let registry = registry::open(&args.registry).expect("a URL");
    seed(&*registry, Abandoned::pool()).await;
    let abandoned = Abandoned::on(registry).await;
    redis.kill();
    abandoned.lives_on().await;
}
