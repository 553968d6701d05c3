//! What the two processes say to each other: a line of JSON each, and one word at the end.

use std::io;
use std::time::Duration;

use model::InstanceId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

/// The version of all that is said and passed. Another one is refused: descriptors that one side does not know of would be lost.
pub(crate) const VERSION: u32 = 2;

/// How long the other side may take to say a line that it has ready.
const LINE_WITHIN: Duration = Duration::from_secs(10);

/// The longest line: an offer that names some thousand predecessors.
const LINE_MAX: usize = 64 << 10;

/// The successor's first line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Greeting {
    pub(crate) version: u32,
    /// Who it is; absent in a version that says it otherwise.
    #[serde(default)]
    pub(crate) instance: Option<InstanceId>,
}

/// What it is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Offer(Offer),
    /// Why not, for people.
    Refusal(String),
}

/// What follows as descriptors, in this order: the Unix socket itself, the ops listener, the clients' listeners, those for TLS, and the
/// connections to earlier processes that have not ended yet.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Offer {
    pub(crate) instance: InstanceId,
    pub(crate) clients: usize,
    /// Listeners for TLS.
    pub(crate) secure: usize,
    /// Whether whoever started the first process keeps these open as well.
    pub(crate) kept_elsewhere: bool,
    /// The same of those for TLS.
    pub(crate) secure_kept_elsewhere: bool,
    /// Whether it was the same with the ops listener.
    pub(crate) ops_passed: bool,
    pub(crate) beside: Vec<InstanceId>,
}

impl Offer {
    /// How many descriptors there are.
    pub(crate) fn descriptors(&self) -> usize {
        2 + self.clients + self.secure + self.beside.len()
    }
}

/// The successor's last line: it accepts.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    Serving,
}

pub(crate) async fn say(stream: &UnixStream, line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string(line).expect("a line holds nothing that JSON cannot");
    text.push('\n');
    let written = tokio::time::timeout(LINE_WITHIN, write(stream, text.as_bytes())).await;
    written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn write(stream: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The other side's next line, which it has ready.
pub(crate) async fn hear<T: DeserializeOwned>(stream: &UnixStream) -> io::Result<T> {
    let heard = tokio::time::timeout(LINE_WITHIN, hear_when_said(stream)).await;
    heard.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// The same, whenever it is said. Not one byte more is read: descriptors come with the next one.
pub(crate) async fn hear_when_said<T: DeserializeOwned>(stream: &UnixStream) -> io::Result<T> {
    let mut line = Vec::new();
    loop {
        match byte(stream).await? {
            b'\n' => return Ok(serde_json::from_slice(&line)?),
            _ if line.len() == LINE_MAX => return Err(io::ErrorKind::InvalidData.into()),
            byte => line.push(byte),
        }
    }
}

async fn byte(stream: &UnixStream) -> io::Result<u8> {
    loop {
        stream.readable().await?;
        let mut byte = [0];
        match stream.try_read(&mut byte) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Returns when the process at the other end has ended, or is done with this one.
pub(crate) async fn ended(stream: &UnixStream) {
    while byte(stream).await.is_ok() {}
}
