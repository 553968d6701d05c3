//! What stands before a pool's servers: how many requests there are, and the line of those who wait. It stays while the pool does,
//! whatever its settings become.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use parking_lot::{Mutex, MutexGuard};

use super::line::Line;
use crate::Ejections;

/// The gate of one pool, shared by all threads.
#[derive(Debug, Default)]
pub struct Gate {
    /// The length of the line, readable without its lock.
    waiting: AtomicUsize,
    line: Mutex<Line>,
    /// Requests that were counted for the circuit, from their beginning to their end.
    requests: AtomicU32,
    ejections: Ejections,
}

/// A request that counts for its pool's circuit; dropping it says that the request is over.
#[derive(Debug)]
#[must_use = "dropping it says that the request is over"]
pub struct Admitted(Arc<Gate>);

/// A request that waits in line; dropping it leaves the line.
#[derive(Debug)]
#[must_use = "dropping it leaves the line"]
pub struct Queued {
    gate: Arc<Gate>,
    pub(super) ticket: u64,
    placed: bool,
}

/// As many wait already as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFull;

impl Gate {
    /// Which of the servers are ejected.
    pub fn ejections(&self) -> &Ejections {
        &self.ejections
    }

    /// Requests that wait for a place.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Lets one more request through, unless there are `max` already.
    pub(crate) fn admit(self: &Arc<Self>, max: u32) -> Option<Admitted> {
        let one_more = |count: u32| (count < max).then_some(count + 1);
        self.requests
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()
            .map(|_| Admitted(Arc::clone(self)))
    }

    /// Puts a request at the end of the line. A `choosy` one has tried servers to which it does not go again.
    pub(crate) fn queue(
        self: &Arc<Self>,
        choosy: bool,
        length_max: u32,
    ) -> Result<Queued, QueueFull> {
        let mut line = self.line.lock();
        if line.len() >= usize::try_from(length_max).unwrap_or(usize::MAX) {
            return Err(QueueFull);
        }
        let ticket = line.join(choosy);
        self.waiting.store(line.len(), Ordering::SeqCst);
        Ok(Queued {
            gate: Arc::clone(self),
            ticket,
            placed: false,
        })
    }

    /// A place has come free: whose turn it is looks again. The place is given back before this is called, and whoever waits is in
    /// line before it looks, so that one of the two sees the other.
    pub(crate) fn come_free(&self) {
        if self.waiting() > 0 {
            self.tell(Line::come_free);
        }
    }

    /// The table has changed, and with it perhaps any number of places.
    pub fn change(&self) {
        if self.waiting() > 0 {
            self.tell(Line::change);
        }
    }

    fn tell(&self, event: impl FnOnce(&mut Line) -> bool) {
        let mut line = self.line.lock();
        let calls = event(&mut line);
        Self::wake(line, calls);
    }

    /// Wakes who is called, outside the lock.
    fn wake(line: MutexGuard<'_, Line>, calls: bool) {
        let waker = if calls { line.waker() } else { None };
        drop(line);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Queued {
    /// Whether it waits at this gate.
    pub fn is_at(&self, gate: &Arc<Gate>) -> bool {
        Arc::ptr_eq(&self.gate, gate)
    }

    /// Ready when it is its turn to look for a place. It then says what it found by `found_nothing` or `placed`.
    pub fn poll_turn(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut line = self.gate.line.lock();
        line.listen(self.ticket, context.waker());
        if line.is_called(self.ticket) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// It has looked, and goes on waiting.
    pub fn found_nothing(&self) {
        self.gate.tell(|line| line.found_nothing(self.ticket));
    }

    /// It has found a place, and leaves the line.
    pub fn placed(mut self) {
        self.placed = true;
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut line = self.gate.line.lock();
        let calls = line.leave(self.ticket, self.placed);
        self.gate.waiting.store(line.len(), Ordering::SeqCst);
        Gate::wake(line, calls);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}
