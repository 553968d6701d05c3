//! Promises about what other hands did to the registry: it is named, and the rest goes on.

use model::{Change, Collection, Revision, Snapshot};
use registry::{Commit, CommitError, Committed, Unseen};

use crate::contract;
use crate::fixture::{Fixture, operator, put, remove, server_key};

contract! {
    nonsense_written_by_hand_is_named_and_the_rest_is_read,
    a_missing_element_is_damage_to_its_collection_alone,
    an_element_changed_by_hand_is_damage_although_it_reads_well,
    an_element_that_nonsense_replaced_can_be_written_again,
    an_element_added_by_hand_is_damage,
    what_its_author_has_not_seen_so_is_not_written_over,
    what_nobody_was_told_of_is_written_anew_although_it_is_the_same,
    the_removal_of_an_element_that_was_taken_by_hand_is_a_revision,
    the_removal_of_what_its_author_knows_is_a_revision_whatever_is_counted,
}

async fn filled(fixture: &Fixture) {
    fixture.seed().await;
    fixture.commit(vec![put("a", 1), put("b", 2)]).await;
}

async fn nonsense_written_by_hand_is_named_and_the_rest_is_read(fixture: &Fixture) {
    filled(fixture).await;
    fixture.tamper(Collection::Servers, "default/a", Some("nonsense {"));
    fixture.tamper(Collection::Servers, "no key", Some("[]"));
    fixture.tamper(Collection::Health, "default/b", Some("\"up\""));
    let read = fixture.snapshot().await;
    let faults: Vec<_> = read
        .snapshot
        .faults
        .iter()
        .map(|fault| (fault.collection, fault.key.as_str()))
        .collect();
    assert_eq!(
        faults,
        [
            (Collection::Servers, "default/a"),
            (Collection::Servers, "no key"),
            (Collection::Health, "default/b"),
        ]
    );
    assert!(read.snapshot.servers.contains_key(&server_key("b")));
}

async fn a_missing_element_is_damage_to_its_collection_alone(fixture: &Fixture) {
    filled(fixture).await;
    assert_eq!(fixture.snapshot().await.damage, []);
    fixture.tamper(Collection::Servers, "default/a", None);
    let damage = fixture.snapshot().await.damage;
    let [damage] = damage.as_slice() else {
        panic!("one collection is damaged: {damage:?}");
    };
    assert_eq!(damage.collection, Collection::Servers);
    assert!(
        damage.reason.contains("1 elements where there should be 2"),
        "{damage}"
    );
}

async fn an_element_changed_by_hand_is_damage_although_it_reads_well(fixture: &Fixture) {
    filled(fixture).await;
    let by_hand = r#"{"revision":2,"created":2,"ordinal":0,"incarnation":2,"value":{"pool":"default","id":"a","address":"10.6.6.6:1"}}"#;
    fixture.tamper(Collection::Servers, "default/a", Some(by_hand));
    let read = fixture.snapshot().await;
    assert_eq!(read.snapshot.faults, []);
    assert_eq!(read.damage.len(), 1);
    assert_eq!(read.damage[0].collection, Collection::Servers);
    assert!(
        read.damage[0].reason.contains("other hands"),
        "{:?}",
        read.damage
    );
}

async fn an_element_that_nonsense_replaced_can_be_written_again(fixture: &Fixture) {
    filled(fixture).await;
    fixture.tamper(Collection::Servers, "default/a", Some("nonsense"));
    let committed = fixture.commit(vec![put("a", 1)]).await;
    assert_eq!(committed.position.revision, Revision(3));
    let read = fixture.snapshot().await;
    assert_eq!(read.snapshot.faults, []);
    let stamped = &read.snapshot.servers[&server_key("a")];
    assert_eq!(
        (stamped.created, stamped.incarnation),
        (Revision(3), Revision(3))
    );
    let history = fixture.registry.history(1).await.expect("history");
    assert_eq!(history[0].before[0].value, None);
    fixture.tamper(Collection::Servers, "default/a", Some("nonsense"));
    fixture.commit(vec![remove("a")]).await;
    assert!(
        !fixture
            .snapshot()
            .await
            .snapshot
            .servers
            .contains_key(&server_key("a"))
    );
}

async fn an_element_added_by_hand_is_damage(fixture: &Fixture) {
    filled(fixture).await;
    let by_hand = r#"{"revision":2,"created":2,"ordinal":0,"incarnation":2,"value":{"pool":"default","id":"x","address":"10.6.6.6:1"}}"#;
    fixture.tamper(Collection::Servers, "default/x", Some(by_hand));
    let damage = fixture.snapshot().await.damage;
    assert_eq!(damage.len(), 1);
    assert!(
        damage[0]
            .reason
            .contains("3 elements where there should be 2"),
        "{damage:?}"
    );
}

async fn what_its_author_has_not_seen_so_is_not_written_over(fixture: &Fixture) {
    filled(fixture).await;
    let state = fixture.snapshot().await.snapshot;
    let by_hand =
        r#"{"revision":2,"created":2,"ordinal":0,"incarnation":2,"value":{"state":"warming"}}"#;
    for key in ["default/a", "default/c"] {
        fixture.tamper(Collection::Servers, key, Some(by_hand));
    }
    fixture.tamper(Collection::Servers, "default/d", Some("nonsense"));
    let changes = ["a", "b", "c", "d"].map(|id| put(id, 7)).to_vec();
    let mut commit = Commit::new(operator(), changes).over(&state);
    let before = fixture.head().await.position;
    let refused = fixture.registry.commit(commit.clone()).await;
    let unseen = |key: &str| Unseen {
        collection: Collection::Servers,
        key: key.into(),
        stored: by_hand.into(),
    };
    let elements = vec![unseen("default/a"), unseen("default/c")];
    assert_eq!(refused, Err(CommitError::Unseen { elements }));
    assert_eq!(fixture.head().await.position, before);
    // Who has looked at it knows what it does.
    for key in ["default/a", "default/c"] {
        let name = (Collection::Servers, key.to_owned());
        commit.seen.entry(name).or_default().correct(by_hand);
    }
    let made = fixture.registry.commit(commit).await.expect("a commit");
    assert_eq!(made.position.revision, before.revision.next());
    // What a commit wrote is what its author sees of it, and what other hands took away is put back.
    let state = fixture.snapshot().await.snapshot;
    assert_eq!(state.faults, []);
    fixture.tamper(Collection::Servers, "default/b", None);
    let changes = ["a", "b"].map(|id| put(id, 8)).to_vec();
    let commit = Commit::new(operator(), changes).over(&state);
    fixture.registry.commit(commit).await.expect("a commit");
    // A removal takes what is there.
    fixture.tamper(Collection::Servers, "default/a", Some(by_hand));
    let commit = Commit::new(operator(), vec![remove("a")]).over(&state);
    fixture.registry.commit(commit).await.expect("a commit");
}

/// A server as other hands put it, and the answer to a change of an author who knows this state and has looked at it.
async fn put_over(fixture: &Fixture, by_hand: &str, state: &Snapshot, change: Change) -> Committed {
    let key = change.key();
    fixture.tamper(Collection::Servers, &key, Some(by_hand));
    let mut commit = Commit::new(operator(), vec![change]).over(state);
    let name = (Collection::Servers, key);
    commit.seen.entry(name).or_default().correct(by_hand);
    fixture.registry.commit(commit).await.expect("a commit")
}

/// Those who follow have not heard of it.
async fn what_nobody_was_told_of_is_written_anew_although_it_is_the_same(fixture: &Fixture) {
    filled(fixture).await;
    let at = |address: &str| {
        format!(
            r#"{{"revision":2,"created":2,"ordinal":0,"incarnation":2,"value":{{"pool":"default","id":"a","address":"{address}"}}}}"#
        )
    };
    let state = fixture.snapshot().await.snapshot;
    let known = state.servers[&server_key("a")].clone();
    let stored = |snapshot: &Snapshot| snapshot.servers[&server_key("a")].clone();
    // Where others know it to be, and elsewhere.
    for (port, stays) in [(1, true), (7, false)] {
        let before = fixture.head().await.position;
        let Change::Server(_, Some(server)) = put("a", port) else {
            unreachable!("a server is put");
        };
        let made = put_over(
            fixture,
            &at(&server.address.to_string()),
            &state,
            put("a", port),
        )
        .await;
        assert_eq!(
            made.position.revision,
            before.revision.next(),
            "port {port}"
        );
        let now = stored(&fixture.snapshot().await.snapshot);
        assert_eq!(now.revision, made.position.revision);
        assert_eq!(now.incarnation == known.incarnation, stays, "port {port}");
    }
    // So does who has its state from a registry that other hands were in.
    let state = fixture.snapshot().await.snapshot;
    for (doubted, revisions) in [(Collection::Pools, 0), (Collection::Servers, 1)] {
        let before = fixture.head().await.position.revision;
        let commit = Commit::new(operator(), vec![put("b", 2)]).over(&state);
        let commit = commit.doubting(|collection| collection == doubted);
        let made = fixture.registry.commit(commit).await.expect("an answer");
        assert_eq!(made.position.revision.0, before.0 + revisions);
    }
}

/// Those who followed it before still use it.
async fn the_removal_of_an_element_that_was_taken_by_hand_is_a_revision(fixture: &Fixture) {
    filled(fixture).await;
    let before = fixture.head().await.position;
    let unchanged = fixture.commit(vec![remove("never-there")]).await;
    assert_eq!(unchanged.position, before);
    fixture.tamper(Collection::Servers, "default/a", None);
    let removed = fixture.commit(vec![remove("a")]).await;
    assert_eq!(removed.position.revision, before.revision.next());
    let log = fixture.registry.log_after(before).await.expect("an answer");
    let entry = &log.expect("it holds that")[0].entries[0];
    assert_eq!((entry.key.as_str(), &entry.value), ("default/a", &None));
}

/// What other hands put there is not counted, so that what they take then is not missed.
async fn the_removal_of_what_its_author_knows_is_a_revision_whatever_is_counted(fixture: &Fixture) {
    filled(fixture).await;
    fixture.tamper(Collection::Servers, "default/c", Some("nonsense"));
    fixture.commit(vec![put("c", 3)]).await;
    let state = fixture.snapshot().await.snapshot;
    fixture.tamper(Collection::Servers, "default/c", None);
    let before = fixture.head().await.position;
    let commit = || Commit::new(operator(), vec![remove("c")]);
    let unknown = fixture.registry.commit(commit()).await;
    assert_eq!(unknown.expect("an answer").position, before);
    let removed = fixture.registry.commit(commit().over(&state)).await;
    let removed = removed.expect("a commit").position;
    assert_eq!(removed.revision, before.revision.next());
    let log = fixture.registry.log_after(before).await.expect("an answer");
    let entry = &log.expect("it holds that")[0].entries[0];
    assert_eq!((entry.key.as_str(), &entry.value), ("default/c", &None));
}
