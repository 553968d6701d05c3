//! How connections end that nobody needs, or through which nothing goes any more. Time is what a test says it is.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Epoch, PoolId, Revision, RevisionId, Snapshot, Stamped};
use policy::{Live, Place, Table};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

use super::super::broken::LOST;
use super::{Call, Connections};
use crate::buffers::Buffers;
use crate::clock::{Clock, Millis};
use crate::metrics::Counters;
use crate::stream::Stream;
use crate::timers::Timers;

/// No step of a test takes longer.
const LIMIT: Duration = Duration::from_secs(10);

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;

/// A server of bare frames, which does as it is told.
#[derive(Default)]
struct Peer {
    answers: Cell<bool>,
    answers_pings: Cell<bool>,
    requests: Cell<usize>,
    resets: Cell<usize>,
    pings: Cell<usize>,
    accepted: Cell<usize>,
    ended: Cell<usize>,
}

/// What came in a frame (RFC 9113, 4.1).
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A thread's connections, and the server that they are to.
struct Thread {
    connections: Rc<Connections>,
    clock: Rc<Clock>,
    timers: Rc<Timers>,
    buffers: Rc<Buffers>,
    counters: Arc<Counters>,
    live: Arc<Live>,
    address: SocketAddr,
}

fn count(counted: &Cell<usize>) {
    counted.set(counted.get() + 1);
}

impl Frame {
    async fn read(socket: &mut TcpStream) -> io::Result<Self> {
        let mut head = [0; 9];
        socket.read_exact(&mut head).await?;
        let [first, second, third, kind, flags, stream @ ..] = head;
        let length = u32::from_be_bytes([0, first, second, third]);
        let mut payload = vec![0; length as usize];
        socket.read_exact(&mut payload).await?;
        Ok(Self {
            kind,
            flags,
            stream: u32::from_be_bytes(stream),
            payload,
        })
    }

    fn write(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("a short frame");
        let head = [0, 0, length, kind, flags];
        [&head[..], &stream.to_be_bytes(), payload].concat()
    }
}

impl Peer {
    /// Accepts until the test ends.
    async fn start() -> (Rc<Self>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let peer = Rc::new(Self::default());
        let serving = Rc::clone(&peer);
        spawn_local(async move {
            while let Ok((socket, _)) = listener.accept().await {
                count(&serving.accepted);
                let serving = Rc::clone(&serving);
                spawn_local(async move {
                    // It serves until the other side ends the connection, in whatever way.
                    let _ = serving.serve(socket).await;
                    count(&serving.ended);
                });
            }
        });
        (peer, address)
    }

    async fn serve(&self, mut socket: TcpStream) -> io::Result<()> {
        socket.read_exact(&mut [0; 24]).await?;
        assert_eq!(Frame::read(&mut socket).await?.kind, SETTINGS);
        // At once, so that nothing is heard of it after the first stream has begun.
        let greeting = [
            Frame::write(SETTINGS, 0, 0, b""),
            Frame::write(SETTINGS, 1, 0, b""),
        ];
        socket.write_all(&greeting.concat()).await?;
        loop {
            let frame = Frame::read(&mut socket).await?;
            let answer = match frame.kind {
                HEADERS => {
                    count(&self.requests);
                    let status_200 = [0x88];
                    let answer = Frame::write(HEADERS, 5, frame.stream, &status_200);
                    self.answers.get().then_some(answer)
                }
                RESET => {
                    count(&self.resets);
                    None
                }
                PING if frame.flags == 0 => {
                    count(&self.pings);
                    let answer = Frame::write(PING, 1, 0, &frame.payload);
                    self.answers_pings.get().then_some(answer)
                }
                _ => None,
            };
            socket.write_all(&answer.unwrap_or_default()).await?;
        }
    }
}

impl Thread {
    fn new(address: SocketAddr) -> Self {
        let mut snapshot = Snapshot::first(Epoch::random(), RevisionId::random());
        let id = "s1".parse().expect("a name");
        let server = model::Server::new(PoolId::standard(), id, address);
        let stamped = Arc::new(Stamped::new(Revision(1), server));
        snapshot.servers.insert(stamped.value.key(), stamped);
        let table = Table::compile(&snapshot, &Table::default(), 0, Duration::ZERO);
        let clock = Rc::new(Clock::new(Instant::now()));
        clock.set(Millis::ZERO);
        Self {
            connections: Rc::new(Connections::new(Rc::clone(&clock))),
            clock,
            timers: Rc::new(Timers::new()),
            buffers: Rc::new(Buffers::new()),
            counters: Arc::default(),
            live: Arc::clone(table.servers().next().expect("a server").live()),
            address,
        }
    }

    /// A stream on a connection that is opened for it.
    async fn open(&self) -> Stream {
        let call = Call {
            live: &self.live,
            address: self.address,
            timers: &self.timers,
            patience: Millis::NEVER,
            buffers: &self.buffers,
            calling: None,
            counters: &self.counters,
        };
        let (timer, place) = (self.timers.timer(), Place::take(&self.live));
        let opened = self.connections.open(call, &timer, place).await;
        opened.expect("a connection").stream
    }

    /// A stream on a connection that is there.
    fn take(&self) -> Option<Stream> {
        let taken = self
            .connections
            .take(&self.live, &mut None, None, &self.buffers);
        taken.map(|connection| connection.stream)
    }

    /// Looks at all connections, at this moment of theirs. What comes of it comes later.
    fn sweep(&self, millis: u64) {
        self.connections.sweep(Millis(millis));
    }

    /// Whether there is a connection, and none has a stream.
    fn is_quiet(&self) -> bool {
        let by_server = self.connections.by_server.borrow();
        let mut links = by_server.values().flat_map(|server| &server.links);
        by_server.len() == 1 && links.all(|link| link.is_quiet())
    }
}

/// Runs a test as a worker runs its connections.
async fn with_a_peer(test: impl AsyncFnOnce(Rc<Peer>, Thread)) {
    let test = async {
        let (peer, address) = Peer::start().await;
        test(peer, Thread::new(address)).await;
    };
    LocalSet::new().run_until(test).await;
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waits = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = timeout(LIMIT, waits).await;
    assert!(waited.is_ok(), "not within {LIMIT:?}: {what}");
}

async fn ask(stream: &Stream) {
    let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let written = poll_fn(|context| stream.poll_write(context, [request, b"", b""])).await;
    assert_eq!(written.expect("written"), request.len());
}

/// What comes first of an answer.
async fn answer(stream: &Stream) -> io::Result<String> {
    let ready = poll_fn(|context| stream.poll_read_ready(context));
    timeout(LIMIT, ready).await.expect("something in time")?;
    let mut room = [0; 1024];
    let count = stream.try_read(&mut room)?;
    Ok(String::from_utf8_lossy(&room[..count]).into_owned())
}

/// A request that is answered, and its connection let go of.
async fn is_answered(stream: Stream) {
    ask(&stream).await;
    let answer = answer(&stream).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Three requests on a new connection, of which one is let go of after a second in which nothing came.
async fn three_of_which_one_leaves(peer: &Peer, thread: &Thread) -> [Stream; 2] {
    let leaves = thread.open().await;
    let stay = [(); 2].map(|()| thread.take().expect("room beside it"));
    for stream in [&leaves].into_iter().chain(&stay) {
        ask(stream).await;
    }
    until("all have begun", || peer.requests.get() == 3).await;
    thread.clock.set(Millis(1_000));
    drop(leaves);
    until("the server is asked", || peer.pings.get() == 1).await;
    stay
}

#[tokio::test]
async fn a_connection_that_says_nothing_when_it_is_asked_is_broken_off_with_all_its_streams() {
    with_a_peer(async |peer, thread| {
        let [stays, leaves] = three_of_which_one_leaves(&peer, &thread).await;
        assert!(thread.take().is_none(), "nobody begins on what is in doubt");
        thread.sweep(2_000);
        thread.sweep(6_999);
        drop(leaves);
        until("it says so still", || peer.resets.get() == 2).await;
        assert!(!stays.has_news(), "it has its time");
        thread.sweep(7_000);
        let broken = answer(&stays).await.expect_err("no answer");
        assert_eq!(broken.kind(), LOST);
        until("it is closed", || peer.ended.get() == 1).await;
        peer.answers.set(true);
        is_answered(thread.open().await).await;
        assert_eq!(peer.accepted.get(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_answers_when_it_is_asked_goes_on_however_slow_its_requests_are() {
    with_a_peer(async |peer, thread| {
        peer.answers_pings.set(true);
        let stay = three_of_which_one_leaves(&peer, &thread).await;
        until("its answer is heard", || thread.take().is_some()).await;
        for millis in [2_000, 8_000, 60_000] {
            thread.sweep(millis);
        }
        peer.answers.set(true);
        is_answered(thread.take().expect("room")).await;
        assert!(stay.iter().all(|stream| !stream.has_news()));
        assert_eq!((peer.accepted.get(), peer.ended.get()), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn who_is_let_go_of_in_a_hurry_puts_no_connection_in_doubt() {
    with_a_peer(async |peer, thread| {
        let leaves = thread.open().await;
        ask(&leaves).await;
        until("it has begun", || peer.requests.get() == 1).await;
        thread.clock.set(Millis(999));
        drop(leaves);
        until("it is gone", || thread.is_quiet()).await;
        peer.answers.set(true);
        is_answered(thread.take().expect("no doubt")).await;
        assert_eq!(peer.pings.get(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_connection_without_a_stream_is_closed_after_its_time() {
    with_a_peer(async |peer, thread| {
        peer.answers.set(true);
        is_answered(thread.open().await).await;
        until("it is quiet", || thread.is_quiet()).await;
        thread.sweep(1_000);
        thread.sweep(30_999);
        // Whoever uses it makes it last.
        is_answered(thread.take().expect("it is there")).await;
        until("it is quiet", || thread.is_quiet()).await;
        thread.sweep(31_000);
        thread.sweep(60_999);
        assert!(thread.is_quiet(), "it is there");
        thread.sweep(61_000);
        assert!(thread.take().is_none());
        until("it is closed", || peer.ended.get() == 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_with_a_stream_is_never_closed_for_its_rest() {
    with_a_peer(async |peer, thread| {
        let waits = thread.open().await;
        ask(&waits).await;
        until("it has begun", || peer.requests.get() == 1).await;
        for millis in [1_000, 31_000, 600_000] {
            thread.sweep(millis);
        }
        peer.answers.set(true);
        is_answered(thread.take().expect("it is there")).await;
        assert!(!waits.has_news());
        assert_eq!((peer.accepted.get(), peer.ended.get()), (1, 0));
    })
    .await;
}
