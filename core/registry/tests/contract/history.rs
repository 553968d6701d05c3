//! Promises about the history: every desired change, who made it, why, and what it changed.

use std::time::{Duration, SystemTime};

use model::Author;
use registry::Commit;

use crate::contract;
use crate::fixture::{Fixture, put, remove};

contract! {
    the_history_tells_who_changed_what_and_why,
    the_history_gives_the_newest_first,
}

async fn the_history_tells_who_changed_what_and_why(fixture: &Fixture) {
    fixture.seed().await;
    fixture.commit(vec![put("a", 1)]).await;
    let name = "Ana \"the operator\"".to_owned();
    let commit = Commit {
        reason: "moved \\ to\nrack 2".into(),
        ..Commit::new(Author::Operator { name }, vec![put("a", 9), put("b", 2)])
    };
    let committed = fixture
        .registry
        .commit(commit.clone())
        .await
        .expect("a commit");
    let history = fixture.registry.history(1).await.expect("history");
    let [entry] = history.as_slice() else {
        panic!("one entry was asked for: {history:?}");
    };
    assert_eq!(entry.position, committed.position);
    assert_eq!(
        (&entry.author, &entry.reason),
        (&commit.author, &commit.reason)
    );
    let age = SystemTime::now()
        .duration_since(entry.time)
        .unwrap_or_default();
    assert!(age < Duration::from_secs(60), "{age:?}");
    let address = |entry: &model::Entry| {
        let value = entry.value.as_ref();
        value.map(|value| {
            value["value"]["address"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
    };
    let before: Vec<_> = entry.before.iter().map(address).collect();
    let after: Vec<_> = entry.after.iter().map(address).collect();
    assert_eq!(before, [Some("10.0.0.1:1".into()), None]);
    assert_eq!(
        after,
        [Some("10.0.0.1:9".into()), Some("10.0.0.1:2".into())]
    );
}

async fn the_history_gives_the_newest_first(fixture: &Fixture) {
    fixture.seed().await;
    fixture.commit(vec![put("a", 1)]).await;
    fixture.commit(vec![put("b", 2)]).await;
    fixture.commit(vec![remove("a")]).await;
    let history = fixture.registry.history(2).await.expect("history");
    let revisions: Vec<_> = history
        .iter()
        .map(|entry| entry.position.revision.0)
        .collect();
    assert_eq!(revisions, [4, 3]);
    assert_eq!(history[0].after[0].value, None);
    assert_eq!(
        fixture.registry.history(100).await.expect("history").len(),
        3
    );
}
