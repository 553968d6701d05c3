//! `POST /v1/holds/{pool}/reject`: what was taken away is put back, or nothing is.

use std::sync::Arc;

use hyper::StatusCode;
use model::{
    Author, Change, Health, Hold, HoldDecision, PoolId, Position, Report, Revision, Verdict,
};
use registry::{Commit, Committing, Memory, Reading};
use serde_json::{Value, json};

use crate::harness::{Answer, Fixture, args, balancer, within};

const REJECT: &str = "/v1/holds/default/reject";
const CONFIRM: &str = "/v1/holds/default/confirm";
const SERVERS: &str = "/v1/pools/default/servers";

/// A fleet of three servers of different weights.
async fn fleet() -> Fixture {
    let fixture = Fixture::start().await;
    for (index, id) in ["a", "b", "c"].into_iter().enumerate() {
        let number = index + 1;
        let body = json!({"id": id, "address": format!("10.0.0.{number}:80"), "weight": number});
        fixture
            .post(SERVERS, body)
            .await
            .expect(StatusCode::CREATED);
    }
    fixture
}

/// Takes servers away as no operator would.
async fn withdraw(fixture: &Fixture, ids: &[&str]) -> Position {
    let name = "discovery".into();
    let keys = ids
        .iter()
        .map(|id| format!("default/{id}").parse().unwrap());
    let changes = keys.map(|key| Change::Server(key, None)).collect();
    let commit = Commit::new(Author::Source { name }, changes);
    fixture.registry.commit(commit).await.unwrap().position
}

/// A balancer's report that it holds these back since a position; it names so many.
fn holding(position: Position, ids: &[&str], named: usize) -> Report {
    let mut hold = Hold::new(PoolId::standard(), position);
    for id in ids {
        hold.add(&format!("default/{id}").parse().unwrap());
    }
    hold.servers.truncate(named);
    Report {
        applied: Some(position),
        holds: vec![hold],
        ..balancer("b1")
    }
}

/// Another admin API, which saw nothing of what was before it started.
async fn late(fixture: &Fixture) -> Fixture {
    let late = Fixture::over(Arc::clone(&fixture.registry), args()).await;
    within(late.api.ready()).await;
    late
}

async fn weights(fixture: &Fixture) -> Value {
    let truth = fixture.registry.snapshot().await.unwrap().unwrap();
    let servers = truth.snapshot.servers.values();
    servers
        .map(|server| json!([server.value.id, server.value.weight]))
        .collect()
}

fn restored(answer: &Answer) -> &Value {
    &answer.body["restored"]
}

#[tokio::test]
async fn a_rejected_withdrawal_is_undone_with_the_ruling() {
    let fixture = fleet().await;
    let gone = withdraw(&fixture, &["a", "c"]).await;
    fixture.report(&holding(gone, &["a", "c"], 2)).await;
    assert_eq!(weights(&fixture).await, json!([["b", 2]]));
    let answer = fixture.post(REJECT, json!({})).await.expect(StatusCode::OK);
    assert_eq!(restored(&answer), &json!(["default/a", "default/c"]));
    assert_eq!(answer.body["ruling"]["decision"], "reject");
    assert_eq!(
        weights(&fixture).await,
        json!([["a", 1], ["b", 2], ["c", 3]])
    );
    let truth = fixture.registry.snapshot().await.unwrap().unwrap().snapshot;
    let ruling = &truth.holds[&PoolId::standard()].value;
    assert_eq!(
        (ruling.decision, ruling.revision, ruling.epoch),
        (HoldDecision::Reject, gone.revision, gone.epoch)
    );
    assert_eq!(truth.position.revision, gone.revision.next());
    let history = fixture.get("/v1/revisions?limit=1").await.body;
    assert_eq!(history[0]["reason"], "POST /v1/holds/default/reject");
    // What was ruled on is none any more, whoever still reports it.
    fixture
        .post(REJECT, json!({}))
        .await
        .expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_api_that_has_not_seen_them_finds_in_the_history_what_they_were() {
    let fixture = fleet().await;
    fixture
        .patch(&format!("{SERVERS}/a"), json!({"weight": 7}))
        .await
        .expect(StatusCode::OK);
    let gone = withdraw(&fixture, &["a", "b", "c"]).await;
    fixture.report(&holding(gone, &["a", "b", "c"], 3)).await;
    let late = late(&fixture).await;
    let answer = late.post(REJECT, json!({})).await.expect(StatusCode::OK);
    assert_eq!(restored(&answer).as_array().unwrap().len(), 3);
    assert_eq!(weights(&late).await, json!([["a", 7], ["b", 2], ["c", 3]]));
}

#[tokio::test]
async fn what_cannot_be_put_back_whole_is_left_as_it_is() {
    let fixture = fleet().await;
    let gone = withdraw(&fixture, &["a", "b", "c"]).await;
    let before = weights(&fixture).await;
    let late = late(&fixture).await;
    fixture.report(&holding(gone, &["a", "b", "c"], 2)).await;
    let answer = late.post(REJECT, json!({})).await.expect(StatusCode::GONE);
    assert!(
        answer.detail().contains("of 3 servers only 2"),
        "{}",
        answer.detail()
    );
    let unknown = Report {
        advertise: "b2".into(),
        ..holding(gone, &["never", "was"], 2)
    };
    fixture.report(&unknown).await;
    let answer = fixture
        .post(REJECT, json!({}))
        .await
        .expect(StatusCode::GONE);
    assert!(
        answer.detail().contains("default/never"),
        "{}",
        answer.detail()
    );
    assert_eq!(weights(&fixture).await, before);
}

#[tokio::test]
async fn a_server_whose_address_another_one_has_by_now_is_not_put_back() {
    let fixture = fleet().await;
    let gone = withdraw(&fixture, &["a", "b"]).await;
    fixture.report(&holding(gone, &["a", "b"], 2)).await;
    let late = late(&fixture).await;
    late.add("d", "10.0.0.1:80").await;
    let answer = late.post(REJECT, json!({})).await;
    let answer = answer.expect(StatusCode::CONFLICT);
    assert!(answer.detail().contains("default/d"), "{}", answer.detail());
}

#[tokio::test]
async fn a_rejection_is_of_all_that_is_held_and_of_nothing_else() {
    let fixture = fleet().await;
    let missing = fixture.post(REJECT, json!({})).await;
    let missing = missing.expect(StatusCode::NOT_FOUND);
    assert!(missing.detail().contains("hold"), "{}", missing.detail());
    let gone = withdraw(&fixture, &["a", "b"]).await;
    fixture.report(&holding(gone, &["a", "b"], 2)).await;
    for (body, field) in [
        (json!({"revision": gone.revision.0 - 1}), "revision"),
        (json!({"revision": gone.revision.0 + 1}), "revision"),
        (json!({"epoch": model::Epoch::random()}), "epoch"),
        (json!({"pool": "default"}), "pool"),
    ] {
        let answer = fixture.post(REJECT, body).await;
        let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.fields(), [field]);
    }
    let body = json!({"revision": gone.revision, "epoch": gone.epoch});
    fixture.post(REJECT, body).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn what_nobody_holds_cannot_be_confirmed_whatever_revision_is_named() {
    let fixture = fleet().await;
    let before = fixture.position().await;
    let answer = fixture.post(CONFIRM, json!({"revision": 2})).await;
    let answer = answer.expect(StatusCode::NOT_FOUND);
    assert_eq!(answer.detail(), "there is no hold of the pool \"default\"");
    assert_eq!(fixture.position().await, before, "no revision was made");
}

#[tokio::test]
async fn an_older_ruling_does_not_replace_a_later_one() {
    let fixture = fleet().await;
    let first = withdraw(&fixture, &["a", "b"]).await;
    let later = withdraw(&fixture, &["c"]).await;
    fixture.report(&holding(later, &["a", "b", "c"], 3)).await;
    fixture
        .post(CONFIRM, json!({}))
        .await
        .expect(StatusCode::OK);
    let ruled = fixture.position().await;
    let answer = fixture
        .post(CONFIRM, json!({"revision": first.revision}))
        .await;
    let answer = answer.expect(StatusCode::CONFLICT);
    let names_both = answer.detail().contains("\"default\"")
        && answer
            .detail()
            .contains(&format!("revision {}", later.revision));
    assert!(names_both, "{}", answer.detail());
    assert_eq!(fixture.position().await, ruled, "no revision was made");
    // What came after it can be ruled on, and one may say the same again.
    for revision in [later.revision, ruled.revision] {
        let body = json!({"revision": revision});
        fixture.post(CONFIRM, body).await.expect(StatusCode::OK);
    }
}

#[tokio::test]
async fn a_ruling_that_comes_late_is_not_taken_for_one_on_what_is_held_now() {
    let fixture = fleet().await;
    let earlier = withdraw(&fixture, &["a", "b"]).await;
    let report = holding(earlier, &["a", "b"], 2);
    fixture.report(&report).await;
    fixture.post(REJECT, json!({})).await.expect(StatusCode::OK);
    let now = withdraw(&fixture, &["a", "b"]).await;
    let report = Report {
        holds: holding(now, &["a", "b"], 2).holds,
        ..report
    };
    fixture.report(&report).await;
    let before = fixture.position().await;
    for path in [CONFIRM, REJECT] {
        for revision in [earlier.revision, Revision(now.revision.0 - 1)] {
            let answer = fixture.post(path, json!({"revision": revision})).await;
            let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
            let told = format!(
                "revision: must be at least that of what is held now, {}: look at it with roundhouse holds, and rule on that",
                now.revision
            );
            assert_eq!(answer.detail(), told, "{path}");
        }
    }
    assert_eq!(fixture.position().await, before, "no revision was made");
    let body = json!({"revision": now.revision});
    fixture.post(CONFIRM, body).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_repeated_ruling_answers_the_same() {
    for decision in ["confirm", "reject"] {
        let fixture = fleet().await;
        let gone = withdraw(&fixture, &["a", "b"]).await;
        fixture.report(&holding(gone, &["a", "b"], 2)).await;
        let path = format!("/v1/holds/default/{decision}");
        let send = async || {
            let call = fixture.request("POST", &path);
            call.header("idempotency-key", "k").send().await
        };
        let first = send().await.expect(StatusCode::OK);
        assert_eq!(first.body["ruling"]["decision"], *decision);
        let again = send().await.expect(StatusCode::OK);
        assert_eq!(again.body, first.body);
    }
}

#[tokio::test]
async fn verdicts_that_are_held_back_are_ruled_on_and_nothing_is_put_back() {
    let fixture = fleet().await;
    let truth = fixture.registry.snapshot().await.unwrap().unwrap().snapshot;
    let downs = truth.servers.iter().map(|(key, server)| {
        let verdict = Verdict {
            incarnation: server.incarnation,
            health: Health::Down,
            reason: "status 503".into(),
            silent_ms: 0,
            unknown: model::Unknown::default(),
        };
        Change::Verdict(key.clone(), Some(verdict))
    });
    let name = "inspector".into();
    let commit = Commit::new(Author::Source { name }, downs.collect());
    let given = fixture.registry.commit(commit).await.unwrap().position;
    // More than are named, all of them still there.
    fixture.report(&holding(given, &["a", "b", "c"], 2)).await;
    let answer = fixture.post(REJECT, json!({})).await.expect(StatusCode::OK);
    assert_eq!(restored(&answer), &json!([]));
    let truth = fixture.registry.snapshot().await.unwrap().unwrap().snapshot;
    let ruling = &truth.holds[&PoolId::standard()].value;
    assert_eq!(
        (ruling.decision, ruling.revision),
        (HoldDecision::Reject, given.revision)
    );
    assert!(
        truth
            .health
            .values()
            .all(|it| it.value.health == Health::Down)
    );
}

#[tokio::test]
async fn a_pool_that_went_with_its_servers_comes_back_with_them() {
    let memory = Arc::new(Memory::new());
    let fixture = Fixture::start_over(memory.clone()).await;
    fixture
        .post("/v1/pools", json!({"id": "web", "algorithm": "random"}))
        .await
        .expect(StatusCode::CREATED);
    for (id, port) in [("a", 80), ("b", 81)] {
        let body = json!({"id": id, "address": format!("10.0.0.1:{port}")});
        fixture
            .post("/v1/pools/web/servers", body)
            .await
            .expect(StatusCode::CREATED);
    }
    let web: PoolId = "web".parse().unwrap();
    let name = "discovery".into();
    let keys = ["web/a", "web/b"].map(|key| key.parse().unwrap());
    let servers = keys.map(|key| Change::Server(key, None));
    let changes = servers.into_iter().chain([Change::Pool(web.clone(), None)]);
    let commit = Commit::new(Author::Source { name }, changes.collect());
    let gone = memory.commit(commit).await.unwrap().position;
    let mut report = holding(gone, &[], 0);
    report.holds[0].pool = web.clone();
    for key in ["web/a", "web/b"] {
        report.holds[0].add(&key.parse().unwrap());
    }
    fixture.report(&report).await;
    let reject = "/v1/holds/web/reject";
    let answer = late(&fixture).await.post(reject, json!({})).await;
    let answer = answer.expect(StatusCode::OK);
    assert_eq!(restored(&answer), &json!(["web/a", "web/b"]));
    let truth = memory.snapshot().await.unwrap().unwrap().snapshot;
    assert_eq!(truth.pools[&web].value.algorithm, model::Algorithm::Random);
    assert_eq!(truth.servers.len(), 2);
    assert!(truth.position.revision > Revision(1));
}
