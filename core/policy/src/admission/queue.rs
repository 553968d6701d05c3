//! Whose turn it is among those who wait for a place: first come, first served, and nobody waits while there is a place for him.
//!
//! One at a time is called to look for a place. Who would take any server and finds none ends the search, since then there is none;
//! who wants another server than those that failed him lets the next one look. Whatever comes free meanwhile is looked for from
//! the beginning again.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::task::Waker;

/// As many places as there may be.
const ALL: u64 = u64::MAX;

/// Those who wait, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: BTreeMap<u64, Waiter>,
    /// Those who would take any server.
    easy: usize,
    last_ticket: u64,
    /// Who is to look for a place.
    called: Option<u64>,
    /// How many more may find one.
    hopes: u64,
    /// Something came free while someone was looking: those before him may find it.
    news: bool,
}

#[derive(Debug)]
struct Waiter {
    choosy: bool,
    waker: Option<Waker>,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes the last place in the queue. A `choosy` one has servers that it would not take.
    pub(crate) fn join(&mut self, choosy: bool) -> u64 {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        let waiter = Waiter {
            choosy,
            waker: None,
        };
        self.waiting.insert(ticket, waiter);
        // Nobody before has found everything taken.
        if self.easy == 0 {
            self.hopes = ALL;
            self.called.get_or_insert(ticket);
        }
        self.easy += usize::from(!choosy);
        ticket
    }

    /// One place has come free. True where somebody is called by that.
    pub(crate) fn come_free(&mut self) -> bool {
        self.hope(1)
    }

    /// There may be any number of places.
    pub(crate) fn change(&mut self) -> bool {
        self.hope(ALL)
    }

    pub(crate) fn is_called(&self, ticket: u64) -> bool {
        self.called == Some(ticket)
    }

    /// The called one has looked, and there is nothing for it. True where another one is called.
    pub(crate) fn found_nothing(&mut self, ticket: u64) -> bool {
        if !self.is_called(ticket) {
            return false;
        }
        if !self.waiting[&ticket].choosy && !self.news {
            self.hopes = 0;
        }
        self.pass_on(ticket)
    }

    /// Leaves the queue, with a place or without. True where another one is called.
    pub(crate) fn leave(&mut self, ticket: u64, placed: bool) -> bool {
        let Some(waiter) = self.waiting.remove(&ticket) else {
            return false;
        };
        self.easy -= usize::from(!waiter.choosy);
        if !self.is_called(ticket) {
            return false;
        }
        if placed && self.hopes != ALL {
            self.hopes = self.hopes.saturating_sub(1);
        }
        self.pass_on(ticket)
    }

    /// Remembers how to wake a waiter.
    pub(crate) fn listen(&mut self, ticket: u64, waker: &Waker) {
        if let Some(waiter) = self.waiting.get_mut(&ticket)
            && !waiter
                .waker
                .as_ref()
                .is_some_and(|known| known.will_wake(waker))
        {
            waiter.waker = Some(waker.clone());
        }
    }

    /// Of the one who is called.
    pub(crate) fn waker(&self) -> Option<Waker> {
        self.waiting.get(&self.called?)?.waker.clone()
    }

    fn hope(&mut self, places: u64) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        self.hopes = self.hopes.saturating_add(places);
        if self.called.is_some() {
            self.news = true;
            return false;
        }
        self.call(Bound::Unbounded)
    }

    fn pass_on(&mut self, ticket: u64) -> bool {
        let after = if std::mem::take(&mut self.news) {
            Bound::Unbounded
        } else {
            Bound::Excluded(ticket)
        };
        self.call(after)
    }

    fn call(&mut self, after: Bound<u64>) -> bool {
        let mut next = self.waiting.range((after, Bound::Unbounded));
        self.called = next
            .next()
            .map(|(ticket, _)| *ticket)
            .filter(|_| self.hopes > 0);
        if self.called.is_none() {
            self.hopes = 0;
        }
        self.called.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls everyone who is called, who all find nothing, and says who they were.
    fn look_in_vain(queue: &mut Queue) -> Vec<u64> {
        let mut looked = Vec::new();
        while let Some(ticket) = queue.called {
            looked.push(ticket);
            queue.found_nothing(ticket);
        }
        looked
    }

    #[test]
    fn the_first_one_looks_and_the_next_only_when_something_comes_free() {
        let mut queue = Queue::default();
        let (first, second) = (queue.join(false), queue.join(false));
        assert_eq!(look_in_vain(&mut queue), [first]);
        assert!(queue.come_free());
        assert!(!queue.leave(first, true), "the one place is taken");
        assert!(queue.come_free());
        assert!(queue.is_called(second));
    }

    #[test]
    fn two_places_call_two() {
        let mut queue = Queue::default();
        let tickets = [queue.join(false), queue.join(false), queue.join(false)];
        look_in_vain(&mut queue);
        queue.come_free();
        queue.come_free();
        assert!(queue.leave(tickets[0], true));
        assert!(!queue.leave(tickets[1], true));
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn a_choosy_one_lets_the_next_look() {
        let mut queue = Queue::default();
        let (choosy, easy) = (queue.join(true), queue.join(false));
        assert_eq!(look_in_vain(&mut queue), [choosy, easy]);
        queue.come_free();
        assert!(queue.found_nothing(choosy));
        assert!(queue.is_called(easy));
    }

    #[test]
    fn what_comes_free_while_one_looks_is_looked_for_again() {
        let mut queue = Queue::default();
        let only = queue.join(false);
        queue.come_free();
        assert!(queue.found_nothing(only));
        assert!(queue.is_called(only));
        assert!(!queue.found_nothing(only));
    }

    #[test]
    fn the_called_one_that_goes_away_leaves_its_turn_to_the_next() {
        let mut queue = Queue::default();
        let (first, second) = (queue.join(false), queue.join(false));
        look_in_vain(&mut queue);
        queue.come_free();
        assert!(queue.leave(first, false));
        assert!(queue.is_called(second));
    }

    #[test]
    fn a_change_calls_everyone_until_one_finds_nothing() {
        let mut queue = Queue::default();
        let tickets = [queue.join(false), queue.join(false), queue.join(false)];
        look_in_vain(&mut queue);
        queue.change();
        assert!(queue.leave(tickets[0], true));
        assert!(queue.leave(tickets[1], true));
        assert!(!queue.found_nothing(tickets[2]));
    }
}
