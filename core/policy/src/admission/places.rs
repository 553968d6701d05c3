//! The places at one server: how many connections it takes from this balancer, and how many hold a place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::{Admission, Unpicked};
use crate::Live;

/// Shared by all threads, and by every table that knows the server.
#[derive(Debug)]
pub(crate) struct Places {
    /// Of its pool: whoever waits there is told when a place comes free.
    admission: Arc<Admission>,
    /// Connections at the same time; 0 where there is no bound.
    connections_max: AtomicU32,
    /// Requests in flight at the same time; 0 where there is no bound.
    requests_max: AtomicU32,
    held: AtomicU32,
    /// Connections on the shelf that all threads share.
    pub(super) resting: AtomicUsize,
}

/// One of a server's places, from before a connection is opened until after it was closed, or put where every thread may take it.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub struct Place(Arc<Live>);

impl Places {
    pub(crate) fn new(admission: Arc<Admission>) -> Self {
        Self {
            admission,
            connections_max: AtomicU32::new(0),
            requests_max: AtomicU32::new(0),
            held: AtomicU32::new(0),
            resting: AtomicUsize::new(0),
        }
    }

    /// From now on there are so many; those that are held beyond that come to an end by themselves.
    pub(crate) fn bound(&self, connections_max: u32, requests_max: u32) {
        self.connections_max
            .store(connections_max, Ordering::Relaxed);
        self.requests_max.store(requests_max, Ordering::Relaxed);
    }

    pub(crate) fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    pub(crate) fn connections_max(&self) -> u32 {
        self.connections_max.load(Ordering::Relaxed)
    }

    pub(crate) fn requests_max(&self) -> u32 {
        self.requests_max.load(Ordering::Relaxed)
    }

    pub(crate) fn held(&self) -> u32 {
        self.held.load(Ordering::SeqCst)
    }

    /// Connections that are open or about to be, those that rest included.
    pub(crate) fn connections(&self) -> usize {
        self.held() as usize + self.resting.load(Ordering::Relaxed)
    }

    /// What is in the way of one more request.
    pub(crate) fn room(&self, in_flight: u64) -> Result<(), Unpicked> {
        let requests_max = self.requests_max();
        if requests_max > 0 && in_flight >= u64::from(requests_max) {
            return Err(Unpicked::CircuitOpen);
        }
        let connections_max = self.connections_max();
        if connections_max > 0 && self.held() >= connections_max {
            return Err(Unpicked::Full);
        }
        Ok(())
    }
}

impl Place {
    /// One of those that are left. Without a bound a place is taken with the connection, and not before.
    pub(crate) fn reserve(live: &Arc<Live>) -> Result<Option<Self>, Unpicked> {
        let max = live.places().connections_max();
        if max == 0 {
            return Ok(None);
        }
        let one_more = |held: u32| (held < max).then_some(held + 1);
        let held = &live.places().held;
        held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more)
            .map_err(|_| Unpicked::Full)?;
        Ok(Some(Self(Arc::clone(live))))
    }

    /// One for a connection that nothing was reserved for, since there was no bound when its server was picked.
    pub fn take(live: &Arc<Live>) -> Self {
        live.places().held.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(live))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let places = self.0.places();
        places.held.fetch_sub(1, Ordering::SeqCst);
        places.admission.come_free();
    }
}
