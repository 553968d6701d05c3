//! Who may be sent on now, and who waits: the places at each server, the queue of a pool, and its circuit.
//!
//! A server with a bound has as many [`Place`]s as it takes connections at the same time. One is held by whatever cannot be ended for
//! another request's sake: a request that was given the server, the connection that it uses, a tunnel. Connections that rest hold none,
//! since they lie on a [`Shelf`] from which every thread takes or closes them at once. Where all places are held, requests stand in
//! the queue of their pool's [`Admission`]. `queue` alone decides whose turn it is, and knows neither threads nor wakers' meaning, so
//! that many schedules of it can be tried.

mod places;
mod queue;
mod shelf;
#[cfg(test)]
mod simulation;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use parking_lot::{Mutex, MutexGuard};

use crate::Ejections;
use queue::Queue;

pub use places::Place;
pub(crate) use places::Places;
pub use shelf::Shelf;

/// Why no server was picked. Of what several candidates say, the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unpicked {
    /// There is none that may be picked, of those that were not tried.
    Nothing,
    /// Each has as many requests in flight as the pool's circuit lets it have.
    CircuitOpen,
    /// Each has as many connections in use as it may; one may come free.
    Full,
}

/// What stands before one pool's servers, shared by all threads: how many requests there are, the queue of those who wait, and which servers
/// are ejected. It stays while the pool does, whatever its settings become.
#[derive(Debug, Default)]
pub struct Admission {
    /// The length of the queue, readable without its lock.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
    /// Requests that were counted for the circuit, from their beginning to their end.
    requests: AtomicU32,
    ejections: Ejections,
}

/// A request that counts for its pool's circuit; dropping it says that the request is over.
#[derive(Debug)]
#[must_use = "dropping it says that the request is over"]
pub struct Admitted(Arc<Admission>);

/// A request that waits in the queue; dropping it leaves the queue.
#[derive(Debug)]
#[must_use = "dropping it leaves the queue"]
pub struct Queued {
    admission: Arc<Admission>,
    pub(super) ticket: u64,
    placed: bool,
}

/// As many wait already as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFull;

impl Admission {
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

    /// Puts a request at the end of the queue. A `choosy` one has tried servers to which it does not go again.
    pub(crate) fn enqueue(
        self: &Arc<Self>,
        choosy: bool,
        length_max: u32,
    ) -> Result<Queued, QueueFull> {
        let mut queue = self.queue.lock();
        if queue.len() >= usize::try_from(length_max).unwrap_or(usize::MAX) {
            return Err(QueueFull);
        }
        let ticket = queue.join(choosy);
        self.waiting.store(queue.len(), Ordering::SeqCst);
        Ok(Queued {
            admission: Arc::clone(self),
            ticket,
            placed: false,
        })
    }

    /// A place has come free: whose turn it is looks again. The place is given back before this is called, and whoever waits is in
    /// the queue before it looks, so that one of the two sees the other.
    pub(crate) fn come_free(&self) {
        if self.waiting() > 0 {
            self.tell(Queue::come_free);
        }
    }

    /// The table has changed, and with it perhaps any number of places.
    pub fn change(&self) {
        if self.waiting() > 0 {
            self.tell(Queue::change);
        }
    }

    fn tell(&self, event: impl FnOnce(&mut Queue) -> bool) {
        let mut queue = self.queue.lock();
        let calls = event(&mut queue);
        Self::wake(queue, calls);
    }

    /// Wakes who is called, outside the lock.
    fn wake(queue: MutexGuard<'_, Queue>, calls: bool) {
        let waker = if calls { queue.waker() } else { None };
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Queued {
    /// Whether it waits before the servers of this pool.
    pub fn is_of(&self, admission: &Arc<Admission>) -> bool {
        Arc::ptr_eq(&self.admission, admission)
    }

    /// Ready when it is its turn to look for a place. It then says what it found by `found_nothing` or `placed`.
    pub fn poll_turn(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.admission.queue.lock();
        queue.listen(self.ticket, context.waker());
        if queue.is_called(self.ticket) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// It has looked, and goes on waiting.
    pub fn found_nothing(&self) {
        self.admission
            .tell(|queue| queue.found_nothing(self.ticket));
    }

    /// It has found a place, and leaves the queue.
    pub fn placed(mut self) {
        self.placed = true;
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut queue = self.admission.queue.lock();
        let calls = queue.leave(self.ticket, self.placed);
        self.admission.waiting.store(queue.len(), Ordering::SeqCst);
        Admission::wake(queue, calls);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}
