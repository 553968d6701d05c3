//! The fleet's secret for sticky sessions: made once, where a pool needs it, and kept.

use std::sync::Arc;

use model::{FleetName, Secret, SecretId, StickyKind};
use registry::testing::RedisServer;
use registry::{Options, Reading, Registry, Store};

use crate::support::{Running, Stage, eventually};

fn of(redis: &RedisServer, user: &str) -> Arc<dyn Registry> {
    let options = Options::new(redis.url_of(user).as_str(), FleetName::standard());
    registry::open(&options).expect("a URL")
}

async fn secret<R: Registry + ?Sized>(stage: &Stage<R>) -> Secret {
    let there = async || {
        let snapshot = stage.snapshot().await?;
        let secret = snapshot.secrets.get(&SecretId::sticky())?;
        Some(secret.value.clone())
    };
    eventually("there is a secret", there).await
}

#[tokio::test]
async fn a_secret_is_made_once_and_only_where_a_pool_needs_it() {
    let stage = Stage::new();
    let first = Running::start(&stage.registry, &[]).await;
    first.leads().await;
    stage
        .pool(|pool| pool.sticky.kind = StickyKind::Source)
        .await;
    let before = stage.initialised().await;
    assert!(before.secrets.is_empty());
    stage
        .pool(|pool| pool.sticky.kind = StickyKind::Cookie)
        .await;
    let made = secret(&stage).await;
    assert_eq!(made.previous, None);
    let history = stage.registry.history(100).await.expect("a history");
    let told = format!("{history:?}");
    let key = String::from(made.current.clone());
    assert!(!told.contains(&key) && !told.contains("secrets"), "{told}");

    first.stop().await;
    let second = Running::start(&stage.registry, &[]).await;
    second.leads().await;
    stage.pool(|pool| pool.sticky.while_draining = false).await;
    assert_eq!(secret(&stage).await, made);
    stage.registry.tamper(|store| *store = Store::default());
    assert_eq!(secret(&stage).await, made, "it is restored with the rest");
}

#[tokio::test]
async fn an_orchestrators_own_redis_user_may_make_it_and_a_balancers_read_it() {
    let redis = RedisServer::with_users(&FleetName::standard());
    let stage = Stage {
        registry: of(&redis, "admin"),
    };
    let running = Running::start_on(of(&redis, "orchestrator"), &[]).await;
    running.leads().await;
    stage
        .pool(|pool| pool.sticky.kind = StickyKind::Cookie)
        .await;
    let made = secret(&stage).await;
    let read = of(&redis, "balancer").snapshot().await.expect("an answer");
    let read = read.expect("a fleet").snapshot;
    assert_eq!(read.secrets[&SecretId::sticky()].value, made);
}
