//! Idle connections to servers that have a bound, shared by all threads: one that another thread used counts as much as one's own.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::thread::ThreadId;

use parking_lot::Mutex;
use policy::{Live, Shelf};

use super::NumberHasher;
use crate::clock::Millis;
use crate::stream::{Portable, Stream};

/// The shelves of one balancer, by the servers' numbers.
#[derive(Debug, Default)]
pub(crate) struct SharedIdle {
    shelves: Mutex<HashMap<u64, Arc<Shelf<Resting>>, BuildHasherDefault<NumberHasher>>>,
}

/// A connection that rests.
#[derive(Debug)]
pub(super) struct Resting {
    pub(super) stream: Portable,
    /// Whose runtime watches it.
    pub(super) keeper: ThreadId,
    pub(super) since: Millis,
}

impl SharedIdle {
    /// The shelf of a server. There is never another one while somebody has it.
    pub(super) fn shelf(&self, live: &Arc<Live>) -> Arc<Shelf<Resting>> {
        let mut shelves = self.shelves.lock();
        let shelf = shelves.entry(live.number());
        Arc::clone(shelf.or_insert_with(|| Arc::new(Shelf::new(live))))
    }

    /// Forgets those that are empty and that no thread has.
    pub(super) fn tidy(&self) {
        let is_used =
            |shelf: &Arc<Shelf<Resting>>| Arc::strong_count(shelf) > 1 || !shelf.is_empty();
        self.shelves.lock().retain(|_, shelf| is_used(shelf));
    }
}

impl Resting {
    /// The stream in this thread's hands, if it is still alive as far as can be told.
    pub(super) fn hand_over(self, thread: ThreadId, careful: bool) -> Option<Stream> {
        let stream = Stream::from(self.stream);
        if self.keeper == thread {
            let alive = stream.is_quiet() && !(careful && stream.has_news());
            return alive.then_some(stream);
        }
        // What the other thread's runtime knows of it may be old.
        if stream.has_news() {
            return None;
        }
        stream.taken_over()
    }
}
