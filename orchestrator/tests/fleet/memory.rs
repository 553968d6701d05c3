//! First initialisation, and a registry that loses what it knew.

use std::sync::Arc;

use model::{FleetName, Health, PoolId};
use orchestrator::Orchestrator;
use registry::testing::RedisServer;
use registry::{Options, Store};

use crate::support::{Running, Stage, Target, args, eventually, key};

#[tokio::test]
async fn a_new_fleet_is_initialised_once_however_many_come_at_once() {
    let stage = Stage::new();
    let flags = ["--default-health-path", "/-/health"];
    let start = || Running::start(&stage.registry, &flags);
    let (a, b, c) = tokio::join!(start(), start(), start());
    let first = stage.initialised().await;
    for running in [&a, &b, &c] {
        running.orchestrator.ready().await;
    }
    let leading = async || {
        let leads = |running: &&Running| running.orchestrator.leads();
        ([&a, &b, &c].iter().copied().filter(leads).count() == 1).then_some(())
    };
    eventually("one leads", leading).await;
    let snapshot = stage.initialised().await;
    assert_eq!(snapshot.position, first.position);
    assert_eq!(
        snapshot.pools[&PoolId::standard()].value.health.path,
        "/-/health"
    );
}

/// A fleet with a server `s1` that is up.
async fn with_a_server(flags: &[&str]) -> (Stage, Target, Running) {
    let stage = Stage::new();
    let running = Running::start(&stage.registry, flags).await;
    stage.initialised().await;
    stage.check(|_| {}).await;
    let target = Target::start().await;
    stage.put("s1", target.address).await;
    stage.becomes("s1", Health::Up).await;
    (stage, target, running)
}

#[tokio::test]
async fn a_registry_that_lost_its_memory_is_restored_under_a_new_epoch_and_inspection_goes_on() {
    let (stage, target, _running) = with_a_server(&[]).await;
    let before = stage.initialised().await;
    stage.registry.tamper(|store| *store = Store::default());
    let after = stage.initialised().await;
    assert_ne!(after.position.epoch, before.position.epoch);
    assert!(after.position.revision > before.position.revision);
    assert_eq!(after.servers, before.servers);
    assert_eq!(after.health_of(&key("s1")), Health::Up);
    target.answers(503);
    stage.becomes("s1", Health::Down).await;
}

#[tokio::test]
async fn a_copy_on_disk_restores_what_no_process_remembers() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("UTF-8");
    let flags = ["--state-dir", path];
    let (stage, _target, running) = with_a_server(&flags).await;
    running.stop().await;
    let before = stage.initialised().await;

    let emptied = Stage::new();
    let _running = Running::start(&emptied.registry, &flags).await;
    let after = emptied.initialised().await;
    assert_eq!((after.servers, after.pools), (before.servers, before.pools));
    assert_ne!(after.position.epoch, before.position.epoch);
}

#[tokio::test]
async fn what_only_a_newer_version_can_read_is_given_back_as_it_was_stored() {
    let redis = RedisServer::start();
    let options = Options::new(redis.url().as_str(), FleetName::standard());
    let registry = registry::open(&options).expect("a URL");
    let running = Running::start_on(Arc::clone(&registry), &[]).await;
    running.leads().await;
    let json = |text: &str| Some(text.parse().expect("JSON"));
    let pool = json(r#"{"id": "new", "algorithm": "clairvoyant"}"#);
    let route = json(r#"{"to": "new"}"#);
    let written = redis.commit_as_newer(&[("pools", "new", pool), ("weather", "r1", route)]);
    let stored = || (redis.stored("pools", "new"), redis.stored("weather", "r1"));
    let before = stored();
    let named = async || {
        let instances = registry.instances().await.expect("an answer");
        let mut nacks = instances.iter().flat_map(|it| &it.report.nacks);
        nacks
            .any(|nack| nack.collection.as_str() == "weather")
            .then_some(())
    };
    eventually("it is named", named).await;
    redis.command(&["FLUSHALL"]);
    let restored = async || {
        let read = registry.snapshot().await.expect("an answer")?;
        (read.damage.is_empty() && read.head.position.epoch != written.epoch).then_some(())
    };
    eventually("it is restored", restored).await;
    assert_eq!(stored(), before);
    running.leads().await;
}

#[tokio::test]
async fn a_port_in_use_is_said_with_the_port() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let mut args = args(&[]);
    args.ops = address;
    let supervisor = runtime::Supervisor::new();
    let started = Orchestrator::start(args, Stage::new().registry, &supervisor).await;
    let error = started.expect_err("refused").to_string();
    assert!(
        error.contains(&format!("port {}", address.port())),
        "{error}"
    );
}
