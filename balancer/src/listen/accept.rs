//! Takes clients in until the balancer stops, and then those who have begun to come already.

use std::io;
use std::net::{self, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::secured::serve_secured;
use super::{BACKLOG, Entrance, Turn, Visitor, advance};
use crate::codec::{Answer, Version, write_answer};
use crate::crowd::Full;
use crate::exhaustion::is_exhaustion;
use crate::l7::{Spaces, serve};
use crate::stream::Stream;
use crate::worker::Worker;

/// How long accepting rests when the system gives no more sockets.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How much of what a client that is turned away has sent already is read.
const TURNED_AWAY_READS: usize = 4 << 10;

/// How long those are awaited who had begun to connect when the balancer stops: what is left of a handshake takes one round trip.
const LAST_HANDSHAKES_WITHIN: Duration = Duration::from_millis(250);

/// Where a worker takes clients in, and when.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) listeners: Vec<Listening<net::TcpListener>>,
    pub(crate) turn: watch::Sender<Turn>,
    pub(crate) stop: CancellationToken,
}

/// A listening socket, and what comes there.
#[derive(Debug)]
pub(crate) struct Listening<L> {
    pub(crate) socket: L,
    pub(crate) entrance: Entrance,
    /// Whether whoever passed it to this process keeps it open.
    pub(crate) kept_elsewhere: bool,
}

/// Accepts from this process's turn until the stop, and then whoever has begun to come: closing the last descriptor of a listener
/// resets connections that it has not accepted.
///
/// From the stop on no new connection begins, as far as the kernel lets us say so: whoever tries hears nothing, tries again after a
/// second as TCP does, and is refused by then, or served by whoever has the port next. Where the kernel takes no filter, a
/// connection that is made in the very moment of closing is reset.
///
/// Where a successor has the listeners, they are left to it with what they have queued.
pub(crate) async fn accept(worker: Rc<Worker>, door: Door) {
    let Door {
        listeners,
        turn,
        stop,
    } = door;
    if !is_opened(&turn, &stop).await {
        return worker.stop(false);
    }
    let listeners: Vec<_> = listeners.into_iter().map(listening).collect();
    // This thread's, for all of its connections.
    let spaces = Rc::new(Spaces::new());
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = accept_always(&worker, &spaces, &listeners) => {}
    }
    // From here on nobody is lent what is being closed.
    advance(&turn, Turn::Ours, Turn::Closing);
    let has_successor = *turn.borrow() != Turn::Closing;
    worker.stop(has_successor);
    if !has_successor {
        close(&worker, &spaces, listeners).await;
    }
}

/// Waits for this process's turn; false where it is to stop before.
async fn is_opened(turn: &watch::Sender<Turn>, stop: &CancellationToken) -> bool {
    let mut turn = turn.subscribe();
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        // Our caller holds a sender.
        _ = turn.wait_for(|turn| *turn != Turn::Before) => true,
    }
}

fn listening(listener: Listening<net::TcpListener>) -> Listening<TcpListener> {
    let Listening {
        socket: listener,
        entrance,
        kept_elsewhere,
    } = listener;
    let socket = SockRef::from(&listener);
    if !socket.is_listener().unwrap_or(true)
        && let Err(error) = socket.listen(BACKLOG)
    {
        // Others listen at this address, and get its connections.
        tracing::warn!(%error, "a listener is left out");
    }
    let watched = listener
        .set_nonblocking(true)
        .and_then(|()| TcpListener::from_std(listener));
    Listening {
        socket: watched.expect("a listening socket can be watched"),
        entrance,
        kept_elsewhere,
    }
}

/// Takes in who has begun to come. A filter would stay with a listener that is kept elsewhere, and needs none: what comes now
/// waits there for whoever serves next.
async fn close(worker: &Rc<Worker>, spaces: &Rc<Spaces>, listeners: Vec<Listening<TcpListener>>) {
    let (kept, own): (Vec<_>, Vec<_>) = listeners.into_iter().partition(|one| one.kept_elsewhere);
    if !own.is_empty() && own.iter().all(|one| begin_no_more(&one.socket).is_ok()) {
        let last = accept_always(worker, spaces, &own);
        // It ends by time alone.
        let _ = tokio::time::timeout(LAST_HANDSHAKES_WITHIN, last).await;
    }
    for listener in own.iter().chain(&kept) {
        while let Some((stream, peer)) = queued(&listener.socket) {
            take_in(worker, spaces, stream, visitor(listener, peer));
        }
    }
}

fn visitor(listener: &Listening<TcpListener>, peer: SocketAddr) -> Visitor {
    Visitor {
        peer,
        entrance: listener.entrance,
        secured: None,
    }
}

async fn accept_always(
    worker: &Rc<Worker>,
    spaces: &Rc<Spaces>,
    listeners: &[Listening<TcpListener>],
) {
    let each = listeners.iter().map(|one| accept_from(worker, spaces, one));
    join_all(each).await;
}

async fn accept_from(worker: &Rc<Worker>, spaces: &Rc<Spaces>, listener: &Listening<TcpListener>) {
    let mut exhausted = false;
    loop {
        match listener.socket.accept().await {
            Ok((stream, peer)) => {
                exhausted = false;
                take_in(worker, spaces, stream, visitor(listener, peer));
            }
            Err(error) if is_exhaustion(&error) => {
                if !exhausted {
                    tracing::warn!(%error, "cannot accept clients");
                    exhausted = true;
                }
                worker.give_way();
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
            // Of a single connection that is gone already.
            Err(_) => {}
        }
    }
}

/// Lets no new connection begin, while those that have begun go on: a filter of the listener's packets, which drops each SYN.
/// Connections that are accepted inherit it, and never get one.
fn begin_no_more(listener: &TcpListener) -> io::Result<()> {
    const FLAGS_AT: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    const WHOLE: u32 = u32::MAX;
    SockRef::from(listener).attach_filter(&[
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, FLAGS_AT),
        step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, SYN | ACK),
        SockFilter::new(code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K), 0, 1, SYN),
        step(libc::BPF_RET | libc::BPF_K, 0),
        step(libc::BPF_RET | libc::BPF_K, WHOLE),
    ])
}

/// An instruction that goes on to the next.
fn step(instruction: u32, operand: u32) -> SockFilter {
    SockFilter::new(code(instruction), 0, 0, operand)
}

fn code(instruction: u32) -> u16 {
    u16::try_from(instruction).expect("instructions have sixteen bits")
}

/// The next connection that waits already. The kernel is asked itself, since the runtime may not have heard of it yet.
fn queued(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    let (socket, peer) = SockRef::from(listener).accept().ok()?;
    socket.set_nonblocking(true).ok()?;
    let stream = TcpStream::from_std(socket.into()).ok()?;
    Some((stream, peer.as_socket()?))
}

fn take_in(worker: &Rc<Worker>, spaces: &Rc<Spaces>, stream: TcpStream, visitor: Visitor) {
    let peer = visitor.peer.ip();
    if !worker.opens_to(visitor.entrance, peer) {
        // Closed without a word: whoever is kept out is told nothing.
        return worker.counters.ended("denied");
    }
    match worker.admit(peer) {
        Ok(presence) => {
            // Without it the kernel may hold back the end of an answer; where it fails, that is all that happens.
            let _ = stream.set_nodelay(true);
            let (worker, spaces) = (Rc::clone(worker), Rc::clone(spaces));
            match visitor.entrance {
                Entrance::Http => {
                    let stream = Stream::Tcp(stream);
                    tokio::task::spawn_local(serve(worker, spaces, stream, visitor, presence));
                }
                Entrance::Https => {
                    let serving = serve_secured(worker, spaces, stream, visitor, presence);
                    tokio::task::spawn_local(serving);
                }
            }
        }
        Err(full) => turn_away(worker, &stream, visitor.entrance, full),
    }
}

/// There are as many connections as may be.
fn turn_away(worker: &Worker, stream: &TcpStream, entrance: Entrance, full: Full) {
    let (status, token, text) = match full {
        Full::InAll => (
            503,
            "too-many-connections",
            "this balancer has as many connections as it takes",
        ),
        Full::Client => (
            429,
            "too-many-connections-of-client",
            "this client has as many connections as one may have",
        ),
    };
    worker.counters.refused(token);
    if entrance == Entrance::Https {
        // A handshake is what there is no room for.
        return;
    }
    let mut out = Vec::new();
    let answer = Answer {
        status,
        token,
        text,
        version: Version::Http11,
        keep_alive: false,
        head_only: false,
        date: &worker.clock.date(),
        request_id: b"",
        retry_after: None,
        lines: b"",
    };
    write_answer(&answer, &mut out);
    // A new socket takes a few hundred bytes; where it does not, closing says enough.
    let _ = stream.try_write(&out);
    // What nobody has read would make the kernel reset the connection, and the client might lose the answer.
    let _ = stream.try_read(&mut [0; TURNED_AWAY_READS]);
}
