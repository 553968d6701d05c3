//! `POST /v1/revisions/{n}/restore`: the desired state as it was, as a new revision.

use std::sync::Arc;

use hyper::StatusCode;
use model::{Author, Change, Collection, Epoch, Health, Revision, Verdict};
use registry::{Commit, Memory};
use serde_json::{Value, json};

use crate::harness::{Answer, Fixture, balancer, within};

const SERVER: &str = "/v1/pools/default/servers/a";

/// Revision 2 adds a server, 3 a pool with one of its own in 4, 5 changes the first, 6 and 7 remove the others.
async fn changed_fleet() -> (Fixture, Value) {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    let pool = json!({"id": "web", "health": {"path": "/up"}});
    let pool = fixture.post("/v1/pools", pool).await;
    pool.expect(StatusCode::CREATED);
    let server = json!({"id": "b", "address": "10.0.0.2:80", "weight": 3});
    let server = fixture.post("/v1/pools/web/servers", server).await;
    server.expect(StatusCode::CREATED);
    let then = fixture.get("/v1/export").await.body;
    let patch = json!({"weight": 9});
    fixture.patch(SERVER, patch).await.expect(StatusCode::OK);
    for path in ["/v1/pools/web/servers/b", "/v1/pools/web"] {
        fixture.delete(path).await.expect(StatusCode::OK);
    }
    (fixture, then)
}

async fn restore(fixture: &Fixture, revision: u64) -> Answer {
    let path = format!("/v1/revisions/{revision}/restore");
    fixture.request("POST", &path).send().await
}

fn told(answer: &Answer) -> Vec<(&str, &str)> {
    let changes = answer.body["changes"].as_array().unwrap().iter();
    changes
        .map(|it| (it["change"].as_str().unwrap(), it["key"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn the_state_as_it_was_is_a_new_revision_with_its_reason() {
    let (fixture, then) = changed_fleet().await;
    let answer = restore(&fixture, 4).await.expect(StatusCode::OK);
    assert_eq!(
        (&answer.body["revision"], &answer.body["changed"]),
        (&json!(8), &json!(true))
    );
    assert_eq!(answer.header("etag"), "\"8\"");
    let expected = [
        ("created", "web"),
        ("changed", "default/a"),
        ("created", "web/b"),
    ];
    assert_eq!(told(&answer), expected);
    let weight = json!([{"path": "/weight", "before": 9, "after": 1}]);
    assert_eq!(answer.body["changes"][1]["diff"], weight);
    assert_eq!(fixture.get("/v1/export").await.body, then);
    let entry = &fixture.get("/v1/revisions?limit=1").await.body[0];
    assert_eq!(entry["reason"], "restore of revision 4");
    assert_eq!(entry["changes"].as_array().unwrap().len(), 3);
    // The way back is one like any other.
    restore(&fixture, 7).await.expect(StatusCode::OK);
    let keys = fixture.get("/v1/pools").await.body;
    assert_eq!(keys.as_array().unwrap().len(), 1);
    assert_eq!(fixture.get(SERVER).await.body["weight"], 9);
    restore(&fixture, 1).await.expect(StatusCode::OK);
    assert_eq!(fixture.get("/v1/export").await.body["servers"], json!([]));
}

#[tokio::test]
async fn a_restore_that_changes_nothing_makes_no_revision() {
    let (fixture, _) = changed_fleet().await;
    let before = fixture.position().await;
    let answer = restore(&fixture, 7).await.expect(StatusCode::OK);
    let nothing = json!({"revision": 7, "changed": false, "changes": []});
    assert_eq!(answer.body, nothing);
    // Of a revision that is not the last, but left the same state.
    let patch = json!({"weight": 1});
    fixture.patch(SERVER, patch).await.expect(StatusCode::OK);
    let patch = json!({"weight": 9});
    fixture.patch(SERVER, patch).await.expect(StatusCode::OK);
    let answer = restore(&fixture, 7).await.expect(StatusCode::OK);
    assert_eq!(answer.body["changed"], false);
    assert_eq!(fixture.position().await.revision.0, before.revision.0 + 2);
}

#[tokio::test]
async fn a_restore_never_touches_health() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    let verdict = Verdict {
        incarnation: Revision(2),
        health: Health::Up,
        reason: String::new(),
        silent_ms: 0,
        unknown: model::Unknown::default(),
    };
    let change = Change::Verdict("default/a".parse().unwrap(), Some(verdict));
    let author = Author::Source {
        name: "test".into(),
    };
    let commit = Commit::new(author, vec![change]);
    fixture.registry.commit(commit).await.unwrap();
    let patch = json!({"weight": 9});
    fixture.patch(SERVER, patch).await.expect(StatusCode::OK);
    restore(&fixture, 3).await.expect(StatusCode::OK);
    let server = fixture.get(SERVER).await.body;
    assert_eq!(
        (&server["weight"], &server["health"]),
        (&json!(1), &json!("up"))
    );
}

#[tokio::test]
async fn what_cannot_be_restored_is_said_in_a_line() {
    let (fixture, _) = changed_fleet().await;
    let future = restore(&fixture, 99).await.expect(StatusCode::NOT_FOUND);
    let text = "there is no revision 99 yet: the fleet is at 7";
    assert_eq!(future.detail(), text);
    for nonsense in ["0", "-1", "first"] {
        let path = format!("/v1/revisions/{nonsense}/restore");
        let answer = fixture.request("POST", &path).send().await;
        answer.expect(StatusCode::NOT_FOUND);
    }
    let path = "/v1/revisions/3/restore";
    let other = fixture.post(path, json!({"epoch": Epoch::random()})).await;
    let other = other.expect(StatusCode::GONE);
    assert!(
        other.detail().contains("another epoch"),
        "{}",
        other.detail()
    );
    for (body, field) in [
        (json!({"epoch": "first"}), "epoch"),
        (json!({"reason": ""}), "reason"),
        (json!({"reason": 7}), "reason"),
        (json!({"why": "because"}), "why"),
    ] {
        let answer = fixture.post(path, body).await;
        let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.fields(), [field]);
    }
    let path = format!("{path}?wait=drained");
    let answer = fixture.request("POST", &path).send().await;
    let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.fields(), ["wait"]);
}

#[tokio::test]
async fn a_history_that_does_not_reach_back_restores_nothing() {
    // A fleet that was put back under a new epoch, with what it held before.
    let (old, _) = changed_fleet().await;
    let snapshot = old.registry.snapshot().await.unwrap().unwrap().snapshot;
    let memory = Arc::new(Memory::new());
    let position = model::Position {
        epoch: Epoch::random(),
        ..snapshot.position
    };
    let snapshot = model::Snapshot {
        position,
        ..snapshot
    };
    registry::Committing::seed(&*memory, &snapshot)
        .await
        .unwrap();
    let fixture = Fixture::over(memory, crate::harness::args()).await;
    within(fixture.api.ready()).await;
    let gone = restore(&fixture, 3).await.expect(StatusCode::GONE);
    let text = "revision 3 cannot be restored: the history of the present epoch does not hold what was changed since";
    assert_eq!(gone.detail(), text);
    let patch = json!({"weight": 4});
    fixture.patch(SERVER, patch).await.expect(StatusCode::OK);
    let gone = restore(&fixture, 3).await.expect(StatusCode::GONE);
    let text =
        "revision 3 cannot be restored: the history reaches back to revision 7 and no further";
    assert_eq!(gone.detail(), text);
    restore(&fixture, 7).await.expect(StatusCode::OK);
    assert_eq!(fixture.get(SERVER).await.body["weight"], 9);
}

#[tokio::test]
async fn an_element_that_other_hands_spoiled_is_named_and_nothing_is_restored() {
    let memory = Arc::new(Memory::new());
    let fixture = Fixture::start_over(memory.clone()).await;
    fixture.add("a", "10.0.0.1:80").await;
    memory.tamper(|store| store.tamper(Collection::Servers, "default/a", Some("{}")));
    let put = json!({"address": "10.0.0.1:80", "weight": 2});
    fixture.put(SERVER, put).await.expect(StatusCode::OK);
    let gone = restore(&fixture, 2).await.expect(StatusCode::GONE);
    assert!(
        gone.detail().contains("servers \"default/a\""),
        "{}",
        gone.detail()
    );
    assert_eq!(fixture.get(SERVER).await.body["weight"], 2);
}

#[tokio::test]
async fn a_restore_is_made_under_conditions_and_once() {
    let (fixture, then) = changed_fleet().await;
    let path = "/v1/revisions/4/restore";
    let stale = fixture.request("POST", path).header("if-match", "\"6\"");
    let stale = stale.send().await.expect(StatusCode::PRECONDITION_FAILED);
    let text = "If-Match says \"6\", but the state \"desired\" is at \"7\"";
    assert_eq!(stale.detail(), text);
    let send = || {
        let call = fixture
            .request("POST", path)
            .header("idempotency-key", "k1");
        call.json(&json!({"reason": "back to before"})).send()
    };
    let first = send().await.expect(StatusCode::OK);
    assert_eq!(fixture.get("/v1/export").await.body, then);
    let patch = json!({"weight": 5});
    fixture.patch(SERVER, patch).await.expect(StatusCode::OK);
    let again = send().await.expect(StatusCode::OK);
    assert_eq!(again.body, first.body);
    assert_eq!(fixture.get(SERVER).await.body["weight"], 5);
    let history = fixture.get("/v1/revisions").await.body;
    assert_eq!(history[1]["reason"], "back to before");
}

#[tokio::test]
async fn a_restore_can_be_waited_for() {
    let (fixture, _) = changed_fleet().await;
    let mut report = balancer("b1");
    report.applied = Some(fixture.position().await);
    fixture.report(&report).await;
    let path = "/v1/revisions/4/restore?wait=applied&timeout=50ms";
    let answer = fixture.request("POST", path).send().await;
    let answer = answer.expect(StatusCode::ACCEPTED);
    let laggard = &answer.body["wait"]["laggards"][0];
    assert_eq!(laggard["reason"], "is at revision 7 of 8");
}
