//! Servers that follow a script.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::wire::{Message, Wire, eventually};

/// A server; it ends when dropped, and its connections with it.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
    accepting: AbortHandle,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    open: AtomicUsize,
    requests: AtomicUsize,
    /// From which port the connection came that was accepted last.
    latest_port: AtomicU16,
}

/// One connection to a server, counted.
pub(crate) struct Link {
    pub(crate) wire: Wire,
    /// Dropped after the connection, so that one which no longer counts is closed.
    open: Open,
}

/// Counts a connection while it is open.
struct Open(Arc<Counts>);

/// Clients that wait to be accepted, at most: more than any test has at a time. Whoever came on top would be heard a second later.
const BACKLOG: u32 = 1024;

fn listen(address: SocketAddr) -> TcpListener {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.expect("a socket");
    socket.set_reuseaddr(true).expect("an option");
    socket.bind(address).expect("a port");
    socket.listen(BACKLOG).expect("a listener")
}

impl Upstream {
    /// Runs the script for each connection.
    pub(crate) async fn start<F: Future<Output = ()> + Send + 'static>(
        script: impl Fn(Link) -> F + Send + 'static,
    ) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), script).await
    }

    async fn start_at<F: Future<Output = ()> + Send + 'static>(
        address: SocketAddr,
        script: impl Fn(Link) -> F + Send + 'static,
    ) -> Self {
        let listener = listen(address);
        let address = listener.local_addr().expect("an address");
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        let accepting = tokio::spawn(async move {
            let mut links = JoinSet::new();
            while let Ok((stream, peer)) = listener.accept().await {
                counted.connections.fetch_add(1, Ordering::SeqCst);
                counted.open.fetch_add(1, Ordering::SeqCst);
                counted.latest_port.store(peer.port(), Ordering::SeqCst);
                links.spawn(script(Link {
                    wire: Wire::new(stream),
                    open: Open(Arc::clone(&counted)),
                }));
            }
        });
        Self {
            address,
            counts,
            accepting: accepting.abort_handle(),
        }
    }

    /// Answers each request with this text.
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::named_at(([127, 0, 0, 1], 0).into(), name).await
    }

    /// The same at this address. One of 127.0.0.1 that has just come free may be taken already, by whoever asks for any port.
    pub(crate) async fn named_at(address: SocketAddr, name: &'static str) -> Self {
        Self::start_at(address, async move |mut link: Link| {
            while let Some(request) = link.request().await {
                link.answer(&request, name).await;
            }
        })
        .await
    }

    /// Answers each request with its own head.
    pub(crate) async fn echoing() -> Self {
        Self::start(async |mut link: Link| {
            while let Some(request) = link.request().await {
                let head = request.head.clone();
                link.answer(&request, &head).await;
            }
        })
        .await
    }

    /// Answers each request with this text after a while.
    pub(crate) async fn late(name: &'static str, after: Duration) -> Self {
        Self::start(move |mut link: Link| async move {
            while let Some(request) = link.request().await {
                tokio::time::sleep(after).await;
                link.answer(&request, name).await;
            }
        })
        .await
    }

    /// Answers each request with these bytes, for as long as the connection lasts.
    pub(crate) async fn answering(answer: &'static str) -> Self {
        Self::start(move |mut link: Link| async move {
            while link.request().await.is_some() {
                link.wire.send(answer).await;
            }
        })
        .await
    }

    /// Reads each request, and resets the connection instead of answering.
    pub(crate) async fn resetting() -> Self {
        Self::start(async |mut link: Link| {
            link.request().await;
            link.reset();
        })
        .await
    }

    /// Accepts connections and says nothing.
    pub(crate) async fn silent() -> Self {
        Self::start(async |mut link: Link| {
            link.wire.rest().await;
        })
        .await
    }

    /// Ends it, and returns when nobody can connect any more.
    pub(crate) async fn end(self) {
        let address = self.address;
        drop(self);
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    /// Returns once it has read every connection to its end. Nobody may be connecting to it any more.
    pub(crate) async fn has_heard_all(&self) {
        // They are accepted in the order in which they came: once this one is, none is left.
        let last = TcpStream::connect(self.address).await.expect("connected");
        let port = last.local_addr().expect("an address").port();
        drop(last);
        let is_accepted = || self.counts.latest_port.load(Ordering::SeqCst) == port;
        eventually("the last connection is accepted", is_accepted).await;
        eventually("all were read to their ends", || self.open() == 0).await;
    }

    /// How many connections it has accepted.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// How many connections it has open.
    pub(crate) fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// How many whole requests it has read.
    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }
}

/// An address where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// Connections to a port that the kernel calls established: neither side has closed, whether or not anyone has read that yet.
pub(crate) fn established(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let local = format!("0100007F:{port:04X}");
    let is_one = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some(&local) && words.nth(1) == Some("01")
    };
    table.lines().filter(is_one).count()
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Link {
    /// The next whole request; nothing at the end.
    pub(crate) async fn request(&mut self) -> Option<Message> {
        let request = self.wire.message(false).await?;
        self.counted();
        Some(request)
    }

    /// The next request's head.
    pub(crate) async fn head(&mut self) -> Option<String> {
        let head = self.wire.head().await?;
        self.counted();
        Some(head)
    }

    pub(crate) fn counted(&self) {
        self.open.0.requests.fetch_add(1, Ordering::SeqCst);
    }

    /// An ordinary answer.
    pub(crate) async fn answer(&mut self, request: &Message, body: &str) {
        let length = body.len();
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        if !request.head.starts_with("HEAD ") {
            answer.push_str(body);
        }
        self.wire.send(answer).await;
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        self.wire.stream.set_zero_linger().expect("linger");
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}
