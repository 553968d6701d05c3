//! What the API counts and logs of itself.

use std::io;
use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use hyper::StatusCode;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::harness::{Fixture, within};

/// Log lines, kept.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

async fn metrics(fixture: &Fixture) -> String {
    let address = fixture.api.ops_address().unwrap();
    let answer = fixture.request_to(address, "GET", "/metrics").open().await;
    let body = within(answer.into_body().collect()).await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn requests_are_counted_by_route_and_changes_and_waits_by_how_they_ended() {
    let fixture = Fixture::start().await;
    fixture.add("a", "10.0.0.1:80").await;
    fixture.get("/v1/pools/default/servers/a").await;
    fixture.get("/v1/pools/default/servers/b").await;
    fixture.request("BREW", "/v1/coffee").send().await;
    fixture
        .delete("/v1/pools/default/servers/a?wait=drained")
        .await
        .expect(StatusCode::OK);
    let text = metrics(&fixture).await;
    let route = r#"route="/v1/pools/{pool}/servers/{server}""#;
    for line in [
        format!(r#"roundhouse_admin_requests_total{{method="GET",{route},status="200"}} 1"#),
        format!(r#"roundhouse_admin_requests_total{{method="GET",{route},status="404"}} 1"#),
        r#"roundhouse_admin_requests_total{method="other",route="none",status="404"} 1"#.into(),
        "roundhouse_admin_changes_total 2".into(),
        r#"roundhouse_admin_waits_total{until="drained",outcome="done"} 1"#.into(),
        "roundhouse_admin_wait_seconds_count 1".into(),
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in {text}");
    }
}

#[tokio::test]
async fn each_change_is_logged_with_its_author_and_revision_and_nothing_secret() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(lines.clone());
    // Every task of this test runs on this thread.
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let fixture = crate::access::guarded().await;
    let authorization = format!("Bearer {}", crate::access::TOKEN);
    let call = fixture
        .request("POST", "/v1/pools")
        .header("authorization", &authorization);
    call.json(&json!({"id": "web"}))
        .send()
        .await
        .expect(StatusCode::CREATED);
    let call = fixture
        .request("GET", "/v1/pools")
        .header("authorization", &authorization);
    call.send().await.expect(StatusCode::OK);
    let refused = fixture
        .request("GET", "/v1/pools")
        .header("authorization", "Bearer a-wrong-token");
    refused.send().await.expect(StatusCode::UNAUTHORIZED);
    let text = lines.text();
    let changes: Vec<_> = text
        .lines()
        .filter(|line| line.contains("changed"))
        .collect();
    assert_eq!(changes.len(), 1, "{text}");
    for part in [
        "INFO",
        "deploy",
        "POST",
        "/v1/pools",
        "201",
        "revision=2",
        "duration=",
    ] {
        assert!(changes[0].contains(part), "{part} in {}", changes[0]);
    }
    for secret in [crate::access::TOKEN, "a-wrong-token"] {
        assert!(!text.contains(secret), "{text}");
    }
}
