//! How a table reaches the workers, and how it is known that all of them have it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use policy::Table;
use tokio::sync::{Notify, watch};

use crate::tls::Tls;

/// A table, numbered in the order of publication.
#[derive(Debug, Clone, Default)]
pub(crate) struct Published {
    pub(crate) generation: u64,
    pub(crate) table: Arc<Table>,
    /// What TLS is spoken with while that is in force.
    pub(crate) tls: Arc<Tls>,
    /// Whether it is too old to be used: no request is sent to a server of it.
    pub(crate) stale: bool,
}

/// One worker's end.
pub(crate) struct Adoption {
    tables: watch::Receiver<Published>,
    adopted: Arc<Adopted>,
    worker: usize,
    /// The generation that was taken last.
    taken: u64,
}

/// Which generation each worker has taken over.
#[derive(Debug)]
pub(crate) struct Adopted {
    generations: Vec<AtomicU64>,
    changed: Notify,
}

impl Adopted {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            generations: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            changed: Notify::new(),
        }
    }

    /// The latest generation that every worker has: older ones are let go of.
    pub(crate) fn by_all(&self) -> u64 {
        let generations = self.generations.iter();
        let generations = generations.map(|generation| generation.load(Ordering::Acquire));
        generations.min().unwrap_or(u64::MAX)
    }

    /// Returns when some worker has taken over another one since the last call.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Adoption {
    pub(crate) fn new(
        mut tables: watch::Receiver<Published>,
        adopted: Arc<Adopted>,
        worker: usize,
    ) -> Self {
        // There may be a table already.
        tables.mark_changed();
        Self {
            tables,
            adopted,
            worker,
            taken: 0,
        }
    }

    /// The next table; nothing once no more will come.
    pub(crate) async fn next(&mut self) -> Option<Published> {
        self.tables.changed().await.ok()?;
        let published = self.tables.borrow_and_update().clone();
        self.taken = published.generation;
        Some(published)
    }

    /// The worker has let go of every older table.
    pub(crate) fn done(&self) {
        self.adopted.generations[self.worker].store(self.taken, Ordering::Release);
        self.adopted.changed.notify_one();
    }
}
