//! Its answers, its switches, its end.

use std::time::Duration;

use demo_servers::{Args, DemoServer};
use http::StatusCode;
use runtime::Supervisor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{self, SOON, get, post, request};

struct Running {
    server: DemoServer,
    supervisor: Supervisor,
}

impl Running {
    async fn start() -> Self {
        let supervisor = Supervisor::new();
        let args = Args::new("1", "127.0.0.1:0".parse().expect("an address"));
        let server = DemoServer::start(args, &supervisor)
            .await
            .expect("it starts");
        server.ready().await;
        Self { server, supervisor }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.address())
            .await
            .expect("it listens")
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let answer = get(self.server.address(), path).await.expect("an answer");
        (answer.status, answer.body)
    }

    async fn post(&self, path: &str) -> (StatusCode, String) {
        let answer = post(self.server.address(), path).await.expect("an answer");
        (answer.status, answer.body)
    }

    async fn stop(self) {
        self.supervisor.request_stop();
        self.supervisor.finished(SOON).await.expect("it ends");
        assert_eq!(self.supervisor.failure(), None);
    }
}

/// What a client sees that sends a request and reads to the end of the connection.
async fn exchange_raw(mut stream: TcpStream, path: &str) -> std::io::Result<Vec<u8>> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer).await {
        Ok(_) => Ok(answer),
        Err(error) => {
            assert!(answer.is_empty(), "something came before: {answer:?}");
            Err(error)
        }
    }
}

#[tokio::test]
async fn any_path_is_answered_with_the_name_in_one_line() {
    let running = Running::start().await;
    for path in ["/", "/a/b?c=d", "/-", "/health"] {
        let expected = (StatusCode::OK, "Hello from Server 1\n".to_owned());
        assert_eq!(running.get(path).await, expected, "{path}");
    }
    running.stop().await;
}

#[tokio::test]
async fn the_address_and_the_load_are_in_the_answer() {
    let running = Running::start().await;
    let address = running.server.address();
    let answer = get(address, "/").await.unwrap();
    assert_eq!(answer.headers["x-server-name"], "1");
    assert_eq!(answer.headers["x-server-address"], address.to_string());
    assert_eq!(answer.headers["x-server-load"], "1");
    let answer = request(address, "GET", "/", &[("accept", "application/json")])
        .await
        .unwrap();
    let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(json["message"], "Hello from Server 1");
    assert_eq!(json["address"], address.to_string());
    assert_eq!(running.get("/-/load").await.1, "0\n");
    running.stop().await;
}

#[tokio::test]
async fn a_failing_server_answers_503_to_health_checks_and_resets_the_rest_until_it_recovers() {
    let running = Running::start().await;
    assert_eq!(running.get("/-/health").await.0, StatusCode::OK);
    assert_eq!(running.post("/-/fail").await.0, StatusCode::OK);
    assert_eq!(
        running.get("/-/health").await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    for _ in 0..20 {
        let error = exchange_raw(running.connect().await, "/")
            .await
            .expect_err("a reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    assert_eq!(running.post("/-/recover").await.0, StatusCode::OK);
    assert_eq!(running.get("/-/health").await.0, StatusCode::OK);
    assert_eq!(running.get("/").await.0, StatusCode::OK);
    running.stop().await;
}

#[tokio::test]
async fn a_connection_that_was_in_use_is_reset_too() {
    let running = Running::start().await;
    let mut stream = running.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 200 "));
    running.post("/-/fail").await;
    let error = exchange_raw(stream, "/").await.expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    running.stop().await;
}

#[tokio::test]
async fn a_hanging_server_answers_nothing_but_its_switches_until_it_recovers() {
    let running = Running::start().await;
    running.post("/-/hang").await;
    let ordinary = tokio::spawn(exchange_raw(running.connect().await, "/"));
    let health = tokio::spawn(exchange_raw(running.connect().await, "/-/health"));
    // Both are in it once the ordinary one is counted and both are not answered.
    support::eventually("the request is in flight", async || {
        running.get("/-/load").await.1 == "1\n"
    })
    .await;
    assert!(!ordinary.is_finished() && !health.is_finished());
    running.post("/-/recover").await;
    for answer in [ordinary, health] {
        let answer = tokio::time::timeout(SOON, answer)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{answer:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_slow_server_answers_late_until_the_delay_is_taken_away() {
    let running = Running::start().await;
    running.post("/-/slow?ms=200").await;
    let begun = tokio::time::Instant::now();
    assert_eq!(running.get("/").await.0, StatusCode::OK);
    assert!(begun.elapsed() >= Duration::from_millis(200));
    running.post("/-/slow?ms=60000").await;
    running.post("/-/slow?ms=0").await;
    tokio::time::timeout(SOON, running.get("/"))
        .await
        .expect("no delay any more");
    running.stop().await;
}

#[tokio::test]
async fn a_switch_that_cannot_be_thrown_says_why_in_one_line() {
    let running = Running::start().await;
    for (path, status) in [
        ("/-/slow", StatusCode::BAD_REQUEST),
        ("/-/slow?ms=soon", StatusCode::BAD_REQUEST),
        ("/-/fail?now", StatusCode::BAD_REQUEST),
        ("/-/explode", StatusCode::NOT_FOUND),
    ] {
        let (answered, body) = running.post(path).await;
        assert_eq!(answered, status, "{path}");
        assert_eq!(body.trim_end().lines().count(), 1, "{body:?}");
    }
    assert_eq!(
        running.get("/-/fail").await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(running.get("/").await.0, StatusCode::OK);
    running.stop().await;
}

#[tokio::test]
async fn what_runs_is_finished_when_the_server_ends_and_the_port_is_free_then() {
    let running = Running::start().await;
    let address = running.server.address();
    running.post("/-/slow?ms=300").await;
    let slow = tokio::spawn(exchange_raw(running.connect().await, "/"));
    support::eventually("the request is in flight", async || {
        running.get("/-/load").await.1 == "1\n"
    })
    .await;
    running.stop().await;
    assert!(slow.await.unwrap().unwrap().starts_with(b"HTTP/1.1 200 "));
    runtime::bind(address).await.expect("the port is free");
}

#[tokio::test]
async fn a_hanging_server_still_ends() {
    let running = Running::start().await;
    running.post("/-/hang").await;
    let _hanging = tokio::spawn(exchange_raw(running.connect().await, "/"));
    support::eventually("the request is in flight", async || {
        running.get("/-/load").await.1 == "1\n"
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_said_with_the_port() {
    let running = Running::start().await;
    let args = Args::new("2", running.server.address());
    let error = DemoServer::start(args, &Supervisor::new())
        .await
        .expect_err("taken")
        .to_string();
    let port = running.server.address().port().to_string();
    assert!(
        error.contains("--listen") && error.contains(&port) && error.contains("in use"),
        "{error}"
    );
    running.stop().await;
}
