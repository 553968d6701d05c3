//! Connections to servers: kept idle per thread, last in, first out, so that few stay warm and the rest end.

mod connect;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::Duration;

use policy::Live;
use socket2::SockRef;
use tokio::net::TcpStream;

pub(crate) use connect::connect;

use crate::clock::Millis;

/// How long a connection may wait for its next request.
const IDLE_FOR: Duration = Duration::from_secs(30);

/// Idle connections per server and thread.
const IDLE_PER_SERVER_MAX: usize = 256;

/// Idle connections per thread.
const IDLE_MAX: usize = 4096;

/// The idle connections of one thread.
pub(crate) struct Idle {
    by_server: RefCell<HashMap<u64, Shelf, BuildHasherDefault<NumberHasher>>>,
    count: Cell<usize>,
}

/// Those of one server, the latest last.
struct Shelf {
    live: Arc<Live>,
    waiting: VecDeque<Waiting>,
}

/// A connection that waits for a request.
pub(crate) struct Waiting {
    pub(crate) stream: TcpStream,
    pub(crate) since: Millis,
}

impl Idle {
    pub(crate) fn new() -> Self {
        Self {
            by_server: RefCell::default(),
            count: Cell::new(0),
        }
    }

    /// The latest connection that is still alive, as far as can be told without asking the server. `careful` asks the kernel once
    /// more, for a request that must not be sent into a connection that is just being closed.
    pub(crate) fn take(&self, live: &Live, careful: bool) -> Option<Waiting> {
        let mut by_server = self.by_server.borrow_mut();
        let shelf = by_server.get_mut(&live.number())?;
        loop {
            let waiting = shelf.waiting.pop_back()?;
            self.count.set(self.count.get() - 1);
            if is_quiet(&waiting.stream) && !(careful && has_news(&waiting.stream)) {
                return Some(waiting);
            }
        }
    }

    /// Keeps a connection on which nothing is under way.
    pub(crate) fn keep(&self, live: &Arc<Live>, stream: TcpStream, now: Millis) {
        if !live.keeps_connections() || self.count.get() >= IDLE_MAX {
            return;
        }
        let mut by_server = self.by_server.borrow_mut();
        let shelf = by_server.entry(live.number()).or_insert_with(|| Shelf {
            live: Arc::clone(live),
            waiting: VecDeque::new(),
        });
        if shelf.waiting.len() >= IDLE_PER_SERVER_MAX {
            shelf.waiting.pop_front();
            self.count.set(self.count.get() - 1);
        }
        shelf.waiting.push_back(Waiting { stream, since: now });
        self.count.set(self.count.get() + 1);
    }

    /// Closes those to a server that have waited since then or longer.
    pub(crate) fn close_older(&self, live: &Live, since: Millis) {
        let mut by_server = self.by_server.borrow_mut();
        let Some(shelf) = by_server.get_mut(&live.number()) else {
            return;
        };
        let older = shelf.waiting.partition_point(|one| one.since <= since);
        shelf.waiting.drain(..older);
        self.count.set(self.count.get() - older);
    }

    /// Closes those that waited too long, and all to servers that leave or are down.
    pub(crate) fn sweep(&self, now: Millis) {
        let mut by_server = self.by_server.borrow_mut();
        by_server.retain(|_, shelf| {
            let keeps = shelf.live.keeps_connections();
            let stays = |waiting: &Waiting| keeps && waiting.since.after(IDLE_FOR) > now;
            while shelf.waiting.front().is_some_and(|waiting| !stays(waiting)) {
                shelf.waiting.pop_front();
            }
            !shelf.waiting.is_empty()
        });
        let count = by_server.values().map(|shelf| shelf.waiting.len()).sum();
        self.count.set(count);
    }
}

/// Whether the server has neither closed the connection nor said anything unasked. Costs a system call only where something happened.
fn is_quiet(stream: &TcpStream) -> bool {
    let would_block = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    stream
        .try_read(&mut [0])
        .is_err_and(|error| would_block(&error))
}

/// Whether the kernel has anything to say of the connection.
fn has_news(stream: &TcpStream) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    let peeked = SockRef::from(stream).peek(&mut byte);
    !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Numbers given in order are spread well enough by a multiplication.
#[derive(Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
