//! Promises about announcements and the log: in order, chained, and never from another history.

use model::{Author, InstanceId, Position, Revision, RevisionId};
use registry::{Announcement, Commit};

use crate::contract;
use crate::fixture::{Fixture, first_snapshot, next, next_delta, operator, put, remove};

contract! {
    announcements_come_in_order_and_name_their_predecessors,
    a_follower_of_announcements_comes_to_the_snapshot,
    a_commit_without_a_revision_is_not_announced,
    every_subscriber_hears_every_revision,
    the_log_gives_what_was_announced,
    the_log_is_empty_at_its_end,
    the_log_knows_no_position_of_another_fork_epoch_or_future,
    concurrent_commits_are_announced_in_the_order_of_their_revisions,
}

async fn announcements_come_in_order_and_name_their_predecessors(fixture: &Fixture) {
    let mut last = fixture.seed().await;
    let mut changes = fixture
        .registry
        .announcements()
        .await
        .expect("a subscription");
    for port in 1..=20 {
        fixture.commit(vec![put("a", port)]).await;
    }
    for _ in 1..=20 {
        let delta = next_delta(&mut changes).await;
        assert_eq!(delta.previous, last.id);
        assert_eq!(delta.revision, last.revision.next());
        assert_eq!(delta.desired, delta.revision);
        assert_eq!(delta.author, operator());
        last = delta.position();
    }
    assert_eq!(fixture.head().await.position, last);
}

async fn a_follower_of_announcements_comes_to_the_snapshot(fixture: &Fixture) {
    fixture.seed().await;
    let mut changes = fixture
        .registry
        .announcements()
        .await
        .expect("a subscription");
    let mut followed = fixture.snapshot().await.snapshot;
    fixture.commit(vec![put("a", 1), put("b", 2)]).await;
    fixture.commit(vec![put("b", 3), remove("a")]).await;
    for _ in 0..2 {
        followed.advance(&next_delta(&mut changes).await);
    }
    assert_eq!(followed, fixture.snapshot().await.snapshot);
}

async fn a_commit_without_a_revision_is_not_announced(fixture: &Fixture) {
    fixture.seed().await;
    let mut changes = fixture
        .registry
        .announcements()
        .await
        .expect("a subscription");
    fixture.commit(vec![remove("never-there")]).await;
    let committed = fixture.commit(vec![put("a", 1)]).await;
    let delta = next_delta(&mut changes).await;
    assert_eq!(delta.position(), committed.position);
}

async fn every_subscriber_hears_every_revision(fixture: &Fixture) {
    fixture.seed().await;
    let mut one = fixture
        .registry
        .announcements()
        .await
        .expect("a subscription");
    let mut other = fixture
        .registry
        .announcements()
        .await
        .expect("a subscription");
    let committed = fixture.commit(vec![put("a", 1)]).await;
    assert_eq!(next_delta(&mut one).await.position(), committed.position);
    assert_eq!(next_delta(&mut other).await.position(), committed.position);
}

async fn the_log_gives_what_was_announced(fixture: &Fixture) {
    let first = fixture.seed().await;
    let mut changes = fixture
        .registry
        .announcements()
        .await
        .expect("a subscription");
    let second = fixture.commit(vec![put("a", 1)]).await.position;
    fixture.commit(vec![put("b", 2)]).await;
    let announced = [
        next_delta(&mut changes).await,
        next_delta(&mut changes).await,
    ];
    let logged = fixture.registry.log_after(first).await.expect("an answer");
    assert_eq!(logged.expect("a known position"), announced);
    let logged = fixture.registry.log_after(second).await.expect("an answer");
    assert_eq!(logged.expect("a known position"), announced[1..]);
}

async fn the_log_is_empty_at_its_end(fixture: &Fixture) {
    let first = fixture.seed().await;
    assert_eq!(fixture.registry.log_after(first).await, Ok(Some(vec![])));
    let last = fixture.commit(vec![put("a", 1)]).await.position;
    assert_eq!(fixture.registry.log_after(last).await, Ok(Some(vec![])));
}

async fn the_log_knows_no_position_of_another_fork_epoch_or_future(fixture: &Fixture) {
    let first = fixture.seed().await;
    let last = fixture.commit(vec![put("a", 1)]).await.position;
    let fork = Position {
        id: RevisionId::random(),
        ..last
    };
    let epoch = Position {
        epoch: first_snapshot().position.epoch,
        ..first
    };
    let future = Position {
        revision: Revision(99),
        ..last
    };
    for unknown in [fork, epoch, future] {
        assert_eq!(fixture.registry.log_after(unknown).await, Ok(None));
    }
}

async fn concurrent_commits_are_announced_in_the_order_of_their_revisions(fixture: &Fixture) {
    let mut last = fixture.seed().await;
    let mut changes = fixture
        .registry
        .announcements()
        .await
        .expect("a subscription");
    let mut committers = tokio::task::JoinSet::new();
    for number in 1..=32_u16 {
        let registry = fixture.registry.clone();
        let name = format!("committer-{number}");
        let commit = Commit::new(
            Author::Source { name },
            vec![put(&format!("s{number}"), number)],
        );
        committers.spawn(async move { registry.commit(commit).await });
    }
    while let Some(committed) = committers.join_next().await {
        committed.expect("no panic").expect("a commit");
    }
    for _ in 1..=32 {
        let delta = next_delta(&mut changes).await;
        assert_eq!(delta.previous, last.id);
        last = delta.position();
    }
    assert_eq!(fixture.head().await.position, last);
    assert_eq!(last.revision, Revision(33));
    // A heartbeat comes through the same channel, after them.
    let leader = InstanceId::random();
    let head = fixture.lead(leader).await;
    let renewed = fixture
        .registry
        .renew(leader, head.term, crate::fixture::LONG)
        .await;
    assert_eq!(renewed, Ok(Some(head.clone())));
    assert_eq!(next(&mut changes).await, Announcement::Heartbeat(head));
}
