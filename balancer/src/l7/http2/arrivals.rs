//! Streams that have come, and the tasks that serve them. A task that is done with one waits a little for the next: it is some
//! kilobytes, which would be copied and freed for each.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use tokio::sync::Notify;

use crate::clock::Millis;
use crate::timers::Timer;

/// A stream that has come.
pub(super) type Incomer = (Request<RecvStream>, SendResponse<Bytes>);

/// Whether somebody takes a stream up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taker {
    Waits,
    /// One more is needed.
    Missing,
}

/// What waits for tasks, and which of them wait.
#[derive(Debug)]
pub(super) struct Arrivals<T = Incomer> {
    queue: RefCell<VecDeque<T>>,
    /// Tasks that wait, and were not called.
    idle: Cell<usize>,
    called: Notify,
    is_over: Cell<bool>,
}

impl<T> Default for Arrivals<T> {
    fn default() -> Self {
        Self {
            queue: RefCell::default(),
            idle: Cell::new(0),
            called: Notify::new(),
            is_over: Cell::new(false),
        }
    }
}

impl<T> Arrivals<T> {
    /// Adds one, and calls the task that has waited for the shortest time, so that those that are too many run out of theirs.
    pub(super) fn add(&self, arrival: T) -> Taker {
        self.queue.borrow_mut().push_back(arrival);
        let Some(left) = self.idle.get().checked_sub(1) else {
            return Taker::Missing;
        };
        self.idle.set(left);
        self.called.notify_last();
        Taker::Waits
    }

    /// The next one; nothing where none has come before this moment, or none will. Not to be dropped while it waits: a stream would be
    /// left to nobody.
    pub(super) async fn next(&self, timer: &Timer, until: Millis) -> Option<T> {
        loop {
            if let Some(arrival) = self.queue.borrow_mut().pop_front() {
                return Some(arrival);
            }
            if self.is_over.get() || !self.is_called(timer, until).await {
                return None;
            }
        }
    }

    /// Whether the task is called before this moment.
    async fn is_called(&self, timer: &Timer, until: Millis) -> bool {
        self.idle.set(self.idle.get() + 1);
        timer.set(until);
        let mut called = pin!(self.called.notified());
        poll_fn(|context| {
            if called.as_mut().poll(context).is_ready() {
                timer.set(Millis::NEVER);
                return Poll::Ready(true);
            }
            timer.poll_expired(context).map(|()| {
                self.idle.set(self.idle.get() - 1);
                false
            })
        })
        .await
    }

    /// No more will come.
    pub(super) fn end(&self) {
        self.is_over.set(true);
        self.idle.set(0);
        self.called.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::rc::Rc;
    use std::task::{Context, Waker};

    use super::*;
    use crate::timers::Timers;

    const UNTIL: Millis = Millis(100);

    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn timers<const N: usize>(timers: &Rc<Timers>) -> [Timer; N] {
        [(); N].map(|()| timers.timer())
    }

    #[test]
    fn who_waits_takes_up_what_comes_and_others_are_asked_for() {
        let [one, other] = timers(&Rc::new(Timers::new()));
        let arrivals = Arrivals::<u32>::default();
        assert_eq!(arrivals.add(1), Taker::Missing);
        assert_eq!(poll(pin!(arrivals.next(&one, UNTIL))), Poll::Ready(Some(1)));
        let mut waiting = pin!(arrivals.next(&one, UNTIL));
        assert_eq!(poll(waiting.as_mut()), Poll::Pending);
        assert_eq!(arrivals.add(2), Taker::Waits);
        assert_eq!(arrivals.add(3), Taker::Missing);
        assert_eq!(poll(waiting), Poll::Ready(Some(2)));
        assert_eq!(
            poll(pin!(arrivals.next(&other, UNTIL))),
            Poll::Ready(Some(3))
        );
    }

    #[test]
    fn one_whose_stream_another_has_taken_waits_on() {
        let [one, other] = timers(&Rc::new(Timers::new()));
        let arrivals = Arrivals::<u32>::default();
        let mut waiting = pin!(arrivals.next(&one, UNTIL));
        assert_eq!(poll(waiting.as_mut()), Poll::Pending);
        assert_eq!(arrivals.add(1), Taker::Waits);
        assert_eq!(
            poll(pin!(arrivals.next(&other, UNTIL))),
            Poll::Ready(Some(1))
        );
        assert_eq!(poll(waiting.as_mut()), Poll::Pending);
        assert_eq!(arrivals.add(2), Taker::Waits);
        assert_eq!(poll(waiting), Poll::Ready(Some(2)));
    }

    #[test]
    fn of_two_who_wait_one_that_is_not_needed_ends_in_time() {
        let clock = Rc::new(Timers::new());
        let [first, second] = timers(&clock);
        let arrivals = Arrivals::<u32>::default();
        let mut first = pin!(arrivals.next(&first, UNTIL));
        let mut last = pin!(arrivals.next(&second, UNTIL));
        assert_eq!(poll(first.as_mut()), Poll::Pending);
        assert_eq!(poll(last.as_mut()), Poll::Pending);
        assert_eq!(arrivals.add(1), Taker::Waits);
        assert_eq!(poll(last), Poll::Ready(Some(1)));
        clock.advance(UNTIL);
        assert_eq!(poll(first), Poll::Ready(None));
        assert_eq!(arrivals.add(2), Taker::Missing);
    }

    #[test]
    fn nobody_waits_once_it_is_over() {
        let [one, other] = timers(&Rc::new(Timers::new()));
        let arrivals = Arrivals::<u32>::default();
        let mut waiting = pin!(arrivals.next(&one, UNTIL));
        assert_eq!(poll(waiting.as_mut()), Poll::Pending);
        arrivals.end();
        assert_eq!(poll(waiting), Poll::Ready(None));
        assert_eq!(poll(pin!(arrivals.next(&other, UNTIL))), Poll::Ready(None));
    }
}
