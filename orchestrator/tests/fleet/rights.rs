//! What a registry refuses an orchestrator is said while it stands by, and not only once it should lead.

use std::sync::Arc;
use std::time::Duration;

use model::FleetName;
use registry::testing::{RedisServer, keeps_roles_apart};
use registry::{Options, Registry};
use tokio::time::timeout;

use crate::support::{self, Running, eventually};

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

/// Within how long a metric shows what its process has seen.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn what_other_hands_broke_is_counted_as_soon_as_it_is_seen() {
    let redis = RedisServer::start();
    let running = Running::start_on(support::connect(&redis), &[]).await;
    running.leads().await;
    let observer = support::connect(&redis);
    let servers = "roundhouse:{main}:servers";
    // The elements, and the collection that holds what its head does not say.
    let reported = async |count| {
        let has = async || {
            let instances = observer.instances().await.expect("an answer");
            (instances.len() == 1 && instances[0].report.nacks.len() == count).then_some(())
        };
        eventually(&format!("{count} are reported"), has).await;
    };
    let counts = async |faults: usize, damage: usize| {
        let lines = [("fault", faults), ("damage", damage)].map(|(alarm, count)| {
            format!("\nroundhouse_orchestrator_alarms{{alarm=\"{alarm}\"}} {count}\n")
        });
        let are_shown = async || {
            let metrics = running.ops("/metrics").await;
            let shown = lines.iter().all(|line| metrics.contains(line));
            shown.then_some(())
        };
        let shown = timeout(SHOWN_WITHIN, eventually("it is counted", are_shown)).await;
        shown.expect("it was seen before");
    };
    for key in ["default/a", "default/b"] {
        redis.command(&["HSET", servers, key, "nonsense{"]);
    }
    reported(3).await;
    counts(2, 1).await;
    redis.command(&["DEL", servers]);
    reported(0).await;
    counts(0, 0).await;
}
