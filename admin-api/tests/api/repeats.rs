//! `Idempotency-Key`: a request that is sent again is not made again, and gets the same answer.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Answer, Fixture};

const SERVERS: &str = "/v1/pools/default/servers";
const SERVER: &str = "/v1/pools/default/servers/s1";

async fn send(fixture: &Fixture, method: &str, path: &str, key: &str, body: &Value) -> Answer {
    let call = fixture.request(method, path).header("idempotency-key", key);
    call.json(body).send().await
}

#[tokio::test]
async fn a_repeated_addition_adds_nothing_and_answers_the_same() {
    let fixture = Fixture::start().await;
    let body = json!({"address": "10.0.0.1:80"});
    let first = send(&fixture, "POST", SERVERS, "k1", &body)
        .await
        .expect(StatusCode::CREATED);
    let again = send(&fixture, "POST", SERVERS, "k1", &body)
        .await
        .expect(StatusCode::CREATED);
    assert_eq!(again.body, first.body);
    for name in ["location", "etag"] {
        assert_eq!(again.header(name), first.header(name));
    }
    // Also when the server has changed, or gone, since then.
    fixture
        .patch(SERVER, json!({"weight": 9}))
        .await
        .expect(StatusCode::OK);
    let again = send(&fixture, "POST", SERVERS, "k1", &body)
        .await
        .expect(StatusCode::CREATED);
    assert_eq!(again.body, first.body);
    fixture.delete(SERVER).await.expect(StatusCode::OK);
    let again = send(&fixture, "POST", SERVERS, "k1", &body)
        .await
        .expect(StatusCode::CREATED);
    assert_eq!(again.body, first.body);
    assert_eq!(fixture.get(SERVERS).await.body, json!([]));
}

#[tokio::test]
async fn a_repeated_removal_answers_the_same() {
    let fixture = Fixture::start().await;
    fixture.add("s1", "10.0.0.1:80").await;
    let path = format!("{SERVER}?wait=applied");
    let first = send(&fixture, "DELETE", &path, "k1", &Value::Null);
    let first = first.await.expect(StatusCode::OK);
    let again = send(&fixture, "DELETE", &path, "k1", &Value::Null)
        .await
        .expect(StatusCode::OK);
    assert_eq!(again.body["revision"], first.body["revision"]);
    assert_eq!(
        (&again.body["id"], &again.body["wait"]["done"]),
        (&json!("s1"), &json!(true))
    );
}

#[tokio::test]
async fn a_repeated_patch_does_not_undo_a_later_one() {
    let fixture = Fixture::start().await;
    fixture.add("s1", "10.0.0.1:80").await;
    let first = send(&fixture, "PATCH", SERVER, "k1", &json!({"weight": 2})).await;
    let first = first.expect(StatusCode::OK);
    fixture
        .patch(SERVER, json!({"weight": 3}))
        .await
        .expect(StatusCode::OK);
    let again = send(&fixture, "PATCH", SERVER, "k1", &json!({"weight": 2})).await;
    assert_eq!(again.expect(StatusCode::OK).body, first.body);
    assert_eq!(fixture.get(SERVER).await.body["weight"], 3);
}

#[tokio::test]
async fn a_key_that_comes_with_another_body_is_refused_and_nothing_is_changed() {
    let fixture = Fixture::start().await;
    let body = json!({"address": "10.0.0.1:80", "weight": 2});
    let first = send(&fixture, "POST", SERVERS, "k1", &body).await;
    let first = first.expect(StatusCode::CREATED);
    let patch = send(&fixture, "PATCH", SERVER, "k1", &json!({"weight": 3})).await;
    patch.expect(StatusCode::OK);
    // Whether or not the other request could be made now.
    for (method, path, body) in [
        ("POST", SERVERS, json!({"address": "10.0.0.2:80"})),
        ("POST", SERVERS, json!({"address": "10.0.0.1:80"})),
        ("PATCH", SERVER, json!({"weight": 4})),
    ] {
        let refused = send(&fixture, method, path, "k1", &body).await;
        let refused = refused.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(
            refused.body["type"],
            "urn:roundhouse:problem:idempotency-key"
        );
        assert!(refused.detail().contains("Idempotency-Key"));
    }
    assert_eq!(fixture.get(SERVER).await.body["weight"], 3);
    let servers = fixture.get(SERVERS).await.body;
    assert_eq!(servers.as_array().map(Vec::len), Some(1));
    // The same fields in another order are the same request, and so is one that waits.
    let again = fixture
        .request("POST", &format!("{SERVERS}?wait=applied"))
        .header("idempotency-key", "k1")
        .text(r#"{ "weight": 2, "address": "10.0.0.1:80" }"#);
    let again = again.send().await.expect(StatusCode::CREATED);
    assert_eq!(again.body["revision"], first.body["revision"]);
}

#[tokio::test]
async fn a_key_speaks_of_its_own_method_and_path_alone() {
    let fixture = Fixture::start().await;
    let body = json!({"address": "10.0.0.1:80"});
    send(&fixture, "POST", SERVERS, "k1", &body)
        .await
        .expect(StatusCode::CREATED);
    send(&fixture, "PATCH", SERVER, "k1", &json!({"weight": 2}))
        .await
        .expect(StatusCode::OK);
    assert_eq!(fixture.get(SERVER).await.body["weight"], 2);
    // A refused request leaves its key free.
    let taken = send(&fixture, "POST", SERVERS, "k2", &body).await;
    taken.expect(StatusCode::CONFLICT);
    let body = json!({"address": "10.0.0.2:80"});
    send(&fixture, "POST", SERVERS, "k2", &body)
        .await
        .expect(StatusCode::CREATED);
    let long = "x".repeat(256);
    let refused = send(&fixture, "POST", SERVERS, &long, &body).await;
    assert!(
        refused
            .expect(StatusCode::BAD_REQUEST)
            .detail()
            .contains("Idempotency-Key")
    );
}
