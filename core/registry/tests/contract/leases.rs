//! Promises about the lease: one holder, a new term each time, and nothing for who lost it.

use std::time::Duration;

use model::{Epoch, InstanceId, ServerKey, Term};
use registry::testing::RedisServer;
use registry::{Announcement, Commit, CommitError, Head, Leadership};

use crate::contract;
use crate::fixture::{
    Fixture, LONG, connect, eventually, first_snapshot, next, operator, put, remove, report,
    server_key,
};

contract! {
    there_is_no_lease_without_a_head,
    only_one_holds_the_lease,
    who_holds_the_lease_may_take_it_again_in_a_new_term,
    whoever_writes_for_a_leader_that_was_followed_by_another_is_refused,
    the_leader_clears_away_what_others_said,
    who_leads_no_more_clears_nothing_away,
    each_taking_of_the_lease_is_a_new_term,
    a_lease_that_is_not_renewed_runs_out,
    a_lease_from_before_the_clock_was_set_back_runs_out_as_any_other,
    who_asks_for_a_shorter_lease_does_not_cut_the_leaders,
    a_renewed_lease_lasts,
    who_lost_the_lease_cannot_renew_it,
    a_lease_given_back_is_free_at_once,
    a_lease_is_given_back_only_by_who_holds_it,
    a_heartbeat_carries_the_present_head,
}

async fn there_is_no_lease_without_a_head(fixture: &Fixture) {
    let taken = fixture.registry.acquire(InstanceId::random(), LONG).await;
    assert_eq!(taken, Ok(None));
    fixture.seed().await;
    assert_eq!(fixture.lead(InstanceId::random()).await.term, Term(1));
}

async fn only_one_holds_the_lease(fixture: &Fixture) {
    fixture.seed().await;
    let (one, other) = (InstanceId::random(), InstanceId::random());
    let (a, b) = tokio::join!(
        fixture.registry.acquire(one, LONG),
        fixture.registry.acquire(other, LONG)
    );
    let taken = [a.expect("an answer"), b.expect("an answer")];
    assert_eq!(taken.iter().flatten().count(), 1);
}

/// As it does whose connection broke before the answer came.
async fn who_holds_the_lease_may_take_it_again_in_a_new_term(fixture: &Fixture) {
    fixture.seed().await;
    let leader = InstanceId::random();
    let former = fixture.lead(leader).await.term;
    let head = fixture.lead(leader).await;
    assert_eq!((head.term, head.leader), (former.next(), Some(leader)));
    let renewed = fixture.registry.renew(leader, former, LONG).await;
    assert_eq!(renewed, Ok(None), "the former term is over");
    let renewed = fixture.registry.renew(leader, head.term, LONG).await;
    assert_eq!(renewed, Ok(Some(head)));
}

/// The leader, and a report and a registration that it may clear away.
async fn led(fixture: &Fixture) -> (Leadership, InstanceId, ServerKey) {
    fixture.seed().await;
    let head = fixture.lead(InstanceId::random()).await;
    let leadership = Leadership {
        instance: head.leader.expect("a leader"),
        epoch: head.position.epoch,
        term: head.term,
    };
    let (silent, key) = (InstanceId::random(), server_key("a"));
    let reported = fixture.registry.report(&report(silent), false).await;
    reported.expect("taken");
    let renewed = fixture.registry.renew_registration(&key, LONG).await;
    renewed.expect("taken");
    (leadership, silent, key)
}

async fn the_leader_clears_away_what_others_said(fixture: &Fixture) {
    let registry = &fixture.registry;
    let (leader, silent, key) = led(fixture).await;
    let mut reports = registry.reports().await.expect("a subscription");
    assert_eq!(registry.forget_for(&leader, silent).await, Ok(true));
    let told = next(&mut reports).await;
    assert_eq!(told, silent, "whoever waits for it is told");
    assert_eq!(registry.forget_for(&leader, silent).await, Ok(false));
    assert_eq!(registry.instances().await, Ok(vec![]));
    let remove = || registry.remove_registration_for(&leader, &key);
    assert_eq!(remove().await, Ok(true));
    assert_eq!(remove().await, Ok(false));
    assert_eq!(registry.registrations().await, Ok(vec![]));
}

async fn who_leads_no_more_clears_nothing_away(fixture: &Fixture) {
    let registry = &fixture.registry;
    let (former, silent, key) = led(fixture).await;
    let present = fixture.lead(former.instance).await;
    let elsewhere = Leadership {
        epoch: Epoch::random(),
        ..former
    };
    let not_leading = CommitError::NotLeading {
        term: present.term,
        leader: present.leader,
    };
    let epoch = former.epoch;
    for (leadership, refusal) in [
        (former, not_leading),
        (elsewhere, CommitError::OtherEpoch { epoch }),
    ] {
        let forgotten = registry.forget_for(&leadership, silent).await;
        assert_eq!(forgotten, Err(refusal.clone()));
        let removed = registry.remove_registration_for(&leadership, &key).await;
        assert_eq!(removed, Err(refusal));
    }
    assert_eq!(registry.instances().await.expect("an answer").len(), 1);
    let registrations = registry.registrations().await;
    assert_eq!(registrations.expect("an answer").len(), 1);
    let empty = fixture.another();
    let forgotten = empty.registry.forget_for(&former, silent).await;
    assert_eq!(forgotten, Err(CommitError::Uninitialised));
}

async fn whoever_writes_for_a_leader_that_was_followed_by_another_is_refused(fixture: &Fixture) {
    let epoch = fixture.seed().await.epoch;
    fixture.commit(vec![put("a", 1)]).await;
    let leadership = |head: &Head| Leadership {
        instance: head.leader.expect("a leader"),
        epoch,
        term: head.term,
    };
    let former = leadership(&fixture.lead(InstanceId::random()).await);
    let given_back = fixture.registry.release(former.instance, former.term).await;
    given_back.expect("an answer");
    let present = leadership(&fixture.lead(InstanceId::random()).await);
    let before = fixture.snapshot().await;
    let commit = |leadership| Commit {
        leadership: Some(leadership),
        expected: Some(before.head.desired),
        ..Commit::new(operator(), vec![remove("a")])
    };
    let late = fixture.registry.commit(commit(former)).await;
    let (term, leader) = (present.term, Some(present.instance));
    assert_eq!(late, Err(CommitError::NotLeading { term, leader }));
    let elsewhere = Leadership {
        epoch: Epoch::random(),
        ..present
    };
    let elsewhere = fixture.registry.commit(commit(elsewhere)).await;
    assert_eq!(elsewhere, Err(CommitError::OtherEpoch { epoch }));
    assert_eq!(fixture.snapshot().await, before);
    let made = fixture.registry.commit(commit(present)).await;
    assert!(!made.expect("a commit").replayed);
}

async fn each_taking_of_the_lease_is_a_new_term(fixture: &Fixture) {
    fixture.seed().await;
    for term in 1..=3 {
        let instance = InstanceId::random();
        let head = fixture.lead(instance).await;
        assert_eq!((head.term, head.leader), (Term(term), Some(instance)));
        assert_eq!(fixture.head().await, head);
        let given_back = fixture.registry.release(instance, head.term).await;
        given_back.expect("an answer");
    }
}

async fn a_lease_that_is_not_renewed_runs_out(fixture: &Fixture) {
    fixture.seed().await;
    let (first, second) = (InstanceId::random(), InstanceId::random());
    let short = Duration::from_millis(50);
    let head = fixture.registry.acquire(first, short).await;
    head.expect("an answer").expect("the lease is free");
    let head = eventually("the lease runs out", async || {
        fixture
            .registry
            .acquire(second, LONG)
            .await
            .expect("an answer")
    })
    .await;
    assert_eq!((head.term, head.leader), (Term(2), Some(second)));
}

async fn a_lease_from_before_the_clock_was_set_back_runs_out_as_any_other(fixture: &Fixture) {
    fixture.seed().await;
    let (first, second) = (InstanceId::random(), InstanceId::random());
    let short = Duration::from_millis(200);
    let head = fixture.registry.acquire(first, short).await;
    head.expect("an answer").expect("the lease is free");
    fixture.prolong_lease();
    let head = eventually("the lease runs out", async || {
        let taken = fixture.registry.acquire(second, LONG).await;
        taken.expect("an answer")
    })
    .await;
    assert_eq!((head.term, head.leader), (Term(2), Some(second)));
}

/// Orchestrators may be started with other lifetimes than the leader's.
async fn who_asks_for_a_shorter_lease_does_not_cut_the_leaders(fixture: &Fixture) {
    fixture.seed().await;
    let (leader, other) = (InstanceId::random(), InstanceId::random());
    let head = fixture.lead(leader).await;
    let short = Duration::from_millis(1);
    let asked = fixture.registry.acquire(other, short).await;
    assert_eq!(asked, Ok(None));
    tokio::time::sleep(20 * short).await;
    let asked = fixture.registry.acquire(other, short).await;
    assert_eq!(asked, Ok(None), "it was cut");
    let renewed = fixture.registry.renew(leader, head.term, LONG).await;
    assert_eq!(renewed, Ok(Some(head)));
}

async fn a_renewed_lease_lasts(fixture: &Fixture) {
    fixture.seed().await;
    let leader = InstanceId::random();
    let short = Duration::from_millis(200);
    let head = fixture.registry.acquire(leader, short).await;
    let term = head.expect("an answer").expect("the lease is free").term;
    let renewed = fixture.registry.renew(leader, term, LONG).await;
    assert!(renewed.expect("an answer").is_some());
    tokio::time::sleep(2 * short).await;
    let taken = fixture.registry.acquire(InstanceId::random(), LONG).await;
    assert_eq!(taken, Ok(None), "it was renewed for longer");
}

async fn who_lost_the_lease_cannot_renew_it(fixture: &Fixture) {
    fixture.seed().await;
    let first = InstanceId::random();
    let short = Duration::from_millis(50);
    let head = fixture.registry.acquire(first, short).await;
    let term = head.expect("an answer").expect("the lease is free").term;
    eventually("the lease runs out", async || {
        let renewed = fixture
            .registry
            .renew(first, term, Duration::from_millis(1));
        renewed.await.expect("an answer").is_none().then_some(())
    })
    .await;
    let second = fixture.lead(InstanceId::random()).await;
    let (late, other_term) = tokio::join!(
        fixture.registry.renew(first, term, LONG),
        fixture
            .registry
            .renew(second.leader.expect("a leader"), term, LONG),
    );
    assert_eq!((late, other_term), (Ok(None), Ok(None)));
}

async fn a_lease_given_back_is_free_at_once(fixture: &Fixture) {
    fixture.seed().await;
    let leader = InstanceId::random();
    let term = fixture.lead(leader).await.term;
    let mut changes = fixture
        .registry
        .announcements()
        .await
        .expect("a subscription");
    for _ in 0..2 {
        let released = fixture.registry.release(leader, term).await;
        released.expect("an answer");
    }
    let head = fixture.head().await;
    assert_eq!(head.leader, None);
    assert_eq!(next(&mut changes).await, Announcement::Heartbeat(head));
    // Nothing more is announced of a lease that is no longer held: the next heartbeat is the next leader's.
    assert_eq!(fixture.registry.renew(leader, term, LONG).await, Ok(None));
    let successor = InstanceId::random();
    let head = fixture.lead(successor).await;
    let renewed = fixture.registry.renew(successor, head.term, LONG).await;
    renewed.expect("an answer").expect("the lease is held");
    assert_eq!(next(&mut changes).await, Announcement::Heartbeat(head));
}

async fn a_lease_is_given_back_only_by_who_holds_it(fixture: &Fixture) {
    fixture.seed().await;
    let leader = InstanceId::random();
    let head = fixture.lead(leader).await;
    let (stranger, other_term) = tokio::join!(
        fixture.registry.release(InstanceId::random(), head.term),
        fixture.registry.release(leader, Term(9)),
    );
    assert_eq!((stranger, other_term), (Ok(()), Ok(())));
    assert_eq!(fixture.head().await, head);
    let taken = fixture.registry.acquire(InstanceId::random(), LONG).await;
    assert_eq!(taken, Ok(None));
}

async fn a_heartbeat_carries_the_present_head(fixture: &Fixture) {
    fixture.seed().await;
    let leader = InstanceId::random();
    let term = fixture.lead(leader).await.term;
    fixture.commit(vec![put("a", 1)]).await;
    let mut changes = fixture
        .registry
        .announcements()
        .await
        .expect("a subscription");
    let renewed = fixture.registry.renew(leader, term, LONG).await;
    let head = renewed.expect("an answer").expect("the lease is held");
    assert_eq!(head, fixture.head().await);
    assert_eq!(next(&mut changes).await, Announcement::Heartbeat(head));
}

#[tokio::test]
async fn a_lease_as_an_older_version_wrote_it_is_its_holders() {
    let redis = RedisServer::start();
    let registry = connect(&redis.url());
    assert_eq!(registry.seed(&first_snapshot()).await, Ok(true));
    let (leader, other) = (InstanceId::random(), InstanceId::random());
    let head = registry.acquire(leader, LONG).await;
    let head = head.expect("an answer").expect("the lease is free");
    redis.command(&[
        "SET",
        "roundhouse:{main}:lease",
        &leader.to_string(),
        "PX",
        "600000",
    ]);
    let asked = registry.acquire(other, Duration::from_millis(1)).await;
    assert_eq!(asked, Ok(None));
    let renewed = registry.renew(leader, head.term, LONG).await;
    assert_eq!(renewed, Ok(Some(head)));
}
