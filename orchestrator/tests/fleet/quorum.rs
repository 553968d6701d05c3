//! Pools on whose servers a majority of the orchestrators decides.

use std::time::Duration;

use model::{Health, InstanceId, ProbesFrom, Suspicion, SuspicionKind};
use registry::{Observing, Reporting};

use crate::support::{LIMIT, Running, Stage, Target, eventually, key};

/// Orchestrators that all probe a server `s1` that is up. Each keeps one connection to it, and they came in this
/// order: so a test can have it look different to each.
struct Scene {
    stage: Stage,
    target: Target,
    members: Vec<Running>,
}

impl Scene {
    async fn of(count: usize) -> Self {
        let stage = Stage::new();
        let leader = Running::start(&stage.registry, &[]).await;
        leader.leads().await;
        stage.initialised().await;
        stage
            .pool(|pool| {
                pool.probes.from = ProbesFrom::Quorum;
                // Nobody comes again because this machine is slow.
                pool.health.timeout = LIMIT;
            })
            .await;
        let target = Target::start().await;
        stage.put("s1", target.address).await;
        stage.becomes("s1", Health::Up).await;
        let mut scene = Self {
            stage,
            target,
            members: vec![leader],
        };
        while scene.members.len() < count {
            scene.join().await;
        }
        scene
    }

    /// One more, until its word counts.
    async fn join(&mut self) {
        let joining = Running::start(&self.stage.registry, &[]).await;
        self.members.push(joining);
        let all = self.members.len();
        let known = async || (self.target.connections() == all).then_some(());
        eventually("it probes too", known).await;
        let line = format!("roundhouse_orchestrator_quorum_heard {}\n", all - 1);
        let heard = async || {
            let metrics = self.members[0].ops("/metrics").await;
            metrics.contains(&line).then_some(())
        };
        eventually("the leader hears it", heard).await;
    }

    /// Waits until each of these has found so, and the leader must have heard of it.
    async fn found_by(&self, members: &[usize]) {
        for member in members {
            self.target.probed_over(*member, 5).await;
        }
        self.everybody_reports_again().await;
    }

    async fn everybody_reports_again(&self) {
        // The leader reads the reports at least as often as they are made.
        for _ in 0..3 {
            self.target.probed(10 * self.members.len()).await;
        }
    }
}

#[tokio::test]
async fn what_one_of_three_finds_changes_nothing_and_what_two_find_does() {
    let scene = Scene::of(3).await;
    let mut log = scene.stage.log().await;
    // The leader alone is cut off.
    scene.target.answers_over(0, 503);
    scene.found_by(&[0]).await;
    assert!(log.verdicts().await.is_empty());
    scene.target.answers_over(2, 503);
    scene.stage.becomes("s1", Health::Down).await;
    assert_eq!(scene.stage.reason("s1").await, "status 503");
    scene.target.answers_over(0, 200);
    scene.stage.becomes("s1", Health::Up).await;
    assert_eq!(log.verdicts().await, ["s1 down", "s1 up"]);
}

#[tokio::test]
async fn those_who_stand_by_overrule_a_leader_that_sees_nothing_wrong() {
    let scene = Scene::of(3).await;
    let mut log = scene.stage.log().await;
    scene.target.answers_over(1, 503);
    scene.found_by(&[1]).await;
    assert!(log.verdicts().await.is_empty());
    scene.target.answers_over(2, 503);
    scene.stage.becomes("s1", Health::Down).await;
}

#[tokio::test]
async fn one_alone_decides_by_itself() {
    let scene = Scene::of(1).await;
    scene.target.answers(503);
    scene.stage.becomes("s1", Health::Down).await;
    scene.target.answers(200);
    scene.stage.becomes("s1", Health::Up).await;
}

#[tokio::test]
async fn of_two_who_differ_neither_decides_until_the_other_has_been_silent_for_long() {
    let mut scene = Scene::of(2).await;
    let mut log = scene.stage.log().await;
    scene.target.answers_over(0, 503);
    scene.found_by(&[0]).await;
    assert!(log.verdicts().await.is_empty());
    scene.members.pop().expect("two").kill();
    scene.stage.becomes("s1", Health::Down).await;
}

#[tokio::test]
async fn a_suspicion_has_all_of_them_look_at_once() {
    let scene = Scene::of(3).await;
    scene
        .stage
        .pool(|pool| {
            pool.probes.from = ProbesFrom::Quorum;
            pool.health.interval = Duration::from_secs(3600);
        })
        .await;
    scene.target.answers(503);
    let snapshot = scene.stage.snapshot().await.expect("a fleet");
    let suspicion = Suspicion {
        instance: InstanceId::random(),
        server: key("s1"),
        incarnation: snapshot.servers[&key("s1")].incarnation,
        kind: SuspicionKind::Reset,
    };
    let told = scene.stage.registry.suspect(&suspicion).await;
    told.expect("the registry takes it");
    scene.stage.becomes("s1", Health::Down).await;
}

#[tokio::test]
async fn who_takes_over_goes_by_the_majority_too_and_nothing_changes_by_it() {
    let mut scene = Scene::of(3).await;
    let mut log = scene.stage.log().await;
    scene.target.answers_over(1, 503);
    scene.found_by(&[1]).await;
    scene.members.remove(0).kill();
    let leads = async || {
        let mut members = scene.members.iter();
        members.position(|it| it.orchestrator.leads())
    };
    // Who begins to lead begins its inspection anew, over another connection.
    let (own, other) = match eventually("another leads", leads).await {
        0 => (503, 2),
        _ => (200, 1),
    };
    scene.target.answers_over(3, own);
    scene.found_by(&[3, other]).await;
    assert!(log.verdicts().await.is_empty(), "one of two says so");
    scene.target.answers_over(3, 503);
    scene.target.answers_over(other, 503);
    scene.stage.becomes("s1", Health::Down).await;
}

#[tokio::test]
async fn a_new_server_is_probed_by_all_at_once_and_up_as_soon_as_most_have_said_so() {
    let scene = Scene::of(3).await;
    let other = Target::start().await;
    scene.stage.put("s2", other.address).await;
    scene.stage.becomes("s2", Health::Up).await;
    assert!(other.connections() >= 2);
}

#[tokio::test]
async fn where_no_pool_asks_for_a_majority_only_the_leader_probes_and_speaks() {
    let stage = Stage::new();
    let leader = Running::start(&stage.registry, &[]).await;
    leader.leads().await;
    let second = Running::start(&stage.registry, &[]).await;
    second.orchestrator.ready().await;
    stage.check(|_| {}).await;
    let target = Target::start().await;
    stage.put("s1", target.address).await;
    target.probed(20).await;
    assert_eq!(target.connections(), 1);
    let instances = stage.registry.instances().await.expect("it answers");
    assert!(instances.iter().all(|each| each.report.probes.is_none()));
}
