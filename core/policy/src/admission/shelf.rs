//! Connections to one server that rest, for all threads: whoever has a place may take one, or close one to open his own.
//!
//! What is held and what rests together never exceed the server's bound once a connection is opened: whoever opens one has a place, so
//! the rest of the places and all that lies here are fewer than the bound, or something here is closed first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::Place;
use crate::Live;

/// The resting connections of a server that has a bound, the latest last.
#[derive(Debug)]
pub struct Shelf<C> {
    live: Arc<Live>,
    resting: Mutex<VecDeque<C>>,
}

impl<C> Shelf<C> {
    pub fn new(live: &Arc<Live>) -> Self {
        Self {
            live: Arc::clone(live),
            resting: Mutex::default(),
        }
    }

    /// Puts a connection here and gives its place back, which calls whoever waits for one.
    pub fn put(&self, connection: C, place: Place) {
        let mut resting = self.resting.lock();
        resting.push_back(connection);
        self.close_excess(&mut resting, 1);
        drop(resting);
        drop(place);
    }

    /// Takes the latest connection, or one of the `within` latest that is `preferred`. The taker has a place for it.
    pub fn take(&self, within: usize, preferred: impl Fn(&C) -> bool) -> Option<C> {
        let mut resting = self.resting.lock();
        let last = resting.len().checked_sub(1)?;
        let mut latest = (0..resting.len()).rev().take(within);
        let index = latest.find(|index| preferred(&resting[*index]));
        let taken = resting.remove(index.unwrap_or(last));
        self.count(&resting);
        taken
    }

    /// Closes as many as must be before whoever holds a place may open a connection: those that have rested longest.
    pub fn make_room(&self) {
        self.close_excess(&mut self.resting.lock(), 0);
    }

    /// Keeps those for which this holds.
    pub fn retain(&self, stays: impl FnMut(&C) -> bool) {
        let mut resting = self.resting.lock();
        resting.retain(stays);
        self.close_excess(&mut resting, 0);
    }

    pub fn is_empty(&self) -> bool {
        self.resting.lock().is_empty()
    }

    /// Closes what is too many before the lock is let go of, so that nobody opens a connection too early. `leaving` of the places
    /// that are held are about to be given back.
    fn close_excess(&self, resting: &mut VecDeque<C>, leaving: usize) {
        let places = self.live.places();
        let max = places.connections_max() as usize;
        while max > 0
            && !resting.is_empty()
            && places.held() as usize + resting.len() > max + leaving
        {
            resting.pop_front();
        }
        self.count(resting);
    }

    fn count(&self, resting: &VecDeque<C>) {
        let places = self.live.places();
        places.resting.store(resting.len(), Ordering::Relaxed);
    }
}
