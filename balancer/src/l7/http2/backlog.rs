//! How much of a connection's answers waits for its client: taken over, and not yet written to it. Past a bound an answer takes over more
//! only once nothing of it waits any more, and little at a time, so that a client that reads slowly, or not at all, has some of each answer
//! and no more. Since each may always have that, none waits for another one that its client does not read.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

/// Bytes that may wait before answers are held back.
const MOST: usize = 1 << 20;

/// Answers are let go on together, once so few bytes wait that there is something to do for each.
const FEW: usize = MOST / 2;

/// What waits of all answers of a connection.
#[derive(Default)]
pub(super) struct Backlog {
    count: Arc<AtomicUsize>,
    held_back: RefCell<Vec<(Arc<Counts>, Waker)>>,
}

/// What waits of one answer.
pub(super) struct Share(Arc<Counts>);

/// Bytes of one answer, and of all. They are atomic only because whoever has the memory at last may be anywhere.
struct Counts {
    own: AtomicUsize,
    all: Arc<AtomicUsize>,
}

/// Memory that is counted as long as something of it is needed.
struct Waiting {
    bytes: Vec<u8>,
    counts: Arc<Counts>,
}

impl Backlog {
    /// For one more answer.
    pub(super) fn share(&self) -> Share {
        Share(Arc::new(Counts {
            own: AtomicUsize::new(0),
            all: Arc::clone(&self.count),
        }))
    }

    /// Whether answers are held back.
    pub(super) fn is_full(&self) -> bool {
        self.count.load(Ordering::Relaxed) >= MOST
    }

    /// Ready when the answer may take over more.
    pub(super) fn poll_room(&self, share: &Share, context: &mut Context<'_>) -> Poll<()> {
        let Share(counts) = share;
        if counts.is_nothing() || !self.is_full() {
            return Poll::Ready(());
        }
        let mut held_back = self.held_back.borrow_mut();
        let known = held_back
            .iter_mut()
            .find(|(other, _)| Arc::ptr_eq(other, counts));
        match known {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => held_back.push((Arc::clone(counts), context.waker().clone())),
        }
        Poll::Pending
    }

    /// Lets those go on that may, after something was written or given up.
    pub(super) fn let_go_on(&self) {
        let few = self.count.load(Ordering::Relaxed) < FEW;
        self.held_back.borrow_mut().retain(|(counts, waker)| {
            let may = few || counts.is_nothing();
            if may {
                waker.wake_by_ref();
            }
            !may
        });
    }
}

impl Share {
    /// Counts the bytes until nothing refers to them any more.
    pub(super) fn take_over(&self, bytes: Vec<u8>) -> Bytes {
        let Self(counts) = self;
        counts.own.fetch_add(bytes.capacity(), Ordering::Relaxed);
        counts.all.fetch_add(bytes.capacity(), Ordering::Relaxed);
        Bytes::from_owner(Waiting {
            bytes,
            counts: Arc::clone(counts),
        })
    }
}

impl Counts {
    fn is_nothing(&self) -> bool {
        self.own.load(Ordering::Relaxed) == 0
    }
}

impl AsRef<[u8]> for Waiting {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let length = self.bytes.capacity();
        self.counts.own.fetch_sub(length, Ordering::Relaxed);
        self.counts.all.fetch_sub(length, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn past_the_bound_an_answer_has_one_piece_alone() {
        let woken = Arc::new(Woken::default());
        let waker = Arc::clone(&woken).into();
        let mut context = Context::from_waker(&waker);
        let backlog = Backlog::default();
        let (one, other) = (backlog.share(), backlog.share());
        let piece = one.take_over(vec![b'x'; MOST - 1]);
        assert!(backlog.poll_room(&one, &mut context).is_ready());
        let mut small = other.take_over(vec![b'x'; 2]);
        assert!(backlog.is_full());
        for share in [&one, &other, &one] {
            assert!(backlog.poll_room(share, &mut context).is_pending());
        }
        // A part of a piece holds all of its memory.
        drop(small.split_to(1));
        backlog.let_go_on();
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        drop(small);
        let third = backlog.share().take_over(vec![b'x'; 2]);
        backlog.let_go_on();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(backlog.poll_room(&other, &mut context).is_ready());
        assert!(backlog.poll_room(&one, &mut context).is_pending());
        drop(piece);
        backlog.let_go_on();
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        assert_eq!(third, "xx");
    }

    #[test]
    fn all_go_on_once_few_bytes_wait() {
        let woken = Arc::new(Woken::default());
        let waker = Arc::clone(&woken).into();
        let mut context = Context::from_waker(&waker);
        let backlog = Backlog::default();
        let (one, other) = (backlog.share(), backlog.share());
        let piece = one.take_over(vec![b'x'; MOST]);
        let _kept = other.take_over(vec![b'x'; FEW - 1]);
        assert!(backlog.poll_room(&other, &mut context).is_pending());
        backlog.let_go_on();
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        drop(piece);
        backlog.let_go_on();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(backlog.poll_room(&other, &mut context).is_ready());
    }
}
