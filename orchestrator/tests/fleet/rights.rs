//! What a registry refuses an orchestrator is said while it stands by, and not only once it should lead.

use std::sync::Arc;

use model::FleetName;
use registry::testing::{RedisServer, keeps_roles_apart};
use registry::{Options, Registry};

use crate::support::{Running, eventually};

fn connect(redis: &RedisServer, user: &str) -> Arc<dyn Registry> {
    let options = Options::new(redis.url_of(user).as_str(), FleetName::standard());
    registry::open(&options).expect("a URL")
}

async fn readyz(running: &Running) -> String {
    running.ops("/readyz").await
}

#[tokio::test]
async fn one_that_could_not_lead_says_so_while_it_stands_by() {
    if !keeps_roles_apart() {
        return println!("skipped: Redis 6.2 cannot say beforehand what a user may do");
    }
    let redis = RedisServer::with_users(&FleetName::standard());
    let leader = Running::start_on(connect(&redis, "orchestrator"), &[]).await;
    leader.leads().await;
    let refusal = "the registry user lacks a right that this role needs: taking the lease: NOPERM";
    for user in ["admin", "balancer"] {
        let idle = Running::start_on(connect(&redis, user), &[]).await;
        idle.orchestrator.ready().await;
        let said = async || readyz(&idle).await.contains(refusal).then_some(());
        eventually("its readiness says so", said).await;
        let observer = connect(&redis, "admin");
        let reported = async || {
            let instances = observer.instances().await.expect("an answer");
            let mut troubles = instances.iter().flat_map(|it| &it.report.troubles);
            troubles.any(|it| it.starts_with(refusal)).then_some(())
        };
        eventually("its report says so", reported).await;
        idle.stop().await;
    }
    assert!(readyz(&leader).await.starts_with("HTTP/1.1 200"));
    assert!(leader.orchestrator.leads());
}

#[tokio::test]
async fn readiness_says_why_the_registry_is_not_followed() {
    let away: Arc<dyn Registry> =
        registry::open(&Options::new("redis://127.0.0.1:1", FleetName::standard())).expect("a URL");
    let running = Running::start_on(away, &[]).await;
    let said = async || {
        let answer = readyz(&running).await;
        answer
            .contains("127.0.0.1:1 cannot be reached")
            .then_some(())
    };
    eventually("its readiness says so", said).await;
}

#[tokio::test]
async fn nonsense_written_by_hand_is_reported_by_a_running_fleet() {
    let redis = RedisServer::with_users(&FleetName::standard());
    let registry = connect(&redis, "orchestrator");
    let running = Running::start_on(Arc::clone(&registry), &[]).await;
    running.leads().await;
    redis.command_as_root(&[
        "HSET",
        "roundhouse:{main}:servers",
        "default/bad",
        "nonsense{",
    ]);
    let reported = async || {
        let instances = registry.instances().await.expect("an answer");
        let mut nacks = instances.iter().flat_map(|it| &it.report.nacks);
        nacks.any(|nack| nack.key == "default/bad").then_some(())
    };
    eventually("it is named", reported).await;
}
