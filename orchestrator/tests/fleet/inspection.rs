//! What the leader writes about servers, and when.

use std::time::Duration;

use crate::support::{LIMIT, Running, Stage, Target, eventually, key};
use model::{
    Author, Change, Health, InstanceId, Revision, Server, ServerState, Suspicion, SuspicionKind,
};
use registry::{Observing, Reporting};

/// So long that no regular probe comes while a test runs.
const NEVER: Duration = Duration::from_secs(3600);

/// A fleet with one orchestrator, and a server `s1` that it knows to be up.
struct Scene {
    stage: Stage,
    target: Target,
    incarnation: Revision,
    _running: Running,
}

impl Scene {
    async fn start(interval: Duration, flags: &[&str]) -> Self {
        let stage = Stage::new();
        let running = Running::start(&stage.registry, flags).await;
        stage.initialised().await;
        stage.check(|check| check.interval = interval).await;
        let target = Target::start().await;
        let incarnation = stage.put("s1", target.address).await;
        stage.becomes("s1", Health::Up).await;
        Self {
            stage,
            target,
            incarnation,
            _running: running,
        }
    }

    async fn often_probed() -> Self {
        Self::start(Duration::from_millis(100), &[]).await
    }

    async fn suspect(&self, incarnation: Revision) {
        let suspicion = Suspicion {
            instance: InstanceId::random(),
            server: key("s1"),
            incarnation,
            kind: SuspicionKind::Reset,
        };
        let told = self.stage.registry.suspect(&suspicion).await;
        told.expect("the registry takes it");
    }
}

#[tokio::test]
async fn a_server_that_stays_up_is_written_once() {
    let stage = Stage::new();
    let _running = Running::start(&stage.registry, &[]).await;
    stage.initialised().await;
    stage.check(|_| {}).await;
    let mut log = stage.log().await;
    let target = Target::start().await;
    stage.put("s1", target.address).await;
    target.probed(6).await;
    assert_eq!(log.verdicts().await, ["s1 up"]);
}

#[tokio::test]
async fn a_server_goes_down_after_fall_failures_and_comes_back_after_rise_successes() {
    let scene = Scene::often_probed().await;
    let (stage, target) = (&scene.stage, &scene.target);
    let mut log = stage.log().await;
    target.answers(503);
    stage.becomes("s1", Health::Down).await;
    assert_eq!(stage.reason("s1").await, "status 503");
    target.answers(200);
    stage.becomes("s1", Health::Up).await;
    assert_eq!(log.verdicts().await, ["s1 down", "s1 up"]);
}

#[tokio::test]
async fn one_failure_alone_takes_no_server_down() {
    let scene = Scene::often_probed().await;
    let mut log = scene.stage.log().await;
    for _ in 0..3 {
        scene.target.answers_once(503);
        scene.target.probed(3).await;
    }
    assert!(log.verdicts().await.is_empty());
}

#[tokio::test]
async fn a_new_server_that_does_not_answer_is_down_at_its_first_probe() {
    let stage = Stage::new();
    let _running = Running::start(&stage.registry, &[]).await;
    stage.initialised().await;
    stage.check(|check| check.interval = NEVER).await;
    let address = Target::start_and_end().await;
    stage.put("s1", address).await;
    stage.becomes("s1", Health::Down).await;
    assert_eq!(stage.reason("s1").await, "connection refused");
}

#[tokio::test]
async fn a_suspicion_and_one_failed_probe_take_a_server_down() {
    let scene = Scene::start(NEVER, &[]).await;
    scene.target.answers(503);
    let probes = scene.target.probes();
    scene.suspect(scene.incarnation).await;
    scene.stage.becomes("s1", Health::Down).await;
    assert_eq!(scene.target.probes(), probes + 1);
}

#[tokio::test]
async fn a_suspicion_waits_for_no_probe_of_another_server() {
    let scene = Scene::start(NEVER, &["--probe-concurrency", "1"]).await;
    let stage = &scene.stage;
    stage
        .check(|check| {
            check.interval = NEVER;
            check.timeout = LIMIT;
        })
        .await;
    let slow = Target::start().await;
    slow.hang();
    stage.put("slow", slow.address).await;
    slow.probed(1).await;
    // The only place is taken, for as long as the check's timeout is.
    scene.target.answers(503);
    scene.suspect(scene.incarnation).await;
    stage.becomes("s1", Health::Down).await;
    assert_eq!(stage.health("slow").await, Health::Unknown);
}

#[tokio::test]
async fn a_suspicion_that_a_probe_refutes_changes_nothing() {
    let scene = Scene::start(NEVER, &[]).await;
    let mut log = scene.stage.log().await;
    scene.suspect(scene.incarnation).await;
    scene.target.probed(1).await;
    scene.suspect(scene.incarnation).await;
    scene.target.probed(1).await;
    assert!(log.verdicts().await.is_empty());
    assert_eq!(scene.stage.health("s1").await, Health::Up);
}

#[tokio::test]
async fn a_late_verdict_on_a_former_incarnation_is_never_written() {
    let scene = Scene::start(NEVER, &[]).await;
    let slow = Target::start().await;
    slow.hang();
    let stage = &scene.stage;
    stage.put("s1", slow.address).await;
    slow.probed(1).await;
    // The slow one's probe is under way, and will time out.
    let mut log = stage.log().await;
    let incarnation = stage.put("s1", scene.target.address).await;
    stage.becomes("s1", Health::Up).await;
    slow.left().await;
    let snapshot = stage.snapshot().await.expect("a fleet");
    assert_eq!(snapshot.health[&key("s1")].value.incarnation, incarnation);
    assert_eq!(log.verdicts().await, ["s1 up"]);
}

#[tokio::test]
async fn a_disabled_server_is_not_probed_and_is_probed_at_once_when_it_is_back() {
    let scene = Scene::often_probed().await;
    let stage = &scene.stage;
    let set = async |state| {
        let key = key("s1");
        let server = Server {
            state,
            ..Server::new(key.pool, key.server, scene.target.address)
        };
        stage.commit(Change::put_server(server)).await;
    };
    set(ServerState::Disabled).await;
    stage.becomes("s1", Health::Unknown).await;
    let other = Target::start().await;
    stage.put("s2", other.address).await;
    // What was under way when it was disabled has ended by then.
    other.probed(2).await;
    let probes = scene.target.probes();
    other.probed(4).await;
    assert_eq!(scene.target.probes(), probes);
    set(ServerState::Active).await;
    stage.becomes("s1", Health::Up).await;
}

#[tokio::test]
async fn a_missed_renewal_and_one_failed_probe_take_a_server_down() {
    let scene = Scene::start(NEVER, &[]).await;
    scene.target.answers(503);
    scene.stage.renew("s1", Duration::from_millis(200)).await;
    scene.stage.becomes("s1", Health::Down).await;
}

#[tokio::test]
async fn a_server_that_registered_itself_and_stays_down_is_removed_by_a_source() {
    let scene = Scene::start(NEVER, &["--forget-after", "300ms"]).await;
    let stage = &scene.stage;
    let mut log = stage.log().await;
    scene.target.answers(503);
    let lifetime = Duration::from_millis(200);
    stage.renew("s1", lifetime).await;
    let gone = async || {
        let snapshot = stage.snapshot().await?;
        (!snapshot.servers.contains_key(&key("s1"))).then_some(())
    };
    eventually("s1 is removed", gone).await;
    let registered = async || {
        let registrations = stage.registry.registrations().await;
        registrations.expect("it answers").is_empty().then_some(())
    };
    eventually("its registration is removed", registered).await;
    let last = log.take().await.pop().expect("the removal");
    assert!(matches!(last.author, Author::Source { name } if name == "registrations"));
}

#[tokio::test]
async fn a_server_that_missed_renewals_but_answers_stays() {
    let scene = Scene::start(NEVER, &["--forget-after", "1ms"]).await;
    let stage = &scene.stage;
    let lifetime = Duration::from_millis(1);
    stage.renew("s1", lifetime).await;
    scene.target.probed(1).await;
    // Two rounds of the registrations have surely passed once two more servers' leases were found orphaned.
    for name in ["gone-1", "gone-2"] {
        stage.renew(name, lifetime).await;
        let removed = async || {
            let registrations = stage.registry.registrations().await.expect("it answers");
            registrations
                .iter()
                .all(|registration| registration.key != key(name))
                .then_some(())
        };
        eventually("the orphaned lease is removed", removed).await;
    }
    assert_eq!(stage.health("s1").await, Health::Up);
}

#[tokio::test]
async fn many_servers_get_their_first_verdicts_in_few_commits() {
    let stage = Stage::new();
    let _running = Running::start(&stage.registry, &["--probe-concurrency", "8"]).await;
    stage.initialised().await;
    stage.check(|check| check.interval = NEVER).await;
    let target = Target::start().await;
    let mut changes = Vec::new();
    for number in 0..100_u16 {
        let key = key(&format!("s{number}"));
        let mut address = target.address;
        address.set_ip([127, 0, 0, u8::try_from(number + 1).expect("small")].into());
        changes.push(Change::put_server(Server::new(
            key.pool, key.server, address,
        )));
    }
    let mut log = stage.log().await;
    stage.commit_all(changes).await;
    for number in 0..100 {
        stage.becomes(&format!("s{number}"), Health::Up).await;
    }
    let commits: Vec<_> = log.take().await.into_iter().skip(1).collect();
    let written: usize = commits.iter().map(|delta| delta.entries.len()).sum();
    assert_eq!(written, 100);
    assert!(commits.len() <= 50, "{} commits", commits.len());
}
