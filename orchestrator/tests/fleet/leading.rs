//! Who leads, and that a change of leader is nothing that servers notice.

use model::{Author, Collection, Health, Role};
use registry::{Observing, Reading, Reporting};

use crate::support::{Running, Stage, Target, eventually};

async fn two(stage: &Stage) -> (Running, Running) {
    let first = Running::start(&stage.registry, &[]).await;
    first.leads().await;
    let second = Running::start(&stage.registry, &[]).await;
    second.orchestrator.ready().await;
    (first, second)
}

#[tokio::test]
async fn one_leads_and_the_other_stands_by() {
    let stage = Stage::new();
    let (first, second) = two(&stage).await;
    stage.check(|_| {}).await;
    let target = Target::start().await;
    stage.put("s1", target.address).await;
    target.probed(5).await;
    assert!(first.orchestrator.leads() && !second.orchestrator.leads());
    assert_eq!(
        target.connections(),
        1,
        "probed by one, over one connection"
    );
}

#[tokio::test]
async fn another_takes_over_from_one_that_was_killed_and_no_verdict_changes() {
    let stage = Stage::new();
    let (first, second) = two(&stage).await;
    stage.check(|_| {}).await;
    let (good, bad) = (Target::start().await, Target::start().await);
    bad.answers(503);
    stage.put("good", good.address).await;
    stage.put("bad", bad.address).await;
    stage.becomes("good", Health::Up).await;
    stage.becomes("bad", Health::Down).await;

    let mut log = stage.log().await;
    first.kill();
    second.leads().await;
    good.probed(4).await;
    bad.probed(4).await;
    assert!(log.take().await.is_empty(), "a verdict was written");

    good.answers(503);
    stage.becomes("good", Health::Down).await;
    let delta = log.next().await;
    assert_eq!(delta.entries[0].collection, Collection::Health);
    let instance = second.orchestrator.instance();
    assert!(matches!(delta.author, Author::Leader { instance: by, term }
        if by == instance && term.0 == 2));
}

#[tokio::test]
async fn one_that_ends_in_order_gives_the_lease_back_and_deregisters() {
    let stage = Stage::new();
    let (first, second) = two(&stage).await;
    let gone = first.orchestrator.instance();
    first.stop().await;
    let head = stage.registry.head().await.expect("it answers");
    assert_ne!(head.expect("a head").leader, Some(gone));
    let instances = stage.registry.instances().await.expect("it answers");
    assert!(instances.iter().all(|each| each.report.instance != gone));
    second.leads().await;
}

#[tokio::test]
async fn each_reports_itself_with_its_position() {
    let stage = Stage::new();
    let running = Running::start(&stage.registry, &["--advertise", "here:8200"]).await;
    let position = stage.initialised().await.position;
    let reported = async || {
        let instances = stage.registry.instances().await.expect("it answers");
        let report = instances.into_iter().next()?.report;
        (report.applied == Some(position)).then_some(report)
    };
    let report = eventually("a report", reported).await;
    assert_eq!(report.instance, running.orchestrator.instance());
    assert_eq!(
        (report.role, report.advertise.as_str()),
        (Role::Orchestrator, "here:8200")
    );
}

#[tokio::test]
async fn an_instance_that_is_silent_for_long_is_forgotten() {
    let stage = Stage::new();
    let (first, second) = (
        Running::start(&stage.registry, &[]).await,
        Running::start(&stage.registry, &["--forget-after", "4s"]).await,
    );
    let silent = first.orchestrator.instance();
    let instances = async || stage.registry.instances().await.expect("it answers");
    let known = async || (instances().await.len() == 2).then_some(());
    eventually("both report", known).await;
    first.kill();
    let forgotten = async || {
        let known = instances().await;
        known
            .iter()
            .all(|each| each.report.instance != silent)
            .then_some(())
    };
    eventually("it is forgotten", forgotten).await;
    second.leads().await;
}

#[tokio::test]
async fn a_leader_that_lost_its_lease_to_another_writes_nothing_more() {
    let stage = Stage::new();
    let (first, second) = two(&stage).await;
    stage.check(|_| {}).await;
    let target = Target::start().await;
    stage.put("s1", target.address).await;
    stage.becomes("s1", Health::Up).await;
    // Somebody takes the lease from it behind its back.
    let head = stage
        .registry
        .head()
        .await
        .expect("it answers")
        .expect("a head");
    let leader = head.leader.expect("somebody leads");
    stage
        .registry
        .tamper(|store| store.release(leader, head.term));
    second.leads().await;
    let mut log = stage.log().await;
    target.answers(503);
    stage.becomes("s1", Health::Down).await;
    let author = log.next().await.author;
    let by = second.orchestrator.instance();
    assert!(matches!(author, Author::Leader { instance, .. } if instance == by));
    let stood_down = async || (!first.orchestrator.leads()).then_some(());
    eventually("the first stands by", stood_down).await;
}

#[tokio::test]
async fn an_instance_that_reports_is_not_forgotten() {
    let stage = Stage::new();
    let running = Running::start(&stage.registry, &["--forget-after", "3s"]).await;
    running.leads().await;
    let silent = model::InstanceId::random();
    let mut report = stage.registry.instances().await.expect("it answers")[0]
        .report
        .clone();
    report.instance = silent;
    stage.registry.report(&report, false).await.expect("taken");
    let forgotten = async || {
        let known = stage.registry.instances().await.expect("it answers");
        known
            .iter()
            .all(|each| each.report.instance != silent)
            .then_some(known)
    };
    let left = eventually("the silent one is forgotten", forgotten).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].report.instance, running.orchestrator.instance());
}
