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
