//! Requests that are not as they should be.

use hyper::StatusCode;
use serde_json::json;

use crate::harness::Fixture;

const SERVERS: &str = "/v1/pools/default/servers";

#[tokio::test]
async fn a_malformed_body_is_refused_with_its_place() {
    let fixture = Fixture::start().await;
    let answer = fixture
        .request("POST", SERVERS)
        .text("{\"address\": \"10.0.0.1:80\",}")
        .send()
        .await;
    let answer = answer.expect(StatusCode::BAD_REQUEST);
    assert!(
        answer.detail().contains("line 1, column 27"),
        "{}",
        answer.detail()
    );
    assert_eq!(answer.header("content-type"), "application/problem+json");
    for body in ["", "[1]", "null", "{} {}", "\u{0}"] {
        let answer = fixture.request("POST", SERVERS).text(body).send().await;
        assert!(
            answer.status.is_client_error(),
            "{body:?}: {}",
            answer.status
        );
    }
    assert_eq!(fixture.position().await.revision.0, 1);
}

#[tokio::test]
async fn a_field_that_is_given_twice_is_refused_by_name_and_nothing_is_written() {
    let fixture = Fixture::start().await;
    let body = r#"{"address":"10.0.0.1:80","weight":1,"address":"10.0.0.2:80"}"#;
    let answer = fixture.request("POST", SERVERS).text(body).send().await;
    let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.fields(), ["address"]);
    assert_eq!(answer.detail(), "address: is given more than once");
    assert_eq!(fixture.position().await.revision.0, 1);
}

#[tokio::test]
async fn curl_needs_no_header_to_send_json() {
    let fixture = Fixture::start().await;
    let body = r#"{"address":"127.0.0.1:3009"}"#;
    let call = fixture.request("POST", SERVERS).text(body);
    let call = call.header("content-type", "application/x-www-form-urlencoded");
    call.send().await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_large_or_foreign_body_is_refused() {
    let fixture = Fixture::start().await;
    let body = json!({"address": "10.0.0.1:80", "zone": "x".repeat(100 * 1024)});
    fixture
        .post(SERVERS, body)
        .await
        .expect(StatusCode::PAYLOAD_TOO_LARGE);
    for (name, value) in [("content-type", "text/xml"), ("content-encoding", "gzip")] {
        let call = fixture
            .request("POST", SERVERS)
            .text("{}")
            .header(name, value);
        call.send().await.expect(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}

#[tokio::test]
async fn an_unknown_path_or_method_is_a_problem_too() {
    let fixture = Fixture::start().await;
    for path in [
        "/",
        "/v1",
        "/v2/pools",
        "/v1/pools/",
        "/v1/pools/%ff",
        "/livez",
    ] {
        let answer = fixture.get(path).await.expect(StatusCode::NOT_FOUND);
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{path}"
        );
        assert_eq!(answer.body["title"], "Not Found");
    }
    let answer = fixture
        .delete("/v1/pools")
        .await
        .expect(StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.header("allow"), "GET,HEAD,POST");
    assert!(answer.detail().contains("DELETE"));
}

#[tokio::test]
async fn head_answers_as_get_without_a_body() {
    let fixture = Fixture::start().await;
    let get = fixture.get("/v1/pools/default").await;
    let head = fixture
        .request("HEAD", "/v1/pools/default")
        .send()
        .await
        .expect(StatusCode::OK);
    assert!(head.body.is_null());
    for name in ["etag", "content-type", "content-length"] {
        assert!(!get.header(name).is_empty());
        assert_eq!(head.header(name), get.header(name));
    }
}

#[tokio::test]
async fn a_wait_that_cannot_be_is_refused_before_anything_is_changed() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    for (method, path, field) in [
        ("DELETE", "/v1/pools/default/servers/a?wait=forever", "wait"),
        (
            "DELETE",
            "/v1/pools/default/servers/a?wait=applied&timeout=soon",
            "timeout",
        ),
        ("DELETE", "/v1/pools/default/servers/a?wiat=applied", "wiat"),
        ("PATCH", "/v1/pools/default/servers/a?wait=drained", "wait"),
        ("PATCH", "/v1/pools/default?wait=drained", "wait"),
    ] {
        let body = json!({"retry": null});
        let body = if path.contains("servers") {
            json!({"weight": 2})
        } else {
            body
        };
        let answer = fixture.request(method, path).json(&body).send().await;
        let answer = answer.expect(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.fields(), [field], "{path}");
    }
    assert_eq!(fixture.position().await.revision.0, 2);
}
