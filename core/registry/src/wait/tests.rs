//! The rule over hand-made reports, and the wait over a memory registry.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{
    Author, Change, Collection, Epoch, Nack, Origin, Server, ServerKey, ServerLoad, Snapshot,
};
use tokio::time::Instant;

use super::*;
use crate::{Commit, Committing, FORGET_AFTER, Memory, Reporting, StoreKey};

mod refusals;
mod returns;

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
        applied,
        origin: Origin::Registry,
        ..Report::new(id(number), Role::Balancer, format!("10.0.0.{number}:8000"))
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
        sticky: false,
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
        time: None,
    }
}

fn applied(instances: &[Instance]) -> Outcome {
    judged(&mut Waiter::new(Goal::Applied(position(5))), instances)
}

/// The outcome where the goal is the log's last revision.
fn judged(waiter: &mut Waiter, instances: &[Instance]) -> Outcome {
    judged_with(waiter, instances, &[])
}

fn judged_with(waiter: &mut Waiter, instances: &[Instance], log: &[Delta]) -> Outcome {
    waiter.list(listing(1, instances));
    waiter.learn(Some(log));
    waiter.outcome()
}

/// What this life of the registry lists.
fn listing(life: u32, instances: &[Instance]) -> Listing {
    Listing {
        life: Life(life.to_string()),
        remembered: Remembered::Always,
        position: Some(position(5)),
        instances: instances.to_vec(),
    }
}

fn drained(instances: &[Instance]) -> Outcome {
    judged(&mut Waiter::new(drain(2)), instances)
}

/// The goal of a change that takes this incarnation of a server away.
fn drain(incarnation: u64) -> Goal {
    drain_at(position(5), incarnation)
}

fn drain_at(position: Position, incarnation: u64) -> Goal {
    let leaving = Leaving {
        key: key(),
        incarnation: Revision(incarnation),
        address: address(),
    };
    Goal::Drained(position, leaving)
}

fn address() -> SocketAddr {
    "10.0.0.1:80".parse().expect("an address")
}

fn laggards(outcome: Outcome) -> Vec<(InstanceId, String)> {
    match outcome {
        Outcome::Done | Outcome::Unknown(_) | Outcome::Undone { .. } | Outcome::Superseded(_) => {
            Vec::new()
        }
        Outcome::Waiting(laggards) | Outcome::Refused(laggards) => {
            let named = laggards.into_iter();
            named
                .map(|laggard| (laggard.instance, laggard.reason))
                .collect()
        }
    }
}

#[test]
fn a_server_that_keeps_its_clients_is_not_drained_though_nothing_is_in_flight() {
    let mut keeping = loaded(balancer(1, Some(position(5))), 2, 0);
    let load = keeping.report.leaving.get_mut(&key()).expect("the server");
    load.sticky = true;
    let reason = "still sends clients to default/s1 that are with it";
    assert_eq!(
        laggards(drained(&[keeping.clone()])),
        [(id(1), reason.into())]
    );
    keeping
        .report
        .leaving
        .get_mut(&key())
        .expect("the server")
        .sticky = false;
    assert_eq!(drained(&[keeping]), Outcome::Done);
}

#[test]
fn a_fleet_without_balancers_has_applied_everything() {
    let mut admin = balancer(1, None);
    admin.report.role = Role::Admin;
    assert_eq!(applied(&[admin]), Outcome::Done);
}

#[test]
fn what_a_registry_lists_that_has_forgotten_who_was_there_proves_nothing() {
    let done = balancer(1, Some(position(5)));
    for (remembered, is_done) in [
        (Remembered::Unmarked, false),
        (Remembered::For(Duration::ZERO), false),
        (Remembered::For(LOST_AFTER), false),
        (Remembered::For(LOST_AFTER + Duration::from_millis(1)), true),
        (Remembered::Always, true),
    ] {
        for instances in [&[][..], std::slice::from_ref(&done)] {
            let outcome = remembering(remembered, instances);
            assert_eq!(outcome == Outcome::Done, is_done, "{remembered:?}");
            assert_eq!(matches!(outcome, Outcome::Unknown(_)), !is_done);
        }
    }
    let reason = "the registry has forgotten its instances, as was seen 2 s ago: who has not reported again may not have done it";
    let young = Remembered::For(Duration::from_millis(2_900));
    assert_eq!(remembering(young, &[]), Outcome::Unknown(reason.into()));
}

#[test]
fn who_has_reported_to_a_registry_that_had_forgotten_it_is_waited_for_at_every_time() {
    let behind = [balancer(1, Some(position(4)))];
    for age in [Duration::ZERO, LOST_AFTER * 2] {
        let named = laggards(remembering(Remembered::For(age), &behind));
        assert_eq!(named, [(id(1), "is at revision 4 of 5".into())]);
    }
}

/// The outcome where a registry lists these, whom it has remembered since then.
fn remembering(remembered: Remembered, instances: &[Instance]) -> Outcome {
    let mut waiter = Waiter::new(Goal::Applied(position(5)));
    waiter.list(Listing {
        remembered,
        ..listing(1, instances)
    });
    waiter.learn(Some(&[]));
    waiter.outcome()
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
    waiter.list(listing(1, &[balancer(1, Some(position(6)))]));
    assert!(waiter.needs_log());
    assert_ne!(waiter.outcome(), Outcome::Done);
    waiter.learn(Some(&[delta(position(6))]));
    assert_eq!(waiter.outcome(), Outcome::Done);
    waiter.list(listing(1, &[balancer(1, Some(branch(6, 1)))]));
    waiter.learn(Some(&[delta(position(6))]));
    assert_ne!(waiter.outcome(), Outcome::Done, "it lacks the goal");
}

#[test]
fn a_wait_whose_goal_the_log_lost_is_not_done_whoever_is_listed() {
    let mut waiter = Waiter::new(Goal::Applied(position(5)));
    for fleet in [Vec::new(), vec![balancer(1, Some(position(5)))]] {
        waiter.list(listing(1, &fleet));
        assert!(waiter.needs_log());
        waiter.learn(None);
        let outcome = waiter.outcome();
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
    waiter.list(listing(1, &[]));
    assert!(waiter.needs_log());
    assert!(matches!(waiter.outcome(), Outcome::Unknown(_)));
}

#[test]
fn the_log_is_not_read_while_somebody_lags_for_sure() {
    let mut waiter = Waiter::new(Goal::Applied(position(5)));
    waiter.list(listing(1, &[balancer(1, Some(position(4)))]));
    assert!(!waiter.needs_log());
}

#[test]
fn whom_a_failover_made_the_registry_forget_is_waited_for_until_it_reports_again() {
    let mut waiter = Waiter::new(Goal::Applied(position(5)));
    let behind = balancer(1, Some(position(4)));
    let done = balancer(1, Some(position(5)));
    let mut outcome = |life, instances: &[Instance]| {
        waiter.list(listing(life, instances));
        waiter.learn(Some(&[]));
        waiter.outcome()
    };
    assert_ne!(outcome(1, &[behind]), Outcome::Done);
    let named = laggards(outcome(2, &[]));
    let reason = "has not reported to the registry since that was restarted or replaced";
    assert_eq!(named, [(id(1), reason.into())]);
    assert_eq!(outcome(2, std::slice::from_ref(&done)), Outcome::Done);
    assert_eq!(outcome(2, &[]), Outcome::Done, "it deregistered");
}

#[test]
fn only_a_newcomer_takes_the_place_of_whom_a_failover_made_the_registry_forget() {
    let old = balancer(1, Some(position(4)));
    let mut successor = balancer(2, Some(position(5)));
    successor.report.advertise = old.report.advertise.clone();
    let after = |before: &[Instance], listings: &[(u32, &[Instance])]| {
        let mut waiter = Waiter::new(Goal::Applied(position(5)));
        waiter.list(listing(1, before));
        for (life, instances) in listings {
            waiter.list(listing(*life, instances));
        }
        waiter.learn(Some(&[]));
        waiter.outcome()
    };
    let old = std::slice::from_ref(&old);
    let new = std::slice::from_ref(&successor);
    assert_eq!(after(old, &[(2, new)]), Outcome::Done);
    assert_eq!(after(old, &[(2, new), (3, new)]), Outcome::Done);
    let beside = [old, new].concat();
    assert_ne!(after(&beside, &[(2, new)]), Outcome::Done);
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
fn a_loopback_address_of_another_host_supersedes_nobody() {
    let on = |number, host: &str| {
        let mut instance = balancer(number, Some(position(4 + number as u64 - 1)));
        instance.report.advertise = "127.0.0.1:8000".into();
        instance.report.host = host.into();
        instance
    };
    let lost = aged(on(1, "edge-1"), Duration::from_secs(30));
    assert_ne!(applied(&[lost.clone(), on(2, "edge-2")]), Outcome::Done);
    assert_eq!(applied(&[lost, on(2, "edge-1")]), Outcome::Done);
}

#[test]
fn a_balancer_that_hands_its_address_over_is_waited_for_until_its_process_has_ended() {
    let mut old = balancer(1, None);
    let mut new = balancer(2, Some(position(5)));
    new.report.advertise = old.report.advertise.clone();
    new.report.beside = [old.report.instance].into();
    assert_eq!(laggards(applied(&[old.clone(), new.clone()])).len(), 1);
    old = aged(old, Duration::from_secs(30));
    let named = laggards(applied(&[old.clone(), new.clone()]));
    assert!(named[0].1.starts_with("lost: silent for 30 s"), "{named:?}");
    let mut waiter = Waiter::new(Goal::Applied(position(5)));
    waiter.list(listing(1, std::slice::from_ref(&old)));
    waiter.list(listing(2, std::slice::from_ref(&new)));
    waiter.learn(Some(&[]));
    assert_ne!(waiter.outcome(), Outcome::Done, "a failover forgot it");
    new.report.beside.clear();
    assert_eq!(applied(&[old, new.clone()]), Outcome::Done);
    waiter.list(listing(2, &[new]));
    waiter.learn(Some(&[]));
    assert_eq!(waiter.outcome(), Outcome::Done);
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

/// A balancer whose first table was the one at `began`.
fn fresh(began: Position, applied: Position) -> Instance {
    let mut instance = balancer(1, Some(applied));
    instance.report.began = Some(began);
    instance
}

#[test]
fn a_balancer_that_began_after_the_goal_has_nothing_to_drain_unless_it_says_so() {
    let new = fresh(position(5), position(5));
    assert_eq!(drained(std::slice::from_ref(&new)), Outcome::Done);
    assert_ne!(drained(&[loaded(new, 2, 1)]), Outcome::Done);
    let old = fresh(position(4), position(5));
    assert_ne!(drained(&[old]), Outcome::Done);
    let elsewhere = fresh(branch(6, 1), position(5));
    assert_ne!(drained(&[elsewhere]), Outcome::Done);
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
async fn a_wait_ends_where_the_registry_was_restored_in_another_history() {
    let (registry, goal) = registry().await;
    let other = Position {
        epoch: Epoch(uuid::Uuid::from_u128(2)),
        ..goal
    };
    registry.tamper(|store| store.evict(StoreKey::Head));
    let restored = registry.seed(&Snapshot::empty(other)).await;
    assert_eq!(restored, Ok(true));
    let report = balancer(1, Some(other)).report;
    registry.report(&report, true).await.expect("a report");
    for goal in [Goal::Applied(goal), drain_at(goal, 2)] {
        let start = Instant::now();
        let outcome = wait_for(&*registry, &goal, start + Duration::from_secs(30)).await;
        let Ok(Outcome::Superseded(reason)) = outcome else {
            panic!("{outcome:?}");
        };
        let says = reason.contains(&other.epoch.to_string()) && reason.contains("revision 5");
        assert!(says, "{reason}");
        assert_eq!(Instant::now(), start);
    }
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
    let url = format!("redis://{address}");
    let options = crate::Options::new(url.as_str(), model::FleetName::standard());
    let registry = crate::open(&options).expect("a registry");
    let deadline = Instant::now() + Duration::from_millis(50);
    let outcome = wait_for(&*registry, &Goal::Applied(position(5)), deadline).await;
    let operation = "a question how a change stands";
    assert_eq!(outcome, Err(crate::RegistryError::Unanswered { operation }));
}

#[tokio::test(start_paused = true)]
async fn a_report_of_a_later_revision_fulfils_a_wait_too() {
    let (registry, goal) = registry().await;
    let server = Server::new(
        model::PoolId::standard(),
        "s1".parse().expect("an id"),
        address(),
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
