//! The way between one process and Redis, which a test can spoil.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// How much of one direction may be under way, in reads of at most `CHUNK` bytes.
const QUEUE: usize = 256;
const CHUNK: usize = 16 * 1024;

/// What becomes of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Each answer, and each message, comes so much later.
    Delay(Duration),
    /// Connections come about, and nothing passes, not even their end. What was sent meanwhile arrives once this is over, as it does
    /// where a network that was cut in two sends again.
    Cut,
    /// Connections end, also those that there are.
    Refuse,
}

/// A port that stands for a Redis.
pub(crate) struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has one");
        let (mode, modes) = watch::channel(Mode::Pass);
        Self {
            address,
            mode,
            accepting: tokio::spawn(accept(listener, target, modes)),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: String, modes: watch::Receiver<Mode>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        if *modes.borrow() != Mode::Refuse {
            connections.spawn(serve(client, target.clone(), modes.clone()));
        }
    }
}

async fn serve(client: TcpStream, target: String, modes: watch::Receiver<Mode>) {
    let mut refusing = modes.clone();
    tokio::select! {
        _ = refusing.wait_for(|mode| *mode == Mode::Refuse) => {}
        () = forward(client, &target, modes) => {}
    }
}

async fn forward(client: TcpStream, target: &str, mut modes: watch::Receiver<Mode>) {
    passable(&mut modes).await;
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    // Where that fails, it is slower.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    tokio::select! {
        () = pump(client_reads, server_writes, modes.clone(), |_| Duration::ZERO) => {}
        () = pump(server_reads, client_writes, modes, lateness) => {}
    }
}

fn lateness(mode: Mode) -> Duration {
    match mode {
        Mode::Delay(delay) => delay,
        Mode::Pass | Mode::Cut | Mode::Refuse => Duration::ZERO,
    }
}

/// Returns when something may pass.
async fn passable(modes: &mut watch::Receiver<Mode>) {
    // A proxy that is gone forwards nothing more: its tasks end.
    let _ = modes.wait_for(|mode| *mode != Mode::Cut).await;
}

/// Forwards one direction until its end.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    modes: watch::Receiver<Mode>,
    lateness: fn(Mode) -> Duration,
) {
    let (sender, mut chunks) = mpsc::channel::<(Instant, Vec<u8>)>(QUEUE);
    let mut passing = modes.clone();
    let reading = async move {
        let mut buffer = vec![0; CHUNK];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + lateness(*modes.borrow());
            if sender.send((due, buffer[..length].to_vec())).await.is_err() {
                break;
            }
        }
        drop(sender);
        std::future::pending::<()>().await;
    };
    let writing = async move {
        while let Some((due, chunk)) = chunks.recv().await {
            sleep_until(due).await;
            passable(&mut passing).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
        passable(&mut passing).await;
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
}
