//! Promises of the commit: all or nothing, numbered, once, and only what is valid.

use model::{Change, Epoch, HoldDecision, Pool, Revision, Ruling};
use registry::{Commit, CommitError};

use crate::contract;
use crate::fixture::{Fixture, next_delta, operator, pool_id, put, remove, server, server_key};

contract! {
    nothing_can_be_committed_before_there_is_a_head,
    each_commit_makes_one_revision,
    a_commit_that_changes_nothing_makes_no_revision,
    a_commit_on_an_outdated_desired_revision_is_a_conflict_and_writes_nothing,
    of_two_committers_who_saw_the_same_revision_one_wins,
    a_commit_sent_twice_is_made_once,
    an_idempotency_key_gets_the_first_answer_again,
    an_idempotency_key_is_refused_with_another_request,
    a_refused_commit_may_be_tried_again_with_its_key,
    a_commit_for_another_epoch_is_refused,
    a_server_needs_a_pool,
    a_pool_with_servers_cannot_be_removed,
    a_pool_goes_together_with_its_last_servers,
    one_invalid_change_stops_the_whole_commit,
    servers_keep_the_order_of_their_creation,
    a_new_address_is_a_new_incarnation_and_another_weight_is_not,
    an_unknown_field_and_empty_lists_survive_as_they_were_written,
    a_ruling_is_kept_until_its_pool_goes,
}

async fn nothing_can_be_committed_before_there_is_a_head(fixture: &Fixture) {
    let commit = Commit::new(operator(), vec![put("a", 1)]);
    let error = fixture.registry.commit(commit).await.expect_err("no head");
    assert_eq!(error, CommitError::Uninitialised);
    assert_eq!(fixture.registry.head().await, Ok(None));
    assert_eq!(fixture.registry.snapshot().await, Ok(None));
}

async fn each_commit_makes_one_revision(fixture: &Fixture) {
    let first = fixture.seed().await;
    let commit = Commit::new(operator(), vec![put("a", 1), put("b", 2)]);
    let committed = fixture
        .registry
        .commit(commit.clone())
        .await
        .expect("a commit");
    assert_eq!(committed.position.revision, Revision(2));
    assert_eq!(committed.position.epoch, first.epoch);
    assert_ne!(committed.position.id, first.id);
    assert_eq!(committed.desired, Revision(2));
    let read = fixture.snapshot().await;
    assert_eq!(read.head.position, committed.position);
    assert_eq!(read.snapshot.position, committed.position);
    assert_eq!(read.snapshot.servers.len(), 2);
    assert_eq!(read.damage, []);
}

async fn a_commit_that_changes_nothing_makes_no_revision(fixture: &Fixture) {
    fixture.seed().await;
    let committed = fixture.commit(vec![put("a", 1)]).await;
    for changes in [vec![put("a", 1)], vec![remove("never-there")], vec![]] {
        let again = fixture.commit(changes).await;
        assert_eq!(again.position, committed.position);
        assert_eq!(again.desired, committed.desired);
    }
    assert_eq!(fixture.head().await.position, committed.position);
}

async fn a_commit_on_an_outdated_desired_revision_is_a_conflict_and_writes_nothing(
    fixture: &Fixture,
) {
    fixture.seed().await;
    let desired = fixture.commit(vec![put("a", 1)]).await.desired;
    let before = fixture.snapshot().await;
    let commit = Commit {
        expected: Some(Revision(1)),
        ..Commit::new(operator(), vec![put("b", 2)])
    };
    let error = fixture.registry.commit(commit).await.expect_err("outdated");
    assert_eq!(error, CommitError::Conflict { desired });
    assert_eq!(fixture.snapshot().await, before);
}

async fn of_two_committers_who_saw_the_same_revision_one_wins(fixture: &Fixture) {
    fixture.seed().await;
    let commit = |id: &str| Commit {
        expected: Some(Revision(1)),
        ..Commit::new(operator(), vec![put(id, 1)])
    };
    let (one, other) = tokio::join!(
        fixture.registry.commit(commit("a")),
        fixture.registry.commit(commit("b")),
    );
    let conflict = Err(CommitError::Conflict {
        desired: Revision(2),
    });
    assert_eq!(usize::from(one.is_ok()) + usize::from(other.is_ok()), 1);
    assert!(one == conflict || other == conflict, "{one:?} {other:?}");
    assert_eq!(fixture.snapshot().await.snapshot.servers.len(), 1);
}

async fn a_commit_sent_twice_is_made_once(fixture: &Fixture) {
    fixture.seed().await;
    let commit = Commit::new(operator(), vec![put("a", 1)]);
    let first = fixture
        .registry
        .commit(commit.clone())
        .await
        .expect("a commit");
    fixture.commit(vec![remove("a")]).await;
    let second = fixture.registry.commit(commit).await.expect("the answer");
    assert!(!first.replayed && second.replayed);
    assert_eq!(second.position, first.position);
    let read = fixture.snapshot().await;
    assert_eq!(read.head.position.revision, Revision(3));
    assert!(read.snapshot.servers.is_empty());
}

async fn an_idempotency_key_gets_the_first_answer_again(fixture: &Fixture) {
    fixture.seed().await;
    let commit = |id: &str| Commit {
        idempotency_key: Some("key with spaces: ü".into()),
        expected: Some(Revision(1)),
        ..Commit::new(operator(), vec![put(id, 1)])
    };
    let first = fixture
        .registry
        .commit(commit("a"))
        .await
        .expect("a commit");
    let second = fixture
        .registry
        .commit(commit("b"))
        .await
        .expect("the answer");
    assert!(
        second.replayed,
        "although the desired revision is another one now"
    );
    assert_eq!(second.position, first.position);
    let other = Commit {
        idempotency_key: Some("another key".into()),
        ..Commit::new(operator(), vec![put("c", 3)])
    };
    let other = fixture.registry.commit(other).await.expect("a commit");
    assert!(!other.replayed);
    assert_eq!(fixture.snapshot().await.snapshot.servers.len(), 2);
}

async fn an_idempotency_key_is_refused_with_another_request(fixture: &Fixture) {
    fixture.seed().await;
    let commit = |id: &str, fingerprint: &str| Commit {
        idempotency_key: Some("key with spaces: ü".into()),
        fingerprint: fingerprint.into(),
        ..Commit::new(operator(), vec![put(id, 1)])
    };
    let commit = async |id, fingerprint| fixture.registry.commit(commit(id, fingerprint)).await;
    let first = commit("a", "the first").await.expect("a commit");
    assert_eq!(commit("b", "another").await, Err(CommitError::KeyReused));
    for fitting in ["the first", ""] {
        let again = commit("a", fitting).await.expect("the answer");
        assert_eq!((again.position, again.replayed), (first.position, true));
    }
    assert_eq!(fixture.snapshot().await.snapshot.servers.len(), 1);
}

async fn a_refused_commit_may_be_tried_again_with_its_key(fixture: &Fixture) {
    fixture.seed().await;
    let commit = Commit {
        idempotency_key: Some("key".into()),
        expected: Some(Revision(9)),
        ..Commit::new(operator(), vec![put("a", 1)])
    };
    let refused = fixture.registry.commit(commit.clone()).await;
    assert!(matches!(refused, Err(CommitError::Conflict { .. })));
    let commit = Commit {
        expected: Some(Revision(1)),
        ..commit
    };
    let committed = fixture.registry.commit(commit).await.expect("a commit");
    assert!(!committed.replayed);
}

async fn a_commit_for_another_epoch_is_refused(fixture: &Fixture) {
    let epoch = fixture.seed().await.epoch;
    let commit = Commit {
        epoch: Some(Epoch::random()),
        ..Commit::new(operator(), vec![put("a", 1)])
    };
    let error = fixture.registry.commit(commit).await.expect_err("another");
    assert_eq!(error, CommitError::OtherEpoch { epoch });
}

async fn a_server_needs_a_pool(fixture: &Fixture) {
    fixture.seed().await;
    let mut homeless = server("a", 1);
    homeless.pool = pool_id("nowhere");
    let commit = Commit::new(operator(), vec![Change::put_server(homeless.clone())]);
    let error = fixture.registry.commit(commit).await.expect_err("no pool");
    let rule = "the pool does not exist".into();
    let key = "nowhere/a".into();
    assert_eq!(error, CommitError::Invalid { key, rule });
    // In whatever order the changes are given.
    let pool = Change::put_pool(Pool::new(pool_id("nowhere")));
    fixture
        .commit(vec![Change::put_server(homeless), pool])
        .await;
}

async fn a_pool_with_servers_cannot_be_removed(fixture: &Fixture) {
    fixture.seed().await;
    fixture.commit(vec![put("a", 1), put("b", 1)]).await;
    let changes = vec![Change::Pool(pool_id("default"), None), remove("a")];
    let commit = Commit::new(operator(), changes);
    let error = fixture.registry.commit(commit).await.expect_err("servers");
    let rule = "the pool still has servers".into();
    let key = "default".into();
    assert_eq!(error, CommitError::Invalid { key, rule });
    assert_eq!(fixture.snapshot().await.snapshot.servers.len(), 2);
}

async fn a_pool_goes_together_with_its_last_servers(fixture: &Fixture) {
    fixture.seed().await;
    // A pool whose name begins like the other one's does not count as the other one.
    let mut neighbour = server("a", 1);
    neighbour.pool = pool_id("default-2");
    let pool = Change::put_pool(Pool::new(pool_id("default-2")));
    fixture
        .commit(vec![pool, Change::put_server(neighbour), put("a", 1)])
        .await;
    let changes = vec![Change::Pool(pool_id("default"), None), remove("a")];
    fixture.commit(changes).await;
    let read = fixture.snapshot().await;
    assert_eq!(
        (read.snapshot.pools.len(), read.snapshot.servers.len()),
        (1, 1)
    );
    assert_eq!(read.damage, []);
}

async fn one_invalid_change_stops_the_whole_commit(fixture: &Fixture) {
    fixture.seed().await;
    let mut heavy = server("b", 2);
    heavy.weight = 1001;
    let commit = Commit::new(operator(), vec![put("a", 1), Change::put_server(heavy)]);
    let error = fixture
        .registry
        .commit(commit)
        .await
        .expect_err("too heavy");
    assert_eq!(
        error.to_string(),
        "default/b: weight: must be from 0 to 1000"
    );
    assert!(fixture.snapshot().await.snapshot.servers.is_empty());
}

async fn servers_keep_the_order_of_their_creation(fixture: &Fixture) {
    fixture.seed().await;
    fixture.commit(vec![put("z", 1), put("m", 2)]).await;
    fixture.commit(vec![put("a", 3)]).await;
    fixture.commit(vec![put("z", 9)]).await;
    let read = fixture.snapshot().await;
    let pool = pool_id("default");
    let servers = read.snapshot.servers_of(&pool);
    let order: Vec<_> = servers
        .iter()
        .map(|server| server.value.id.as_str())
        .collect();
    assert_eq!(order, ["z", "m", "a"]);
    let ages: Vec<_> = servers
        .iter()
        .map(|server| (server.created.0, server.ordinal))
        .collect();
    assert_eq!(ages, [(2, 0), (2, 1), (3, 0)]);
}

async fn a_new_address_is_a_new_incarnation_and_another_weight_is_not(fixture: &Fixture) {
    fixture.seed().await;
    fixture.commit(vec![put("a", 1)]).await;
    let mut heavier = server("a", 1);
    heavier.weight = 7;
    fixture.commit(vec![Change::put_server(heavier)]).await;
    let stamped = fixture.snapshot().await.snapshot.servers[&server_key("a")].clone();
    assert_eq!(
        (stamped.revision, stamped.incarnation),
        (Revision(3), Revision(2))
    );
    fixture.commit(vec![put("a", 9)]).await;
    let stamped = fixture.snapshot().await.snapshot.servers[&server_key("a")].clone();
    assert_eq!(
        (stamped.revision, stamped.incarnation),
        (Revision(4), Revision(4))
    );
    assert_eq!(stamped.created, Revision(2));
    // Removed and made again, it is another one altogether.
    fixture.commit(vec![remove("a")]).await;
    fixture.commit(vec![put("a", 9)]).await;
    let stamped = fixture.snapshot().await.snapshot.servers[&server_key("a")].clone();
    assert_eq!(
        (stamped.created, stamped.incarnation),
        (Revision(6), Revision(6))
    );
}

async fn an_unknown_field_and_empty_lists_survive_as_they_were_written(fixture: &Fixture) {
    fixture.seed().await;
    let mut server = server("a", 1);
    let future =
        r#"{"list":[],"map":{},"big":9007199254740993,"half":0.5,"text":"\",\"value\":é\u0000"}"#;
    let future: serde_json::Value = serde_json::from_str(future).expect("JSON");
    server
        .unknown
        .0
        .insert("from_the_future".into(), future.clone());
    let mut changes = fixture
        .registry
        .announcements()
        .await
        .expect("a subscription");
    fixture
        .commit(vec![Change::put_server(server.clone())])
        .await;
    let read = fixture.snapshot().await;
    assert_eq!(read.snapshot.servers[&server_key("a")].value, server);
    let delta = next_delta(&mut changes).await;
    let announced = delta.entries[0].value.as_ref().expect("a value");
    assert_eq!(announced["value"]["from_the_future"], future);
    // And written again without a change, it is none.
    let again = fixture.commit(vec![Change::put_server(server)]).await;
    assert_eq!(again.position, read.head.position);
}

async fn a_ruling_is_kept_until_its_pool_goes(fixture: &Fixture) {
    let epoch = fixture.seed().await.epoch;
    let ruling = Ruling {
        epoch,
        revision: Revision(1),
        decision: HoldDecision::Confirm,
        unknown: model::Unknown::default(),
    };
    let change = Change::Ruling(pool_id("default"), Some(ruling.clone()));
    let committed = fixture.commit(vec![change]).await;
    assert_eq!(committed.desired, committed.position.revision);
    let read = fixture.snapshot().await;
    assert_eq!(read.snapshot.holds[&pool_id("default")].value, ruling);
    fixture
        .commit(vec![Change::Pool(pool_id("default"), None)])
        .await;
    let read = fixture.snapshot().await;
    assert!(read.snapshot.holds.is_empty());
    assert_eq!(read.damage, []);
}
