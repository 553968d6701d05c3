//! One coarse timer per connection instead of one of tokio's per operation.
//!
//! A connection has one deadline at a time, that of what it waits for. Moving it is a store in memory: the timer sits in the bucket in
//! which it will be looked at next, at most [`VISIT`] ahead, and only then finds out that its deadline has moved on. A
//! deadline that moves before the next visit puts it in an earlier bucket as well; visits that are out of date are recognised.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use crate::clock::Millis;

/// The length of time that one bucket stands for, in milliseconds.
const BUCKET: u64 = 10;

/// Buckets in the ring. More than `VISIT` spans.
const BUCKETS: u64 = 128;

/// A timer is looked at again after so many milliseconds at the latest.
const VISIT: u64 = 1000;

/// The timers of one thread.
pub(crate) struct Timers {
    wheel: RefCell<Wheel>,
}

struct Wheel {
    entries: Slab<Entry>,
    buckets: Vec<Vec<usize>>,
    now: Millis,
    /// The bucket number that was looked at last.
    reached: u64,
}

struct Entry {
    deadline: Millis,
    /// The bucket number of its next visit; `u64::MAX` where none is due.
    visit: u64,
    waker: Option<Waker>,
}

/// One connection's timer.
pub(crate) struct Timer {
    timers: Rc<Timers>,
    key: usize,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self {
            wheel: RefCell::new(Wheel {
                entries: Slab::new(),
                buckets: (0..BUCKETS).map(|_| Vec::new()).collect(),
                now: Millis::ZERO,
                reached: 0,
            }),
        }
    }

    /// A timer without a deadline.
    pub(crate) fn timer(self: &Rc<Self>) -> Timer {
        let key = self.wheel.borrow_mut().entries.insert(Entry {
            deadline: Millis::NEVER,
            visit: u64::MAX,
            waker: None,
        });
        Timer {
            timers: Rc::clone(self),
            key,
        }
    }

    /// Wakes those whose deadline has come.
    pub(crate) fn advance(&self, now: Millis) {
        let mut wheel = self.wheel.borrow_mut();
        wheel.now = now;
        let target = now.0 / BUCKET;
        // After a long pause each bucket is looked at once.
        let first = (wheel.reached + 1).max((target + 1).saturating_sub(BUCKETS));
        for bucket in first..=target {
            wheel.visit(bucket);
        }
        wheel.reached = target;
    }

    /// Wakes everyone, to look at something else that has changed.
    pub(crate) fn wake_all(&self) {
        let mut wheel = self.wheel.borrow_mut();
        for (_, entry) in &mut wheel.entries {
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
    }
}

impl Wheel {
    fn visit(&mut self, bucket: u64) {
        let index = slot(bucket);
        let mut keys = std::mem::take(&mut self.buckets[index]);
        for key in keys.drain(..) {
            self.visit_one(key, bucket);
        }
        // Keep the allocation, unless someone was put here again.
        if self.buckets[index].is_empty() {
            self.buckets[index] = keys;
        }
    }

    fn visit_one(&mut self, key: usize, bucket: u64) {
        // Not the visit that was meant: its connection ended, or an earlier visit took its place.
        let Some(entry) = self
            .entries
            .get_mut(key)
            .filter(|entry| entry.visit <= bucket)
        else {
            return;
        };
        entry.visit = u64::MAX;
        if entry.deadline > self.now {
            let deadline = entry.deadline;
            return self.schedule(key, deadline);
        }
        if let Some(waker) = entry.waker.take() {
            waker.wake();
        }
    }

    fn schedule(&mut self, key: usize, deadline: Millis) {
        let entry = &mut self.entries[key];
        entry.deadline = deadline;
        if deadline == Millis::NEVER {
            return;
        }
        let latest = self.now.0 + VISIT;
        // Rounded up, and never into the bucket that is being looked at.
        let visit = (deadline.0.min(latest) / BUCKET + 1).max(self.reached + 1);
        if visit < entry.visit {
            entry.visit = visit;
            self.buckets[slot(visit)].push(key);
        }
    }
}

fn slot(bucket: u64) -> usize {
    usize::try_from(bucket % BUCKETS).expect("a small number")
}

impl Timer {
    /// Sets the deadline; `Millis::NEVER` for none.
    pub(crate) fn set(&self, deadline: Millis) {
        self.timers.wheel.borrow_mut().schedule(self.key, deadline);
    }

    /// Ready once the deadline has come.
    pub(crate) fn poll_expired(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut wheel = self.timers.wheel.borrow_mut();
        let now = wheel.now;
        let entry = &mut wheel.entries[self.key];
        if entry.deadline <= now {
            return Poll::Ready(());
        }
        if !entry
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            entry.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.timers.wheel.borrow_mut().entries.remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_expired(timer: &Timer) -> bool {
        timer
            .poll_expired(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    /// Ticks every ten milliseconds up to `to`, and says when the timer was first found expired by a wake.
    fn expiry(timers: &Timers, timer: &Timer, from: u64, to: u64) -> Option<u64> {
        (from..=to).step_by(10).find(|now| {
            timers.advance(Millis(*now));
            is_expired(timer)
        })
    }

    #[test]
    fn a_deadline_fires_when_it_has_come_and_not_before() {
        for deadline in [1, 10, 15, 990, 1000, 1001, 1280, 5_003, 60_000] {
            let timers = Rc::new(Timers::new());
            let timer = timers.timer();
            timer.set(Millis(deadline));
            let at = expiry(&timers, &timer, 0, 61_000).expect("it fires");
            assert!(
                at >= deadline && at < deadline + 20,
                "{deadline} fired at {at}"
            );
        }
    }

    #[test]
    fn a_deadline_can_be_moved_either_way_and_cleared() {
        let timers = Rc::new(Timers::new());
        let timer = timers.timer();
        timer.set(Millis(5_000));
        assert_eq!(expiry(&timers, &timer, 0, 500), None);
        timer.set(Millis(600));
        assert_eq!(expiry(&timers, &timer, 500, 2_000), Some(600));
        timer.set(Millis(9_000));
        assert_eq!(expiry(&timers, &timer, 600, 8_990), None);
        timer.set(Millis::NEVER);
        assert_eq!(expiry(&timers, &timer, 9_000, 20_000), None);
    }

    #[test]
    fn the_task_is_woken() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicUsize, Ordering};
        use std::task::Wake;

        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let timers = Rc::new(Timers::new());
        let timer = timers.timer();
        timer.set(Millis(3_000));
        assert!(
            timer
                .poll_expired(&mut Context::from_waker(&waker))
                .is_pending()
        );
        for now in (0..3_000).step_by(10) {
            timers.advance(Millis(now));
        }
        assert_eq!(
            count.0.load(Ordering::SeqCst),
            0,
            "visits on the way wake nobody"
        );
        timers.advance(Millis(3_010));
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn after_a_long_pause_everything_that_is_due_fires() {
        let timers = Rc::new(Timers::new());
        let timer = timers.timer();
        timers.advance(Millis(100));
        timer.set(Millis(900));
        timers.advance(Millis(1_000_000));
        assert!(is_expired(&timer));
        timer.set(Millis(1_000_100));
        assert_eq!(
            expiry(&timers, &timer, 1_000_010, 1_001_000),
            Some(1_000_100)
        );
    }

    #[test]
    fn a_reused_place_is_not_disturbed_by_its_predecessors_visits() {
        let timers = Rc::new(Timers::new());
        let first = timers.timer();
        first.set(Millis(100));
        drop(first);
        let second = timers.timer();
        second.set(Millis(700));
        assert_eq!(expiry(&timers, &second, 0, 2_000), Some(700));
    }
}
