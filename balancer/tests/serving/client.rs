//! Clients.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::wire::{LIMIT, Message, Wire};

/// A connection to the balancer.
pub(crate) async fn connect(address: SocketAddr) -> Wire {
    let stream = timeout(LIMIT, TcpStream::connect(address)).await;
    Wire::new(stream.expect("connected in time").expect("connected"))
}

impl Wire {
    /// Sends a request and reads the answer.
    pub(crate) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Option<Message> {
        let request = request.as_ref();
        self.send(request).await;
        self.message(request.starts_with(b"HEAD ")).await
    }

    /// A request with a body that reads as a request is answered for this reason, once, and the connection ends: what was not read of
    /// a body is never taken for the next request.
    pub(crate) async fn is_turned_away_with_a_body(&mut self, target: &str, reason: &str) {
        let body = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        let length = body.len();
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: shop\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let answer = self.ask(request).await.expect("an answer");
        assert_eq!(answer.verdict().1, reason);
        assert_eq!(answer.field("connection").as_deref(), Some("close"));
        assert!(self.is_ended().await, "another answer after {reason}");
    }

    pub(crate) async fn get(&mut self, path: &str) -> Message {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
        self.ask(request).await.expect("an answer")
    }
}

/// A request on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Message {
    connect(address).await.get(path).await
}

/// The same, while the test goes on.
pub(crate) fn begin(address: SocketAddr, path: &str) -> JoinHandle<Message> {
    let path = path.to_owned();
    tokio::spawn(async move { get(address, &path).await })
}

/// So many at the same time, all of which must be answered well.
pub(crate) async fn get_at_once(address: SocketAddr, count: usize) {
    let clients: Vec<_> = (0..count).map(|_| begin(address, "/")).collect();
    for client in clients {
        assert_eq!(client.await.expect("an answer").status(), 200);
    }
}

/// The same as `get`, with a body.
pub(crate) async fn post(address: SocketAddr, path: &str, body: &str) -> Message {
    let length = body.len();
    let request =
        format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{body}");
    connect(address)
        .await
        .ask(request)
        .await
        .expect("an answer")
}
