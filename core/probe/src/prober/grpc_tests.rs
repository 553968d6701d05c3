//! Checks over HTTP/2: by gRPC against the health service that tonic's users run, by status, and against servers that speak something else.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

use super::*;

fn check(service: &str) -> HealthCheck {
    HealthCheck {
        kind: CheckKind::Grpc,
        service: service.into(),
        timeout: Duration::from_secs(5),
        ..HealthCheck::default()
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// A server with nothing but tonic's health service.
async fn health_server() -> (HealthReporter, SocketAddr) {
    let (reporter, service) = health_reporter();
    let (listener, address) = listener().await;
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(
        Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming),
    );
    (reporter, address)
}

async fn said(prober: &mut Prober, check: &HealthCheck) -> String {
    match prober.probe(check, Protocol::Http1).await {
        Ok(()) => "serving".into(),
        Err(failure) => failure.to_string(),
    }
}

#[tokio::test]
async fn a_service_is_as_healthy_as_it_says() {
    let (reporter, address) = health_server().await;
    let mut prober = Prober::new(address);
    assert_eq!(said(&mut prober, &check("")).await, "serving");
    let orders = check("shop.v1.Orders");
    let unknown = "gRPC status NOT_FOUND: there is no such service";
    assert_eq!(said(&mut prober, &orders).await, unknown);
    for (status, wanted) in [
        (ServingStatus::Serving, "serving"),
        (ServingStatus::NotServing, "gRPC health is NOT_SERVING"),
        (ServingStatus::Unknown, "gRPC health is UNKNOWN"),
        (ServingStatus::Serving, "serving"),
    ] {
        reporter.set_service_status("shop.v1.Orders", status).await;
        assert_eq!(said(&mut prober, &orders).await, wanted);
        assert!(prober.is_connected(), "an answer was read to its end");
    }
    let long = "long.".repeat(50);
    reporter
        .set_service_status(&long, ServingStatus::Serving)
        .await;
    assert_eq!(said(&mut prober, &check(&long)).await, "serving");
    assert_eq!(said(&mut prober, &check("")).await, "serving");
}

#[tokio::test]
async fn one_connection_serves_check_after_check_until_the_server_ends_it() {
    let (_reporter, service) = health_reporter();
    let (listener, address) = listener().await;
    let (accepted, mut connections) = mpsc::unbounded_channel();
    let (end, mut ended) = mpsc::unbounded_channel::<()>();
    tokio::spawn(async move {
        let service = hyper_util::service::TowerToHyperService::new(service);
        while let Ok((stream, _)) = listener.accept().await {
            accepted.send(()).expect("the test listens");
            let io = hyper_util::rt::TokioIo::new(stream);
            let executor = hyper_util::rt::TokioExecutor::new();
            let mut connection = std::pin::pin!(
                hyper::server::conn::http2::Builder::new(executor)
                    .serve_connection(io, service.clone())
            );
            tokio::select! {
                _ = connection.as_mut() => {}
                _ = ended.recv() => {}
            }
        }
    });
    let mut prober = Prober::new(address);
    for _ in 0..3 {
        assert_eq!(said(&mut prober, &check("")).await, "serving");
    }
    connections.recv().await.expect("a connection");
    assert!(connections.try_recv().is_err(), "a second connection");
    end.send(()).expect("the server listens");
    assert_eq!(said(&mut prober, &check("")).await, "serving");
    connections.recv().await.expect("a second connection");
}

#[tokio::test]
async fn a_server_without_the_health_service_is_down() {
    let (listener, address) = listener().await;
    let routes = tonic::service::Routes::default();
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(
        Server::builder()
            .add_routes(routes)
            .serve_with_incoming(incoming),
    );
    let mut prober = Prober::new(address);
    let unimplemented = "gRPC status UNIMPLEMENTED: there is no health service";
    assert_eq!(said(&mut prober, &check("")).await, unimplemented);
}

#[tokio::test]
async fn a_server_that_speaks_another_protocol_is_called_so() {
    let address = tests::answering(
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    )
    .await;
    let failure = Prober::new(address)
        .probe(&check(""), Protocol::Http1)
        .await;
    let failure = failure.expect_err("a failure");
    assert_eq!(failure.kind(), "protocol", "{failure}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_longer_than_the_timeout() {
    let (_listener, address) = listener().await;
    let hurried = HealthCheck {
        timeout: Duration::from_millis(100),
        ..check("")
    };
    let failure = Prober::new(address).probe(&hurried, Protocol::Http1).await;
    let failure = failure.expect_err("a failure");
    assert_eq!(failure.to_string(), "timed out after 100ms");
}

#[tokio::test]
async fn a_check_by_http_after_one_by_grpc_uses_a_connection_of_its_own() {
    let (_reporter, address) = health_server().await;
    let mut prober = Prober::new(address);
    assert_eq!(said(&mut prober, &check("")).await, "serving");
    let http = HealthCheck {
        kind: CheckKind::Http,
        ..check("")
    };
    assert!(
        prober.probe(&http, Protocol::Http1).await.is_err(),
        "tonic speaks HTTP/2 alone"
    );
    assert_eq!(said(&mut prober, &check("")).await, "serving");
}

#[tokio::test]
async fn a_check_by_status_goes_over_http2_where_that_is_spoken_with_the_pools_servers() {
    let (listener, address) = listener().await;
    let (accepted, mut connections) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            accepted.send(()).expect("the test listens");
            let mut requests = h2::server::handshake(stream).await.expect("a client");
            while let Some(Ok((request, mut respond))) = requests.accept().await {
                let status = match request.uri().to_string().as_str() {
                    "http://app.example/-/health?deep=1" => 204,
                    _ => 503,
                };
                let answer = http::Response::builder().status(status).body(());
                let answer = answer.expect("an answer");
                respond.send_response(answer, true).expect("sent");
            }
        }
    });
    let good = HealthCheck {
        kind: CheckKind::Http,
        path: "/-/health?deep=1".into(),
        host: Some("app.example".into()),
        ..check("")
    };
    let bad = HealthCheck {
        host: None,
        ..good.clone()
    };
    let mut prober = Prober::new(address);
    for _ in 0..3 {
        assert_eq!(prober.probe(&good, Protocol::H2).await, Ok(()));
        let failed = prober.probe(&bad, Protocol::H2).await;
        assert_eq!(failed, Err(Failure::Status(503)));
    }
    connections.recv().await.expect("a connection");
    assert!(connections.try_recv().is_err(), "a second connection");
}
