//! gRPC to servers: tonic's health service behind a balancer, called by a client of HTTP/1.1 that takes trailers.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

use crate::fleet::Fleet;
use crate::h2_servers::h2_pool;
use crate::wire::{Wire, field};

async fn health_server() -> (HealthReporter, SocketAddr) {
    let (reporter, service) = health_reporter();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(
        Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming),
    );
    (reporter, address)
}

/// Begins a call whose one message asks for this service.
async fn call(client: &mut Wire, method: &str, service: &str) {
    let name = u8::try_from(service.len()).expect("a short name");
    let message = [&[0x0a, name], service.as_bytes()].concat();
    let framed = [&[0, 0, 0, 0, name + 2], &message[..]].concat();
    let head = format!(
        "POST /grpc.health.v1.Health/{method} HTTP/1.1\r\nHost: health\r\nContent-Type: application/grpc\r\n\
         TE: trailers\r\nConnection: TE\r\nContent-Length: {}\r\n\r\n",
        framed.len()
    );
    client.send([head.as_bytes(), &framed].concat()).await;
}

/// The next chunk's content.
async fn chunk(client: &mut Wire) -> Vec<u8> {
    let size = client.line().await.expect("a chunk's line");
    let size = usize::from_str_radix(&size, 16).expect("a size");
    let content = client.bytes(size).await.expect("a chunk");
    if size > 0 {
        assert_eq!(client.line().await.as_deref(), Some(""));
    }
    content
}

/// The trailers, once the last chunk was read.
async fn trailers(client: &mut Wire) -> String {
    let mut lines = String::from("trailers\r\n");
    loop {
        match client.line().await.expect("a line").as_str() {
            "" => return lines,
            line => lines = lines + line + "\r\n",
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calls_status_comes_in_the_trailers() {
    let (reporter, address) = health_server().await;
    reporter
        .set_service_status("shop", ServingStatus::NotServing)
        .await;
    let fleet = Fleet::at(h2_pool(), &[address], &["--threads", "1"]).await;
    let mut client = fleet.client().await;
    for (service, status) in [("", vec![8, 1]), ("shop", vec![8, 2])] {
        call(&mut client, "Check", service).await;
        let head = client.head().await.expect("a head");
        assert_eq!(
            field(&head, "content-type").as_deref(),
            Some("application/grpc")
        );
        assert_eq!(
            chunk(&mut client).await,
            [vec![0, 0, 0, 0, 2], status].concat()
        );
        assert!(chunk(&mut client).await.is_empty(), "the last chunk");
        let trailers = trailers(&mut client).await;
        assert_eq!(field(&trailers, "grpc-status").as_deref(), Some("0"));
    }
    // An error has no message, and its status stands in the head.
    call(&mut client, "Check", "unknown").await;
    let answer = client.message(false).await.expect("an answer");
    assert_eq!(answer.field("grpc-status").as_deref(), Some("5"));
    assert_eq!((answer.status(), answer.body.len()), (200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_messages_brings_each_as_it_is_sent() {
    let (reporter, address) = health_server().await;
    let fleet = Fleet::at(h2_pool(), &[address], &["--threads", "1"]).await;
    let mut client = fleet.client().await;
    call(&mut client, "Watch", "").await;
    client.head().await.expect("a head");
    let message = |status| [0, 0, 0, 0, 2, 8, status];
    assert_eq!(chunk(&mut client).await, message(1));
    for _ in 0..3 {
        reporter
            .set_service_status("", ServingStatus::NotServing)
            .await;
        assert_eq!(chunk(&mut client).await, message(2));
        reporter
            .set_service_status("", ServingStatus::Serving)
            .await;
        assert_eq!(chunk(&mut client).await, message(1));
    }
}
