//! Waits and following over a registry that other hands have been at.

use std::sync::Arc;
use std::time::Duration;

use model::{FleetName, InstanceId, Position};
use registry::testing::RedisServer;
use registry::{
    Commit, FollowOptions, Goal, LOST_AFTER, Outcome, Registry, RegistryError, Remembered, View,
    follow, wait_for,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::contract;
use crate::fixture::{DEADLINE, Fixture, connect, first_snapshot, operator, put, report};

contract! {
    a_listing_says_where_the_registry_stands,
    who_was_evicted_has_time_to_report_again_before_a_wait_is_done,
    who_reports_after_an_eviction_decides_whether_a_wait_is_done,
}

/// Some hand's entry, whose number is far beyond every revision's.
const BY_HAND: [&str; 5] = ["XADD", "roundhouse:{main}:log", "*", "by", "hand"];

#[tokio::test]
async fn a_wait_is_not_done_because_redis_has_lost_its_memory() {
    let redis = RedisServer::start();
    let registry = connect(&redis.url());
    assert!(registry.seed(&first_snapshot()).await.expect("an answer"));
    let behind = report(InstanceId::random());
    registry.report(&behind, true).await.expect("a report");
    let commit = Commit::new(operator(), vec![put("a", 1)]);
    let committed = registry.commit(commit).await.expect("a commit");
    let goal = Goal::Applied(committed.position);
    let soon = || Instant::now() + Duration::from_millis(500);
    let before = wait_for(&*registry, &goal, soon()).await;
    assert!(matches!(before, Ok(Outcome::Waiting(_))), "{before:?}");
    redis.command(&["FLUSHALL"]);
    let after = wait_for(&*registry, &goal, soon()).await;
    assert!(matches!(after, Ok(Outcome::Unknown(_))), "{after:?}");
}

#[tokio::test]
async fn a_wait_is_not_done_because_redis_has_evicted_who_is_there() {
    let redis = RedisServer::start();
    let registry = connect(&redis.url());
    assert!(registry.seed(&first_snapshot()).await.expect("an answer"));
    let mut balancer = report(InstanceId::random());
    let mut reach = async |position| {
        balancer.applied = Some(position);
        registry.report(&balancer, true).await.expect("a report");
    };
    let commit = async |port| {
        let commit = Commit::new(operator(), vec![put("a", port)]);
        registry.commit(commit).await.expect("a commit").position
    };
    let outcome = async |position| {
        let soon = Instant::now() + Duration::from_millis(500);
        wait_for(&*registry, &Goal::Applied(position), soon).await
    };
    let first = commit(1).await;
    reach(first).await;
    assert_eq!(outcome(first).await, Ok(Outcome::Done));
    redis.command(&["DEL", "roundhouse:{main}:instances"]);
    let evicted = outcome(first).await;
    assert!(matches!(evicted, Ok(Outcome::Unknown(_))), "{evicted:?}");
    // One of them reports again; of the others nobody knows.
    reach(first).await;
    let evicted = outcome(first).await;
    assert!(matches!(evicted, Ok(Outcome::Unknown(_))), "{evicted:?}");
    let second = commit(2).await;
    reach(second).await;
    assert_eq!(done(&*registry, second).await, Ok(Outcome::Done));
    assert_eq!(outcome(first).await, Ok(Outcome::Done));
    // A command that is given again, and changes nothing, is done in the end too.
    redis.command(&["DEL", "roundhouse:{main}:instances"]);
    assert_eq!(commit(2).await, second);
    assert_eq!(done(&*registry, second).await, Ok(Outcome::Done));
    assert_eq!(registry.troubles(), [], "what marks it is no nonsense");
}

async fn a_listing_says_where_the_registry_stands(fixture: &Fixture) {
    let position = async || {
        let listing = fixture.registry.listing().await;
        listing.expect("a listing").position
    };
    assert_eq!(position().await, None);
    fixture.seed().await;
    let committed = fixture.commit(vec![put("a", 1)]).await;
    assert_eq!(position().await, Some(committed.position));
}

async fn who_was_evicted_has_time_to_report_again_before_a_wait_is_done(fixture: &Fixture) {
    fixture.seed().await;
    fixture.commit(vec![put("a", 1)]).await;
    assert_eq!(remembered(&*fixture.registry).await, Remembered::Always);
    fixture.evict_instances();
    assert_eq!(remembered(&*fixture.registry).await, Remembered::Unmarked);
    let goal = fixture.commit(vec![put("a", 2)]).await.position;
    // Nobody is listed, so that nobody lags.
    let outcome = done(&*fixture.registry, goal).await;
    assert_eq!(outcome, Ok(Outcome::Done));
}

async fn who_reports_after_an_eviction_decides_whether_a_wait_is_done(fixture: &Fixture) {
    fixture.seed().await;
    fixture.evict_instances();
    let goal = fixture.commit(vec![put("a", 1)]).await.position;
    let mut quick = report(InstanceId::random());
    quick.applied = Some(goal);
    let slow = report(InstanceId::random());
    let registry = &*fixture.registry;
    registry.report(&quick, true).await.expect("a report");
    let reporting = async {
        sleep(LOST_AFTER / 10).await;
        registry.report(&slow, true).await
    };
    let wait = Goal::Applied(goal);
    let soon = Instant::now() + LOST_AFTER * 2;
    let (outcome, reported) = tokio::join!(wait_for(registry, &wait, soon), reporting);
    reported.expect("a report");
    let Ok(Outcome::Waiting(laggards)) = outcome else {
        panic!("{outcome:?}");
    };
    let named: Vec<_> = laggards.iter().map(|it| it.instance).collect();
    assert_eq!(named, [slow.instance]);
}

/// Waits for the end, which must not come while the instances are remembered for a short time alone.
async fn done(registry: &dyn Registry, position: Position) -> Result<Outcome, RegistryError> {
    let deadline = Instant::now() + DEADLINE;
    let outcome = wait_for(registry, &Goal::Applied(position), deadline).await;
    let since = remembered(registry).await;
    let is_old = matches!(since, Remembered::For(age) if age > LOST_AFTER);
    assert!(is_old, "{outcome:?} after {since:?}");
    outcome
}

async fn remembered(registry: &dyn Registry) -> Remembered {
    registry.listing().await.expect("a listing").remembered
}

#[tokio::test]
async fn a_listing_names_the_life_that_remembers_it() {
    let mut redis = RedisServer::start();
    let registry = connect(&redis.url());
    let known = report(InstanceId::random());
    registry.report(&known, true).await.expect("a report");
    let first = registry.listing().await.expect("a listing");
    assert_eq!(first.instances.len(), 1);
    let again = registry.listing().await.expect("a listing");
    assert_eq!(first.life, again.life);
    redis.restart_empty();
    let listing = async || loop {
        if let Ok(listing) = registry.listing().await {
            break listing;
        }
    };
    let other = timeout(DEADLINE, listing())
        .await
        .expect("it answers again");
    assert_eq!(other.instances, []);
    assert_ne!(first.life, other.life);
    // As a failover does to the replica that it promotes.
    redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
    redis.command(&["REPLICAOF", "NO", "ONE"]);
    let promoted = timeout(DEADLINE, listing())
        .await
        .expect("it answers again");
    assert_ne!(other.life, promoted.life);
}

#[tokio::test]
async fn a_log_with_nonsense_in_it_is_no_log() {
    let redis = RedisServer::start();
    let registry = connect(&redis.url());
    let first = first_snapshot();
    assert!(registry.seed(&first).await.expect("an answer"));
    assert_eq!(registry.log_after(first.position).await, Ok(Some(vec![])));
    redis.command(&BY_HAND);
    assert_eq!(registry.log_after(first.position).await, Ok(None));
}

#[tokio::test]
async fn a_follower_comes_to_the_truth_past_a_log_with_nonsense_in_it() {
    let redis = RedisServer::start();
    let registry = connect(&redis.url());
    assert!(registry.seed(&first_snapshot()).await.expect("an answer"));
    let (views, mut shown) = watch::channel(Arc::<View>::default());
    let stop = CancellationToken::new();
    let options = FollowOptions::new(FleetName::standard());
    let following = tokio::spawn(follow(registry.clone(), options, views, stop.clone()));
    let at = |view: &View| view.registry_position;
    let followed = timeout(DEADLINE, shown.wait_for(|view| at(view).is_some())).await;
    assert!(followed.expect("in time").is_ok());
    // A revision that the follower was told nothing of, and that the log holds among nonsense.
    let unheard = connect(&redis.url());
    redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    let commit = Commit::new(operator(), vec![put("a", 1)]);
    let committed = unheard.commit(commit).await.expect("a commit");
    redis.command(&BY_HAND);
    let caught_up = shown.wait_for(|view| at(view) == Some(committed.position));
    assert!(timeout(DEADLINE, caught_up).await.expect("in time").is_ok());
    stop.cancel();
    following.await.expect("a task");
}
