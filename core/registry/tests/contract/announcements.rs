//! Promises about announcements and the log: in order, chained, and never from another history.

use std::time::Duration;

use model::{Author, InstanceId, Moment, Position, Revision, RevisionId};
use registry::{Announcement, Commit};

use crate::contract;
use crate::fixture::{Fixture, first_snapshot, next, next_delta, operator, put, remove, report};

contract! {
    announcements_come_in_order_and_name_their_predecessors,
    a_follower_of_announcements_comes_to_the_snapshot,
    a_commit_without_a_revision_is_not_announced,
    every_subscriber_hears_every_revision,
    the_log_gives_what_was_announced,
    the_log_is_empty_at_its_end,
    the_log_knows_no_position_of_another_fork_epoch_or_future,
    concurrent_commits_are_announced_in_the_order_of_their_revisions,
    a_revision_says_when_it_was_committed_by_the_clock_that_stamps_reports,
    what_a_position_lacks_is_as_old_as_the_oldest_revision_after_it,
    of_who_is_elsewhere_no_lag_can_be_said,
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

/// The registry's time.
async fn now(fixture: &Fixture) -> Moment {
    let said = report(InstanceId::random());
    let stamp = fixture.registry.report(&said, false).await;
    stamp.expect("an answer")
}

async fn a_revision_says_when_it_was_committed_by_the_clock_that_stamps_reports(fixture: &Fixture) {
    fixture.seed().await;
    let mut changes = fixture
        .registry
        .announcements()
        .await
        .expect("a subscription");
    let before = now(fixture).await;
    fixture.commit(vec![put("a", 1)]).await;
    let after = now(fixture).await;
    let time = next_delta(&mut changes).await.time.expect("a time");
    assert!(
        before <= time && time <= after,
        "{before:?} {time:?} {after:?}"
    );
}

async fn what_a_position_lacks_is_as_old_as_the_oldest_revision_after_it(fixture: &Fixture) {
    let first = fixture.seed().await;
    let second = fixture.commit(vec![put("a", 1)]).await.position;
    let last = fixture.commit(vec![put("a", 2)]).await.position;
    let log = fixture.registry.log_after(first).await.expect("an answer");
    let committed = log.expect("a known position").into_iter();
    let committed: Vec<_> = committed.map(|delta| delta.time.expect("a time")).collect();
    // Who has another second revision lacks this one.
    let fork = Position {
        id: RevisionId::random(),
        ..second
    };
    for (position, lacking) in [(first, 0), (second, 1), (fork, 0)] {
        let before = now(fixture).await;
        let lag = fixture.registry.lag(position).await.expect("an answer");
        let after = now(fixture).await;
        let least = before.since(committed[lacking]);
        let most = after.since(committed[lacking]);
        let lag = lag.expect("a lag");
        assert!(least <= lag && lag <= most, "{least:?} {lag:?} {most:?}");
    }
    let lag = fixture.registry.lag(last).await;
    assert_eq!(lag, Ok(Some(Duration::ZERO)));
}

async fn of_who_is_elsewhere_no_lag_can_be_said(fixture: &Fixture) {
    let elsewhere = first_snapshot().position;
    assert_eq!(fixture.registry.lag(elsewhere).await, Ok(None));
    fixture.seed().await;
    let last = fixture.commit(vec![put("a", 1)]).await.position;
    let future = Position {
        revision: Revision(99),
        ..last
    };
    for unknown in [elsewhere, future] {
        assert_eq!(fixture.registry.lag(unknown).await, Ok(None));
    }
}
