//! In touch with the registry: how long changes take to get here, and what a balancer does that is cut off for too long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{Change, Epoch, FleetName, RevisionId, Snapshot};
use registry::testing::RedisServer;
use registry::{Options, Registry, StateFile};
use tokio::time::Instant;

use crate::client;
use crate::fleet::{Fleet, args, commit, pool, server};
use crate::upstream::Upstream;
use crate::watching::{listener, set};
use crate::wire::{LIMIT, Message};

const COUNT: &str = "roundhouse_balancer_propagation_seconds_count";

fn connect(redis: &RedisServer) -> Arc<dyn Registry> {
    let options = Options::new(redis.url().as_str(), FleetName::standard());
    registry::open(&options).expect("a URL")
}

/// A Redis that holds a fleet of one server.
async fn redis_with(address: SocketAddr) -> RedisServer {
    let redis = RedisServer::start();
    let registry = connect(&redis);
    let first = Snapshot::first(Epoch::random(), RevisionId::random());
    assert_eq!(registry.seed(&first).await, Ok(true));
    let put = vec![
        Change::put_pool(pool()),
        Change::put_server(server("s1", address)),
        set(listener("http", true)),
    ];
    commit(&*registry, put).await;
    redis
}

/// A balancer of that fleet that may be cut off for five seconds.
async fn limited(redis: &RedisServer, flags: &[&str]) -> Fleet {
    let flags = [&["--threads", "2", "--stale-limit", "5s"], flags].concat();
    Fleet::on(connect(redis), &flags).await
}

/// The first answer to a GET that has this status.
async fn answers(fleet: &Fleet, status: u16) -> Message {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = client::get(fleet.address(), "/").await;
        if answer.status() == status {
            return answer;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns once clients are turned away, after having looked at how.
async fn turns_away(fleet: &Fleet) {
    let answer = answers(fleet, 503).await;
    let field = |name: &str| answer.field(name);
    assert_eq!(
        field("roundhouse-reason").as_deref(),
        Some("registry-cut-off")
    );
    assert_eq!(field("retry-after").as_deref(), Some("5"));
    assert_eq!(field("connection").as_deref(), Some("close"));
    let mut client = fleet.client().await;
    client
        .is_turned_away_with_a_body("/", "registry-cut-off")
        .await;
    fleet.counts("roundhouse_balancer_stale", 1).await;
    let deadline = Instant::now() + LIMIT;
    while fleet.ops("/readyz").await.status() != 503 {
        assert!(Instant::now() < deadline, "it says that it is ready");
    }
    let text = fleet.ops("/readyz").await.text();
    assert!(text.contains("--stale-limit"), "{text}");
    let seen = client::get(fleet.address(), "/readyz").await;
    assert_eq!(seen.verdict(), (503, "health".into()));
    assert!(seen.text().contains("--stale-limit"), "{seen:?}");
    let lives = client::get(fleet.address(), "/livez").await;
    assert_eq!(lives.status(), 200);
}

/// Returns once clients are served.
async fn serves(fleet: &Fleet) {
    assert_eq!(answers(fleet, 200).await.text(), "1");
    fleet.counts("roundhouse_balancer_stale", 0).await;
    let deadline = Instant::now() + LIMIT;
    while fleet.ops("/readyz").await.status() != 200 {
        assert!(Instant::now() < deadline, "it says that it is not ready");
    }
    let seen = client::get(fleet.address(), "/readyz").await;
    assert_eq!(seen.verdict(), (200, "health".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_limit_clients_are_turned_away_until_the_registry_is_followed_again() {
    let upstream = Upstream::named("1").await;
    let mut redis = redis_with(upstream.address).await;
    let fleet = limited(&redis, &[]).await;
    serves(&fleet).await;
    for _ in 0..2 {
        redis.kill();
        turns_away(&fleet).await;
        redis.restart();
        serves(&fleet).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_hangs_is_as_good_as_none() {
    let upstream = Upstream::named("1").await;
    let redis = redis_with(upstream.address).await;
    let fleet = limited(&redis, &[]).await;
    serves(&fleet).await;
    redis.pause();
    turns_away(&fleet).await;
    redis.resume();
    serves(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_started_from_its_disk_counts_from_its_start() {
    let upstream = Upstream::named("1").await;
    let mut redis = redis_with(upstream.address).await;
    let known = connect(&redis).snapshot().await.expect("an answer");
    let known = known.expect("a fleet").snapshot;
    redis.kill();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("balancer.json");
    StateFile::save(&file, &args(&[]).registry.fleet, &known).expect("saved");
    let path = directory.path().to_str().expect("a path");
    let fleet = limited(&redis, &["--state-dir", path]).await;
    let ready = tokio::time::timeout(LIMIT, fleet.balancer.ready()).await;
    ready.expect("ready in time");
    turns_away(&fleet).await;
    redis.restart();
    serves(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_limit_it_goes_on() {
    let upstream = Upstream::named("1").await;
    let mut redis = redis_with(upstream.address).await;
    let fleet = Fleet::on(connect(&redis), &["--threads", "1"]).await;
    serves(&fleet).await;
    redis.kill();
    let until = Instant::now() + Duration::from_secs(7);
    while Instant::now() < until {
        assert_eq!(client::get(fleet.address(), "/").await.status(), 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Changes the fleet three times, and sees that each change was measured once.
async fn measures_each_change(fleet: &Fleet, address: SocketAddr) {
    let before = fleet.metric(COUNT).await;
    for id in ["s2", "s3", "s4"] {
        fleet.change(Change::put_server(server(id, address))).await;
    }
    assert_eq!(fleet.metric(COUNT).await, before + 3.0);
    let error = "roundhouse_balancer_propagation_error_seconds";
    assert!(fleet.metric(error).await > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_measured_from_its_commit_until_all_workers_have_it() {
    let upstream = Upstream::named("1").await;
    let fleet = Fleet::of(&[&upstream]).await;
    assert_eq!(fleet.metric(COUNT).await, 0.0, "made before it came");
    measures_each_change(&fleet, upstream.address).await;
    let redis = redis_with(upstream.address).await;
    let fleet = limited(&redis, &[]).await;
    serves(&fleet).await;
    measures_each_change(&fleet, upstream.address).await;
}
