//! Promises about verdicts: only the leader of the present term writes them, only on servers as they are.

use model::{Author, Health, InstanceId, Revision, Term};
use registry::{Commit, CommitError};

use crate::contract;
use crate::fixture::{Fixture, put, remove, server_key, verdict};

contract! {
    a_verdict_does_not_touch_the_desired_revision,
    a_verdict_on_another_incarnation_is_left_out_and_named,
    a_commit_of_refused_verdicts_alone_makes_no_revision,
    a_verdict_on_a_server_that_the_same_commit_moves_is_refused,
    a_server_takes_its_verdict_with_it,
    a_server_that_moves_loses_its_verdict,
    who_does_not_lead_writes_nothing,
    a_leader_of_an_earlier_term_writes_nothing,
    a_leader_who_does_not_name_the_epoch_writes_nothing,
}

async fn up(fixture: &Fixture) -> InstanceId {
    fixture.seed().await;
    fixture.commit(vec![put("a", 1), put("b", 2)]).await;
    let leader = InstanceId::random();
    fixture.lead(leader).await;
    leader
}

async fn a_verdict_does_not_touch_the_desired_revision(fixture: &Fixture) {
    let leader = up(fixture).await;
    let changes = vec![verdict("a", Revision(2), Health::Up)];
    let commit = fixture.leaders_commit(leader, changes).await;
    let committed = fixture.registry.commit(commit).await.expect("a commit");
    assert_eq!(committed.position.revision, Revision(3));
    assert_eq!(committed.desired, Revision(2));
    let read = fixture.snapshot().await;
    assert_eq!(read.snapshot.health_of(&server_key("a")), Health::Up);
    assert_eq!(read.snapshot.health_of(&server_key("b")), Health::Unknown);
    assert_eq!(fixture.registry.history(9).await.expect("history").len(), 1);
}

async fn a_verdict_on_another_incarnation_is_left_out_and_named(fixture: &Fixture) {
    let leader = up(fixture).await;
    let changes = vec![
        verdict("a", Revision(1), Health::Up),
        verdict("b", Revision(2), Health::Down),
        verdict("gone", Revision(2), Health::Up),
    ];
    let commit = fixture.leaders_commit(leader, changes).await;
    let committed = fixture
        .registry
        .commit(commit.clone())
        .await
        .expect("a commit");
    assert_eq!(committed.refused, [server_key("a"), server_key("gone")]);
    let read = fixture.snapshot().await;
    assert_eq!(read.snapshot.health.len(), 1);
    assert_eq!(read.snapshot.health_of(&server_key("b")), Health::Down);
    let again = fixture.registry.commit(commit).await.expect("the answer");
    assert_eq!(again.refused, committed.refused);
}

async fn a_commit_of_refused_verdicts_alone_makes_no_revision(fixture: &Fixture) {
    let leader = up(fixture).await;
    let before = fixture.snapshot().await;
    let changes = vec![verdict("gone", Revision(2), Health::Up)];
    let commit = fixture.leaders_commit(leader, changes).await;
    let committed = fixture.registry.commit(commit).await.expect("an answer");
    assert_eq!(committed.position, before.head.position);
    assert_eq!(committed.refused, [server_key("gone")]);
    assert_eq!(fixture.snapshot().await, before);
}

async fn a_verdict_on_a_server_that_the_same_commit_moves_is_refused(fixture: &Fixture) {
    let leader = up(fixture).await;
    let changes = vec![
        verdict("a", Revision(2), Health::Up),
        verdict("new", Revision(3), Health::Up),
        put("a", 9),
        put("new", 3),
    ];
    let commit = fixture.leaders_commit(leader, changes).await;
    let committed = fixture.registry.commit(commit).await.expect("a commit");
    assert_eq!(committed.refused, [server_key("a"), server_key("new")]);
    assert!(fixture.snapshot().await.snapshot.health.is_empty());
}

async fn a_server_takes_its_verdict_with_it(fixture: &Fixture) {
    let leader = up(fixture).await;
    let changes = vec![verdict("a", Revision(2), Health::Up)];
    let commit = fixture.leaders_commit(leader, changes).await;
    fixture.registry.commit(commit).await.expect("a commit");
    fixture.commit(vec![remove("a")]).await;
    let read = fixture.snapshot().await;
    assert!(read.snapshot.health.is_empty());
    assert_eq!(read.damage, []);
}

async fn a_server_that_moves_loses_its_verdict(fixture: &Fixture) {
    let leader = up(fixture).await;
    let changes = vec![verdict("a", Revision(2), Health::Up)];
    let commit = fixture.leaders_commit(leader, changes).await;
    fixture.registry.commit(commit).await.expect("a commit");
    let before = fixture.snapshot().await.snapshot;
    fixture.commit(vec![put("a", 9)]).await;
    let after = fixture.snapshot().await;
    assert!(after.snapshot.health.is_empty());
    assert_eq!(after.damage, []);
    // Who follows by deltas comes to the same.
    let deltas = fixture.registry.log_after(before.position).await;
    let mut followed = before;
    for delta in deltas
        .expect("an answer")
        .expect("the log goes back so far")
    {
        followed.advance(&delta);
    }
    assert_eq!(followed, after.snapshot);
}

async fn who_does_not_lead_writes_nothing(fixture: &Fixture) {
    let leader = up(fixture).await;
    let changes = vec![verdict("a", Revision(2), Health::Up)];
    let commit = fixture.leaders_commit(InstanceId::random(), changes).await;
    let error = fixture
        .registry
        .commit(commit)
        .await
        .expect_err("no leader");
    let (term, leader) = (Term(1), Some(leader));
    assert_eq!(error, CommitError::NotLeading { term, leader });
    assert!(fixture.snapshot().await.snapshot.health.is_empty());
}

async fn a_leader_of_an_earlier_term_writes_nothing(fixture: &Fixture) {
    let leader = up(fixture).await;
    let changes = vec![verdict("a", Revision(2), Health::Up)];
    let commit = fixture.leaders_commit(leader, changes).await;
    let given_back = fixture.registry.release(leader, Term(1)).await;
    given_back.expect("an answer");
    let without = fixture.registry.commit(commit.clone()).await;
    let (term, none) = (Term(1), None);
    assert_eq!(without, Err(CommitError::NotLeading { term, leader: none }));
    fixture.lead(leader).await;
    let stale = fixture.registry.commit(commit).await;
    let (term, leader) = (Term(2), Some(leader));
    assert_eq!(stale, Err(CommitError::NotLeading { term, leader }));
}

async fn a_leader_who_does_not_name_the_epoch_writes_nothing(fixture: &Fixture) {
    let leader = up(fixture).await;
    let epoch = fixture.head().await.position.epoch;
    let author = Author::Leader {
        instance: leader,
        term: Term(1),
    };
    let changes = vec![verdict("a", Revision(2), Health::Up)];
    let error = fixture.registry.commit(Commit::new(author, changes)).await;
    assert_eq!(error, Err(CommitError::OtherEpoch { epoch }));
}
