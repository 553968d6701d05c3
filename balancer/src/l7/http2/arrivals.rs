//! Streams that have come, and the tasks that serve them. A task that is done with one waits for the next, as long as others are under way:
//! making a task costs more than anything else that a short request costs here.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use tokio::sync::Notify;

/// Tasks that wait, at most, besides as many as streams are under way.
const SPARE: usize = 16;

/// A stream that has come.
pub(super) type Arrival = (Request<RecvStream>, SendResponse<Bytes>);

/// Whether somebody takes a stream up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taker {
    Waits,
    /// One more is needed.
    Missing,
}

/// What waits for tasks, and which of them wait.
#[derive(Debug)]
pub(super) struct Arrivals<T = Arrival> {
    queue: RefCell<VecDeque<T>>,
    /// Tasks that wait, and were not called.
    idle: Cell<usize>,
    called: Notify,
}

impl<T> Default for Arrivals<T> {
    fn default() -> Self {
        Self {
            queue: RefCell::default(),
            idle: Cell::new(0),
            called: Notify::new(),
        }
    }
}

impl<T> Arrivals<T> {
    /// Adds one, for the task that has waited for the longest.
    pub(super) fn add(&self, arrival: T) -> Taker {
        self.queue.borrow_mut().push_back(arrival);
        let Some(left) = self.idle.get().checked_sub(1) else {
            return Taker::Missing;
        };
        self.idle.set(left);
        self.called.notify_one();
        Taker::Waits
    }

    /// The next one; nothing where the task that asks is not needed any more. `under_way` says how many streams are.
    pub(super) async fn next(&self, under_way: impl Fn() -> usize) -> Option<T> {
        loop {
            if let Some(arrival) = self.queue.borrow_mut().pop_front() {
                return Some(arrival);
            }
            let under_way = under_way();
            let idle = self.idle.get();
            if under_way == 0 || idle >= under_way + SPARE {
                return None;
            }
            self.idle.set(idle + 1);
            self.called.notified().await;
        }
    }

    /// Sends away all who wait.
    pub(super) fn dismiss(&self) {
        if self.idle.replace(0) > 0 {
            self.called.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn who_waits_takes_up_what_comes_and_others_are_asked_for() {
        let arrivals = Arrivals::<u32>::default();
        assert_eq!(arrivals.add(1), Taker::Missing);
        assert_eq!(poll(pin!(arrivals.next(|| 1))), Poll::Ready(Some(1)));
        let mut waiting = pin!(arrivals.next(|| 1));
        assert_eq!(poll(waiting.as_mut()), Poll::Pending);
        assert_eq!(arrivals.add(2), Taker::Waits);
        assert_eq!(arrivals.add(3), Taker::Missing);
        assert_eq!(poll(waiting), Poll::Ready(Some(2)));
        assert_eq!(poll(pin!(arrivals.next(|| 1))), Poll::Ready(Some(3)));
    }

    #[test]
    fn one_whose_stream_another_has_taken_waits_on() {
        let arrivals = Arrivals::<u32>::default();
        let mut waiting = pin!(arrivals.next(|| 1));
        assert_eq!(poll(waiting.as_mut()), Poll::Pending);
        assert_eq!(arrivals.add(1), Taker::Waits);
        assert_eq!(poll(pin!(arrivals.next(|| 1))), Poll::Ready(Some(1)));
        assert_eq!(poll(waiting.as_mut()), Poll::Pending);
        assert_eq!(arrivals.add(2), Taker::Waits);
        assert_eq!(poll(waiting), Poll::Ready(Some(2)));
    }

    #[test]
    fn nobody_waits_on_a_quiet_connection_and_few_beyond_those_at_work() {
        let arrivals = Arrivals::<u32>::default();
        assert_eq!(poll(pin!(arrivals.next(|| 0))), Poll::Ready(None));
        let mut waiting: Vec<_> = (0..20).map(|_| Box::pin(arrivals.next(|| 2))).collect();
        let ended = waiting.iter_mut().map(|one| poll(one.as_mut()));
        assert_eq!(ended.filter(Poll::is_ready).count(), 20 - 2 - SPARE);
        let under_way = Cell::new(1);
        let mut last = pin!(arrivals.next(|| under_way.get()));
        assert_eq!(poll(last.as_mut()), Poll::Ready(None));
        drop(waiting);
        let arrivals = Arrivals::<u32>::default();
        let mut last = pin!(arrivals.next(|| under_way.get()));
        assert_eq!(poll(last.as_mut()), Poll::Pending);
        under_way.set(0);
        arrivals.dismiss();
        assert_eq!(poll(last), Poll::Ready(None));
        assert_eq!(arrivals.add(1), Taker::Missing);
    }
}
