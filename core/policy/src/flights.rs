//! How many requests a pool has in flight, counted only where an algorithm asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A pool's flights, counted over all threads and over all tables that know the pool.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flights(Arc<AtomicU64>);

/// One that is counted while it lives.
#[derive(Debug)]
pub(crate) struct Counted(Flights);

impl Flights {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn count_in(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
