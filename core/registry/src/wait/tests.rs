//! The rule over hand-made reports, and the wait over a memory registry.

use std::sync::Arc;
use std::time::Duration;

use model::{Author, Change, Epoch, Origin, ServerLoad, Snapshot};

use tokio::time::Instant;

use super::*;
use crate::{Commit, Committing, FORGET_AFTER, Memory, Reporting};

const EPOCH: Epoch = Epoch(uuid::Uuid::from_u128(1));

fn position(revision: u64) -> Position {
    branch(revision, 0)
}

/// The same number on another branch.
fn branch(revision: u64, branch: u64) -> Position {
    Position {
        epoch: EPOCH,
        revision: Revision(revision),
        id: RevisionId(uuid::Uuid::from_u64_pair(revision, branch)),
    }
}

fn id(number: u128) -> InstanceId {
    InstanceId(uuid::Uuid::from_u128(number))
}

fn balancer(number: u128, applied: Option<Position>) -> Instance {
    let report = Report {
        instance: id(number),
        role: Role::Balancer,
        advertise: format!("10.0.0.{number}:8000"),
        region: String::new(),
        zone: String::new(),
        applied,
        origin: Origin::Registry,
        leaving: BTreeMap::new(),
        nacks: Vec::new(),
        holds: Vec::new(),
    };
    Instance {
        report,
        age: Duration::ZERO,
    }
}

fn aged(instance: Instance, age: Duration) -> Instance {
    Instance { age, ..instance }
}

fn key() -> ServerKey {
    "default/s1".parse().expect("a key")
}

fn loaded(instance: Instance, incarnation: u64, in_flight: u64) -> Instance {
    let mut instance = instance;
    let incarnation = Revision(incarnation);
    let load = ServerLoad {
        incarnation,
        in_flight,
    };
    instance.report.leaving.insert(key(), load);
    instance
}

fn delta(at: Position) -> Delta {
    Delta {
        epoch: at.epoch,
        revision: at.revision,
        id: at.id,
        previous: position(at.revision.0 - 1).id,
        desired: at.revision,
        author: Author::Source {
            name: "test".into(),
        },
        entries: Vec::new(),
    }
}

fn applied(instances: &[Instance]) -> Outcome {
    judged(&mut Waiter::new(Goal::Applied(position(5))), instances)
}

/// The outcome where the goal is the log's last revision.
fn judged(waiter: &mut Waiter, instances: &[Instance]) -> Outcome {
    waiter.learn(Some(&[]));
    waiter.outcome(instances)
}

fn drained(instances: &[Instance]) -> Outcome {
    let goal = Goal::Drained(position(5), key(), Revision(2));
    judged(&mut Waiter::new(goal), instances)
}

fn laggards(outcome: Outcome) -> Vec<(InstanceId, String)> {
    match outcome {
        Outcome::Done | Outcome::Unknown(_) => Vec::new(),
        Outcome::Waiting(laggards) => {
            let named = laggards.into_iter();
            named
                .map(|laggard| (laggard.instance, laggard.reason))
                .collect()
        }
    }
}

#[test]
fn a_fleet_without_balancers_has_applied_everything() {
    let mut admin = balancer(1, None);
    admin.report.role = Role::Admin;
    assert_eq!(applied(&[admin]), Outcome::Done);
}

#[test]
fn who_is_behind_or_has_nothing_is_named_with_the_reason() {
    let fleet = [
        balancer(1, Some(position(5))),
        balancer(2, Some(position(4))),
        balancer(3, None),
    ];
    let expected = [
        (id(2), "is at revision 4 of 5".into()),
        (id(3), "has applied nothing yet".into()),
    ];
    assert_eq!(laggards(applied(&fleet)), expected);
}

#[test]
fn a_larger_number_counts_only_where_the_log_places_it_after_the_goal() {
    let mut waiter = Waiter::new(Goal::Applied(position(5)));
    let fleet = [balancer(1, Some(position(6)))];
    assert!(waiter.needs_log(&fleet));
    assert_ne!(waiter.outcome(&fleet), Outcome::Done);
    waiter.learn(Some(&[delta(position(6))]));
    assert_eq!(waiter.outcome(&fleet), Outcome::Done);
    let forked = [balancer(1, Some(branch(6, 1)))];
    assert_ne!(waiter.outcome(&forked), Outcome::Done, "it lacks the goal");
}

#[test]
fn a_wait_whose_goal_the_log_lost_is_not_done_whoever_is_listed() {
    let mut waiter = Waiter::new(Goal::Applied(position(5)));
    for fleet in [Vec::new(), vec![balancer(1, Some(position(5)))]] {
        assert!(waiter.needs_log(&fleet));
        waiter.learn(None);
        let outcome = waiter.outcome(&fleet);
        assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
    }
}

#[test]
fn a_log_that_was_read_before_the_listing_says_nothing_of_it() {
    let mut waiter = Waiter::new(Goal::Applied(position(5)));
    assert_ne!(
        judged(&mut waiter, &[balancer(1, Some(position(4)))]),
        Outcome::Done
    );
    assert!(waiter.needs_log(&[]));
    assert!(matches!(waiter.outcome(&[]), Outcome::Unknown(_)));
}

#[test]
fn the_log_is_not_read_while_somebody_lags_for_sure() {
    let waiter = Waiter::new(Goal::Applied(position(5)));
    assert!(!waiter.needs_log(&[balancer(1, Some(position(4)))]));
}

#[test]
fn another_revision_of_the_goals_number_or_another_epoch_is_not_the_goal() {
    assert_ne!(applied(&[balancer(1, Some(branch(5, 1)))]), Outcome::Done);
    let mut other = position(5);
    other.epoch = Epoch(uuid::Uuid::from_u128(2));
    assert_ne!(applied(&[balancer(1, Some(other))]), Outcome::Done);
}

#[test]
fn a_lost_balancer_is_named_and_never_skipped() {
    let lost = aged(balancer(1, Some(position(4))), Duration::from_secs(30));
    let named = laggards(applied(&[lost]));
    assert!(named[0].1.starts_with("lost: silent for 30 s"), "{named:?}");
}

#[test]
fn a_lost_balancer_that_had_said_enough_is_not_waited_for() {
    let lost = aged(balancer(1, Some(position(5))), Duration::from_secs(30));
    assert_eq!(applied(&[lost]), Outcome::Done);
}

#[test]
fn a_lost_balancer_is_superseded_by_a_fresh_one_at_its_address_and_by_no_other() {
    let lost = aged(balancer(1, None), Duration::from_secs(30));
    let mut newer = balancer(2, Some(position(5)));
    assert_ne!(applied(&[lost.clone(), newer.clone()]), Outcome::Done);
    newer.report.advertise = lost.report.advertise.clone();
    assert_eq!(applied(&[lost.clone(), newer.clone()]), Outcome::Done);
    let also_lost = aged(newer, Duration::from_secs(20));
    assert_ne!(applied(&[lost.clone(), also_lost]), Outcome::Done);
    let mut admin = balancer(3, None);
    admin.report.role = Role::Admin;
    admin.report.advertise = lost.report.advertise.clone();
    assert_ne!(applied(&[lost, admin]), Outcome::Done);
}

#[test]
fn two_fresh_balancers_of_one_address_are_both_waited_for() {
    let mut first = balancer(1, None);
    let second = balancer(2, Some(position(5)));
    first.report.advertise = second.report.advertise.clone();
    assert_eq!(laggards(applied(&[first, second])).len(), 1);
}

#[test]
fn silence_alone_forgets_nobody_and_a_report_that_is_gone_is_waited_for_no_more() {
    let silent = aged(balancer(1, None), FORGET_AFTER * 6);
    let named = laggards(applied(&[silent, balancer(2, Some(position(5)))]));
    assert_eq!(named.len(), 1);
    assert_eq!(named[0].0, id(1));
    assert!(
        named[0].1.starts_with("lost: silent for 3600 s"),
        "{named:?}"
    );
    assert_eq!(applied(&[balancer(2, Some(position(5)))]), Outcome::Done);
}

#[test]
fn a_change_that_a_balancer_holds_back_is_not_applied_there() {
    let held = |revision| {
        let mut instance = balancer(1, Some(position(5)));
        let pool = model::PoolId::standard();
        let mut hold = Hold::new(pool, position(revision));
        hold.add(&key());
        instance.report.holds.push(hold);
        [instance]
    };
    let named = laggards(applied(&held(5)));
    assert_eq!(
        named,
        [(id(1), "holds back what takes servers from default".into())]
    );
    assert_eq!(applied(&held(4)), Outcome::Done, "it was there before");
}

#[test]
fn drained_is_applied_and_zero_in_the_same_report_and_absent_is_not_zero() {
    let at = |revision| balancer(1, Some(position(revision)));
    assert_eq!(drained(&[loaded(at(5), 2, 0)]), Outcome::Done);
    assert_ne!(drained(&[loaded(at(5), 2, 1)]), Outcome::Done);
    assert_ne!(drained(&[loaded(at(4), 2, 0)]), Outcome::Done);
    assert_ne!(drained(&[loaded(at(5), 3, 0)]), Outcome::Done);
    assert_ne!(drained(&[at(5)]), Outcome::Done);
}

#[test]
fn a_balancer_that_came_after_the_commit_has_nothing_to_drain_unless_it_says_so() {
    let goal = Goal::Drained(position(5), key(), Revision(2));
    let mut waiter = Waiter::new(goal);
    let old = loaded(balancer(1, Some(position(5))), 2, 1);
    assert_ne!(
        judged(&mut waiter, std::slice::from_ref(&old)),
        Outcome::Done
    );
    let old = loaded(old, 2, 0);
    let new = balancer(2, Some(position(5)));
    let busy = loaded(new.clone(), 2, 1);
    assert_ne!(judged(&mut waiter, &[old.clone(), busy]), Outcome::Done);
    assert_ne!(
        judged(&mut waiter, &[old.clone(), balancer(2, None)]),
        Outcome::Done
    );
    assert_eq!(judged(&mut waiter, &[old, new]), Outcome::Done);
}

/// A registry with one balancer, and the position of a change.
async fn registry() -> (Arc<Memory>, Position) {
    let registry = Arc::new(Memory::new());
    registry
        .seed(&Snapshot::empty(position(4)))
        .await
        .expect("a seed");
    registry
        .report(&balancer(1, Some(position(4))).report, true)
        .await
        .expect("a report");
    let pool = model::Pool::new(model::PoolId::standard());
    let author = Author::Operator {
        name: "test".into(),
    };
    let commit = Commit::new(author, vec![Change::put_pool(pool)]);
    let committed = registry.commit(commit).await.expect("a commit");
    (registry, committed.position)
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_report_that_fulfils_it() {
    let (registry, goal) = registry().await;
    let start = Instant::now();
    let waiting = tokio::spawn({
        let registry = Arc::clone(&registry);
        let deadline = start + Duration::from_secs(30);
        async move { wait_for(&*registry, &Goal::Applied(goal), deadline).await }
    });
    tokio::time::sleep(Duration::from_millis(1_111)).await;
    assert!(!waiting.is_finished());
    registry
        .report(&balancer(1, Some(goal)).report, true)
        .await
        .expect("a report");
    assert_eq!(waiting.await.expect("a task"), Ok(Outcome::Done));
    assert_eq!(start.elapsed(), Duration::from_millis(1_111));
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_not_done_because_the_registry_has_lost_its_memory() {
    let (registry, goal) = registry().await;
    let start = Instant::now();
    let deadline = start + Duration::from_secs(3);
    let lose = async {
        tokio::time::sleep_until(start + Duration::from_secs(1)).await;
        registry.tamper(|store| *store = crate::Store::default());
    };
    let goal = Goal::Applied(goal);
    let (outcome, ()) = tokio::join!(wait_for(&*registry, &goal, deadline), lose);
    assert!(matches!(outcome, Ok(Outcome::Unknown(_))), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_runs_out_names_the_laggards() {
    let (registry, goal) = registry().await;
    let deadline = Instant::now() + Duration::from_secs(2);
    let outcome = wait_for(&*registry, &Goal::Applied(goal), deadline).await;
    assert_eq!(Instant::now(), deadline);
    let named = laggards(outcome.expect("an answer"));
    assert_eq!(named, [(id(1), "is at revision 4 of 5".into())]);
}

#[tokio::test]
async fn a_registry_that_is_silent_until_the_deadline_is_said_not_to_have_answered() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    let options = crate::Options {
        registry: format!("redis://{address}").parse().expect("a URL"),
        fleet: model::FleetName::standard(),
    };
    let registry = crate::open(&options).expect("a registry");
    let deadline = Instant::now() + Duration::from_millis(50);
    let outcome = wait_for(&*registry, &Goal::Applied(position(5)), deadline).await;
    let operation = "a question how a change stands";
    assert_eq!(outcome, Err(crate::RegistryError::Unanswered { operation }));
}

#[tokio::test(start_paused = true)]
async fn a_report_of_a_later_revision_fulfils_a_wait_too() {
    let (registry, goal) = registry().await;
    let server = model::Server::new(
        model::PoolId::standard(),
        "s1".parse().expect("an id"),
        "10.0.0.1:80".parse().expect("an address"),
    );
    let author = Author::Operator {
        name: "test".into(),
    };
    let commit = Commit::new(author, vec![Change::put_server(server)]);
    let later = registry.commit(commit).await.expect("a commit").position;
    registry
        .report(&balancer(1, Some(later)).report, true)
        .await
        .expect("a report");
    let deadline = Instant::now() + Duration::from_secs(2);
    let outcome = wait_for(&*registry, &Goal::Applied(goal), deadline).await;
    assert_eq!(outcome, Ok(Outcome::Done));
}
