//! Entity tags: changes to what is not as the client last saw it, and reads of what it has already.

use hyper::StatusCode;
use model::{Author, Change, Health, Revision, Verdict};
use registry::Commit;
use serde_json::json;

use crate::harness::Fixture;

const SERVER: &str = "/v1/pools/default/servers/a";

#[tokio::test]
async fn a_change_to_what_was_changed_meanwhile_is_refused_with_both_tags() {
    let fixture = Fixture::start().await;
    let tag = fixture
        .add("a", "10.0.0.1:80")
        .await
        .header("etag")
        .to_owned();
    let body = json!({"weight": 2});
    let first = fixture
        .request("PATCH", SERVER)
        .header("if-match", &tag)
        .json(&body)
        .send()
        .await;
    assert_eq!(first.expect(StatusCode::OK).header("etag"), "\"3\"");
    for method in ["PATCH", "PUT", "DELETE"] {
        let body = json!({"address": "10.0.0.9:80"});
        let stale = fixture
            .request(method, SERVER)
            .header("if-match", &tag)
            .json(&body)
            .send()
            .await;
        let stale = stale.expect(StatusCode::PRECONDITION_FAILED);
        assert!(
            stale.detail().contains("\"2\"") && stale.detail().contains("\"3\""),
            "{}",
            stale.detail()
        );
        assert_eq!(stale.header("etag"), "\"3\"");
    }
    assert_eq!(fixture.get(SERVER).await.body["address"], "10.0.0.1:80");
}

#[tokio::test]
async fn health_never_spoils_an_if_match() {
    let fixture = Fixture::start().await;
    let tag = fixture
        .add("a", "10.0.0.1:80")
        .await
        .header("etag")
        .to_owned();
    let verdict = Verdict {
        incarnation: Revision(2),
        health: Health::Up,
        reason: String::new(),
        silent_ms: 0,
        unknown: model::Unknown::default(),
    };
    let change = Change::Verdict("default/a".parse().unwrap(), Some(verdict));
    let name = "test".into();
    let commit = Commit::new(Author::Source { name }, vec![change]);
    fixture.registry.commit(commit).await.unwrap();
    let body = json!({"weight": 2});
    let answer = fixture
        .request("PATCH", SERVER)
        .header("if-match", &tag)
        .json(&body)
        .send()
        .await;
    let answer = answer.expect(StatusCode::OK);
    assert_eq!(
        (&answer.body["health"], answer.header("etag")),
        (&json!("up"), "\"4\"")
    );
}

#[tokio::test]
async fn if_none_match_any_only_creates() {
    let fixture = Fixture::start().await;
    let body = json!({"address": "10.0.0.1:80"});
    let put = || {
        fixture
            .request("PUT", SERVER)
            .header("if-none-match", "*")
            .json(&body)
            .send()
    };
    put().await.expect(StatusCode::CREATED);
    put().await.expect(StatusCode::PRECONDITION_FAILED);
    let other = "/v1/pools/default/servers/b";
    let answer = fixture
        .request("PUT", other)
        .header("if-match", "*")
        .json(&body)
        .send()
        .await;
    answer.expect(StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn a_reader_that_has_it_is_not_sent_it_again() {
    let fixture = Fixture::start().await;
    let tag = fixture
        .add("a", "10.0.0.1:80")
        .await
        .header("etag")
        .to_owned();
    for path in [SERVER, "/v1/pools/default"] {
        let tag = fixture.get(path).await.header("etag").to_owned();
        let again = fixture
            .request("GET", path)
            .header("if-none-match", &tag)
            .send()
            .await;
        let again = again.expect(StatusCode::NOT_MODIFIED);
        assert_eq!(again.header("etag"), tag);
        assert!(again.body.is_null());
    }
    fixture
        .patch(SERVER, json!({"weight": 2}))
        .await
        .expect(StatusCode::OK);
    let changed = fixture
        .request("GET", SERVER)
        .header("if-none-match", &tag)
        .send()
        .await;
    changed.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_condition_that_cannot_be_read_is_no_condition_that_holds() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    let answer = fixture
        .request("DELETE", SERVER)
        .header("if-match", "2")
        .send()
        .await;
    let answer = answer.expect(StatusCode::BAD_REQUEST);
    assert!(answer.detail().contains("If-Match"), "{}", answer.detail());
    fixture.get(SERVER).await.expect(StatusCode::OK);
}
