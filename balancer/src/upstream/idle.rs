//! The idle connections of a thread.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

use policy::{Live, Place, Shelf};
use probe::Calling;

use super::shared_idle::{Resting, SharedIdle};
use super::{Connection, NumberHasher};
use crate::clock::Millis;
use crate::crowd::Crowd;

/// How long a connection may wait for its next request.
pub(super) const IDLE_FOR: Duration = Duration::from_secs(30);

/// Among so many of the latest shared connections one is looked for that this thread used before: taking over another's costs two
/// system calls.
const OWN_WITHIN: usize = 8;

/// The idle connections of one thread, and its way to those that all threads share.
pub(crate) struct Idle {
    by_server: RefCell<HashMap<u64, Kept, BuildHasherDefault<NumberHasher>>>,
    count: Cell<usize>,
    room: IdleRoom,
    shared: Arc<SharedIdle>,
    thread: ThreadId,
}

/// What bounds the idle connections: three quarters of the files that clients leave. The rest is for connections in use.
pub(crate) struct IdleRoom {
    pub(crate) crowd: Arc<Crowd>,
    /// For clients and servers, over all threads.
    pub(crate) files: usize,
    pub(crate) workers: usize,
}

/// Those of one server, the latest last.
struct Kept {
    live: Arc<Live>,
    waiting: VecDeque<Waiting>,
    shared: Option<Arc<Shelf<Resting>>>,
}

/// A connection that waits for a request.
pub(crate) struct Waiting {
    pub(crate) connection: Connection,
    pub(crate) since: Millis,
}

impl Idle {
    /// Of the thread that this is called on.
    pub(crate) fn new(shared: Arc<SharedIdle>, room: IdleRoom) -> Self {
        Self {
            by_server: RefCell::default(),
            count: Cell::new(0),
            room,
            shared,
            thread: std::thread::current().id(),
        }
    }

    /// The latest connection that is still alive, as far as can be told without asking the server. `careful` asks the kernel once
    /// more, for a request that must not be sent into a connection that is just being closed. A shared connection gets the reserved
    /// place. One that was made as the server is not called any more is closed.
    pub(crate) fn take(
        &self,
        live: &Arc<Live>,
        reserved: &mut Option<Place>,
        calling: Option<&Calling>,
        careful: bool,
    ) -> Option<Waiting> {
        let mut by_server = self.by_server.borrow_mut();
        let is_bounded = live.is_bounded();
        let kept = if is_bounded {
            by_server
                .entry(live.number())
                .or_insert_with(|| Kept::of(live))
        } else {
            by_server.get_mut(&live.number())?
        };
        while let Some(waiting) = kept.waiting.pop_back() {
            self.count.set(self.count.get() - 1);
            let stream = &waiting.connection.stream;
            if !stream.is_called_by(calling) {
                continue;
            }
            if stream.is_quiet() && !(careful && stream.has_news()) {
                return Some(waiting);
            }
        }
        if !is_bounded {
            return None;
        }
        let shelf = kept.shelf(&self.shared);
        loop {
            let resting = shelf.take(OWN_WITHIN, |resting| resting.keeper == self.thread)?;
            let since = resting.since;
            let stream = resting.hand_over(self.thread, careful);
            if let Some(stream) = stream.filter(|stream| stream.is_called_by(calling)) {
                let place = reserved.take().unwrap_or_else(|| Place::take(live));
                let connection = Connection { stream, place };
                return Some(Waiting { connection, since });
            }
        }
    }

    /// What a new connection needs beside a stream: the reserved place, and that there are not too many connections then.
    pub(crate) fn make_room(&self, live: &Arc<Live>, reserved: Option<Place>) -> Place {
        let place = reserved.unwrap_or_else(|| Place::take(live));
        if live.is_bounded() {
            let mut by_server = self.by_server.borrow_mut();
            let kept = by_server.entry(live.number());
            let kept = kept.or_insert_with(|| Kept::of(live));
            kept.shelf(&self.shared).make_room();
        }
        place
    }

    /// Keeps a connection on which nothing is under way.
    pub(crate) fn keep(&self, live: &Arc<Live>, connection: Connection, now: Millis) {
        if !live.keeps_connections() || !connection.stream.can_rest() {
            return;
        }
        let mut by_server = self.by_server.borrow_mut();
        let kept = by_server.entry(live.number());
        let kept = kept.or_insert_with(|| Kept::of(live));
        if live.is_bounded() {
            return kept.share(&self.shared, connection, self.thread, now);
        }
        if !self.room.holds(self.count.get() + 1) {
            // The one of this server that waited longest makes room; where there is none, this one is closed.
            if kept.waiting.pop_front().is_none() {
                return;
            }
            self.count.set(self.count.get() - 1);
        }
        let since = now;
        kept.waiting.push_back(Waiting { connection, since });
        self.count.set(self.count.get() + 1);
    }

    /// Closes those to a server that have waited since then or longer.
    pub(crate) fn close_older(&self, live: &Live, since: Millis) {
        let mut by_server = self.by_server.borrow_mut();
        let Some(kept) = by_server.get_mut(&live.number()) else {
            return;
        };
        let older = kept.waiting.partition_point(|one| one.since <= since);
        kept.waiting.drain(..older);
        self.count.set(self.count.get() - older);
        if let Some(shelf) = &kept.shared {
            shelf.retain(|resting| resting.since > since);
        }
    }

    /// Closes all, where there are files for nothing else.
    pub(crate) fn give_way(&self) {
        for kept in self.by_server.borrow_mut().values_mut() {
            kept.waiting.clear();
            if let Some(shelf) = &kept.shared {
                shelf.retain(|_| false);
            }
        }
        self.count.set(0);
    }

    /// Closes those that waited too long, and all to servers that leave or are down; shares those to servers that have got a bound.
    pub(crate) fn sweep(&self, now: Millis) {
        let mut by_server = self.by_server.borrow_mut();
        by_server.retain(|_, kept| {
            kept.sweep(now);
            if kept.live.is_bounded() {
                for waiting in std::mem::take(&mut kept.waiting) {
                    kept.share(&self.shared, waiting.connection, self.thread, waiting.since);
                }
            }
            !kept.is_empty()
        });
        let count = by_server.values().map(|kept| kept.waiting.len()).sum();
        self.count.set(count);
        drop(by_server);
        self.shared.tidy();
    }
}

impl IdleRoom {
    /// Whether one thread may keep so many, as each of the others may.
    fn holds(&self, count: usize) -> bool {
        let left = self.files.saturating_sub(self.crowd.open());
        count * self.workers <= left / 4 * 3
    }
}

impl Kept {
    fn of(live: &Arc<Live>) -> Self {
        Self {
            live: Arc::clone(live),
            waiting: VecDeque::new(),
            shared: None,
        }
    }

    fn shelf(&mut self, shared: &SharedIdle) -> &Shelf<Resting> {
        self.shared.get_or_insert_with(|| shared.shelf(&self.live))
    }

    /// Puts a connection where every thread may take it, or close it for another's sake.
    fn share(
        &mut self,
        shared: &SharedIdle,
        connection: Connection,
        keeper: ThreadId,
        since: Millis,
    ) {
        let Connection { stream, place } = connection;
        let Some(stream) = stream.portable() else {
            return;
        };
        let resting = Resting {
            stream,
            keeper,
            since,
        };
        self.shelf(shared).put(resting, place);
    }

    fn sweep(&mut self, now: Millis) {
        let keeps = self.live.keeps_connections();
        let stays = |since: Millis| keeps && since.after(IDLE_FOR) > now;
        while self.waiting.front().is_some_and(|one| !stays(one.since)) {
            self.waiting.pop_front();
        }
        if let Some(shelf) = &self.shared {
            let is_bounded = self.live.is_bounded();
            shelf.retain(|resting| is_bounded && stays(resting.since));
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.shared.as_ref().is_none_or(|shelf| shelf.is_empty())
    }
}
