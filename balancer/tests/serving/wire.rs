//! HTTP/1.1 as these tests speak it on either side: simple, and independent of the code under test.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// What nothing in these tests takes unless it is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Where every byte that is read is copied to.
pub(crate) type Tee = Arc<Mutex<Vec<u8>>>;

/// One end of a connection, with what was read too far.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    pub(crate) read: Vec<u8>,
    pub(crate) tee: Option<Tee>,
}

/// A message: a response or a request.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Up to the empty line, which is not part of it.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("no delay");
        Self {
            stream,
            read: Vec::new(),
            tee: None,
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = timeout(LIMIT, self.stream.write_all(bytes.as_ref())).await;
        sent.expect("sent in time").expect("sent");
    }

    /// Reads more; false at the end. A reset counts as the end.
    pub(crate) async fn more(&mut self) -> bool {
        let mut piece = [0; 16 << 10];
        let count = timeout(LIMIT, self.stream.read(&mut piece)).await;
        let count = count.expect("read in time").unwrap_or(0);
        self.read.extend_from_slice(&piece[..count]);
        if let Some(tee) = &self.tee {
            tee.lock()
                .expect("a lock")
                .extend_from_slice(&piece[..count]);
        }
        count > 0
    }

    /// The next head; nothing where the connection ends before.
    pub(crate) async fn head(&mut self) -> Option<String> {
        loop {
            let end = self.read.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head: Vec<u8> = self.read.drain(..end + 4).collect();
                return Some(String::from_utf8_lossy(&head[..end]).into_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// So many bytes; nothing where the connection ends before.
    pub(crate) async fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.read.len() < count {
            if !self.more().await {
                return None;
            }
        }
        Some(self.read.drain(..count).collect())
    }

    pub(crate) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.read.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Everything up to the end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// A message whose body is framed by its head; nothing where it is cut short. `bare`: there is no body whatever the head says.
    pub(crate) async fn message(&mut self, bare: bool) -> Option<Message> {
        let head = self.head().await?;
        let body = if bare {
            Vec::new()
        } else if field(&head, "transfer-encoding").is_some() {
            self.chunks().await?
        } else if let Some(length) = field(&head, "content-length") {
            self.bytes(length.parse().expect("a length")).await?
        } else if head.starts_with("HTTP/1.1 ")
            && field(&head, "connection") == Some("close".into())
        {
            self.rest().await
        } else {
            Vec::new()
        };
        Some(Message { head, body })
    }

    /// A chunked body up to its end, trailers left out.
    pub(crate) async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let size = usize::from_str_radix(line.split(';').next()?, 16).ok()?;
            if size == 0 {
                while !self.line().await?.is_empty() {}
                return Some(body);
            }
            body.extend(self.bytes(size).await?);
            assert_eq!(self.line().await?, "", "a chunk ends with its line");
        }
    }

    /// Whether the other side has ended the connection: nothing more comes.
    pub(crate) async fn is_ended(&mut self) -> bool {
        self.read.is_empty() && !self.more().await
    }
}

impl Message {
    pub(crate) fn status(&self) -> u16 {
        let status = self.head.get(9..12).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("no status in {:?}", self.head))
    }

    pub(crate) fn field(&self, name: &str) -> Option<String> {
        field(&self.head, name)
    }

    /// The status, and why it is the balancer's own; empty where it is a server's.
    pub(crate) fn verdict(&self) -> (u16, String) {
        let reason = self.field("roundhouse-reason").unwrap_or_default();
        let is_explained = reason.is_empty() || !self.body.is_empty();
        assert!(is_explained, "a short text says why: {}", self.head);
        (self.status(), reason)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The only value of a field.
pub(crate) fn field(head: &str, name: &str) -> Option<String> {
    let values: Vec<&str> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(one, _)| one.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect();
    assert!(values.len() <= 1, "{name} twice in {head}");
    values.first().map(|value| (*value).to_owned())
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
