//! `/v1/pools`.

use hyper::StatusCode;
use serde_json::json;

use crate::harness::Fixture;

#[tokio::test]
async fn the_pool_default_is_there_with_every_default_and_cannot_be_removed() {
    let fixture = Fixture::start().await;
    let pool = fixture
        .get("/v1/pools/default")
        .await
        .expect(StatusCode::OK);
    assert_eq!(pool.body["algorithm"], "round_robin");
    assert_eq!(pool.body["health"]["interval"], "2s");
    assert_eq!(pool.body["revision"], 1);
    assert_eq!(fixture.get("/v1/pools").await.body, json!([pool.body]));
    let answer = fixture
        .delete("/v1/pools/default")
        .await
        .expect(StatusCode::CONFLICT);
    assert!(answer.detail().contains("default"));
}

#[tokio::test]
async fn a_pool_is_created_patched_replaced_and_removed() {
    let fixture = Fixture::start().await;
    let body = json!({"id": "web", "health": {"path": "/healthz", "interval": "500ms"}});
    let created = fixture
        .post("/v1/pools", body)
        .await
        .expect(StatusCode::CREATED);
    assert_eq!(created.header("location"), "/v1/pools/web");
    assert_eq!(created.header("etag"), "\"2\"");

    let patch = json!({"health": {"fall": 5}, "retry": {"retries": 0}});
    let patched = fixture
        .patch("/v1/pools/web", patch)
        .await
        .expect(StatusCode::OK);
    assert_eq!(patched.body["health"]["path"], "/healthz");
    assert_eq!(patched.body["health"]["fall"], 5);
    assert_eq!(patched.body["retry"]["retries"], 0);

    // What was read can be sent back.
    let mut whole = fixture.get("/v1/pools/web").await.body;
    whole["health"]["kind"] = json!("none");
    let replaced = fixture
        .put("/v1/pools/web", whole)
        .await
        .expect(StatusCode::OK);
    assert_eq!(replaced.body["health"]["fall"], 5);
    let reset = fixture
        .put("/v1/pools/web", json!({}))
        .await
        .expect(StatusCode::OK);
    assert_eq!(reset.body["health"]["kind"], "http");
    assert_eq!(reset.body["health"]["fall"], 3);

    let removed = fixture.delete("/v1/pools/web").await.expect(StatusCode::OK);
    assert_eq!(removed.body, json!({"id": "web", "revision": 6}));
    fixture
        .get("/v1/pools/web")
        .await
        .expect(StatusCode::NOT_FOUND);
    fixture
        .put("/v1/pools/new", json!({}))
        .await
        .expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_pool_that_still_has_servers_is_not_removed() {
    let fixture = Fixture::start().await;
    fixture
        .post("/v1/pools", json!({"id": "web"}))
        .await
        .expect(StatusCode::CREATED);
    let server = json!({"address": "10.0.0.1:80"});
    fixture
        .post("/v1/pools/web/servers", server)
        .await
        .expect(StatusCode::CREATED);
    let answer = fixture
        .delete("/v1/pools/web")
        .await
        .expect(StatusCode::CONFLICT);
    assert!(
        answer.detail().ends_with("1 server: remove it first"),
        "{}",
        answer.detail()
    );
    fixture
        .delete("/v1/pools/web/servers/s1")
        .await
        .expect(StatusCode::OK);
    fixture.delete("/v1/pools/web").await.expect(StatusCode::OK);
}

#[tokio::test]
async fn whatever_is_wrong_with_a_pool_is_named_by_path_and_nothing_is_written() {
    let fixture = Fixture::start().await;
    for (body, fields) in [
        (json!({}), vec!["id"]),
        (json!({"id": 7}), vec!["id"]),
        (json!({"id": "a b"}), vec!["id"]),
        (
            json!({"id": "web", "health": {"rise": "two"}}),
            vec!["health.rise"],
        ),
        (
            json!({"id": "web", "health": {"interval": "2"}}),
            vec!["health.interval"],
        ),
        (
            json!({"id": "web", "health": {"kind": "udp"}}),
            vec!["health.kind"],
        ),
        (json!({"id": "web", "algorithm": "best"}), vec!["algorithm"]),
        (
            json!({"id": "web", "health": {"status": ["200-"]}}),
            vec!["health.status[0]"],
        ),
        (
            json!({"id": "web", "health": {"interval": "1ms", "gentle": true}, "colour": 1}),
            vec!["health.interval", "health.gentle", "colour"],
        ),
        (
            json!({"id": "web", "health": {"kind": "tcp", "status": ["204"]}}),
            vec!["health.status"],
        ),
        (
            json!({"id": "web", "health": {"service": "shop.v1.Orders"}}),
            vec!["health.service"],
        ),
        (json!({"id": "web", "servers": {}}), vec!["servers"]),
    ] {
        let answer = fixture.post("/v1/pools", body.clone()).await;
        let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.fields(), fields, "{body}");
    }
    fixture
        .post("/v1/pools", json!({"id": "default"}))
        .await
        .expect(StatusCode::CONFLICT);
    let renamed = fixture
        .put("/v1/pools/default", json!({"id": "other"}))
        .await;
    assert_eq!(
        renamed.expect(StatusCode::UNPROCESSABLE_ENTITY).fields(),
        ["id"]
    );
    assert_eq!(fixture.position().await.revision.0, 1);
}

#[tokio::test]
async fn a_pool_shows_how_its_servers_are() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    fixture.add("b", "10.0.0.2:80").await;
    let pool = fixture.get("/v1/pools/default").await.body;
    assert_eq!(
        pool["servers"],
        json!({"total": 2, "up": 0, "down": 0, "unknown": 2})
    );
    let uninspected = json!({"health": {"kind": "none"}});
    let pool = fixture
        .patch("/v1/pools/default", uninspected)
        .await
        .expect(StatusCode::OK);
    assert_eq!(pool.body["servers"]["up"], 2);
}

#[tokio::test]
async fn a_pool_beyond_the_limit_is_refused() {
    let fixture = Fixture::start().await;
    for number in 1..1000 {
        let answer = fixture
            .put(&format!("/v1/pools/p{number}"), json!({}))
            .await;
        answer.expect(StatusCode::CREATED);
    }
    let answer = fixture
        .post("/v1/pools", json!({"id": "one-too-many"}))
        .await;
    assert!(
        answer
            .expect(StatusCode::CONFLICT)
            .detail()
            .contains("1000 pools")
    );
    // What is there can still be changed.
    let answer = fixture
        .patch("/v1/pools/p7", json!({"retry": {"retries": 1}}))
        .await;
    answer.expect(StatusCode::OK);
}
