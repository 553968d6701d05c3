//! The registry within one process: the store behind a lock, its announcements over broadcast channels.
//!
//! What `roundhouse up` uses by default, and what most tests run on. It keeps every promise that the Redis
//! backend keeps, and is never out of reach; its memory ends with its process.

mod streams;

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use model::{
    Delta, Instance, InstanceId, Moment, Position, Registration, Report, ServerKey, Snapshot,
    Suspicion, Term,
};
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::bucket::Buckets;
use crate::{
    Announcement, Announcements, Commit, CommitError, Committed, Committing, Head, HistoryEntry,
    Leadership, Leading, Life, Listing, Metering, Observing, Reading, RegistryError, Reporting,
    Snapshotted, Store, Stream, Take, Taken,
};
use streams::Subscription;

/// How many messages a subscriber may be behind before it loses its subscription.
const CHANNEL_LENGTH: usize = 1024;

/// The memory backend.
#[derive(Debug)]
pub struct Memory {
    store: Mutex<Store>,
    buckets: Mutex<Buckets>,
    changes: broadcast::Sender<Announcement>,
    reports: broadcast::Sender<InstanceId>,
    suspicions: broadcast::Sender<Suspicion>,
    clock: Clock,
}

/// The registry's own time: it begins at the host's, and then never steps.
#[derive(Debug)]
struct Clock {
    began: Duration,
    at: Instant,
}

impl Clock {
    fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            began: since_epoch.unwrap_or_default(),
            at: Instant::now(),
        }
    }

    fn now(&self) -> Duration {
        self.began + self.at.elapsed()
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty registry, as a Redis is before its first fleet.
    pub fn new() -> Self {
        Self {
            store: Mutex::default(),
            buckets: Mutex::default(),
            changes: broadcast::Sender::new(CHANNEL_LENGTH),
            reports: broadcast::Sender::new(CHANNEL_LENGTH),
            suspicions: broadcast::Sender::new(CHANNEL_LENGTH),
            clock: Clock::start(),
        }
    }

    /// Reaches past the promises, as somebody with a Redis client could: for tests of what happens then.
    #[cfg(feature = "testing")]
    pub fn tamper<T>(&self, hand: impl FnOnce(&mut Store) -> T) -> T {
        hand(&mut self.store.lock())
    }

    /// Announces while the store is locked, so that announcements keep the order of the revisions.
    fn announce(&self, announcement: Announcement) {
        // Nobody listening is no failure.
        let _ = self.changes.send(announcement);
    }
}

#[async_trait]
impl Reading for Memory {
    async fn head(&self) -> Result<Option<Head>, RegistryError> {
        Ok(self.store.lock().head().cloned())
    }

    async fn snapshot(&self) -> Result<Option<Snapshotted>, RegistryError> {
        Ok(self.store.lock().snapshot())
    }

    async fn log_after(&self, position: Position) -> Result<Option<Vec<Delta>>, RegistryError> {
        Ok(self.store.lock().log_after(position))
    }

    async fn history(&self, limit: usize) -> Result<Vec<HistoryEntry>, RegistryError> {
        Ok(self.store.lock().history(limit))
    }

    async fn announcements(&self) -> Result<Announcements, RegistryError> {
        Ok(Subscription::boxed(&self.changes))
    }

    async fn warnings(&self) -> Result<Vec<String>, RegistryError> {
        Ok(Vec::new())
    }

    fn outlives_process(&self) -> bool {
        false
    }
}

#[async_trait]
impl Committing for Memory {
    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let mut store = self.store.lock();
        let (committed, delta) = store.commit(&commit, self.clock.now())?;
        if let Some(delta) = delta {
            self.announce(Announcement::Delta(delta));
        }
        Ok(committed)
    }

    async fn seed(&self, snapshot: &Snapshot) -> Result<bool, RegistryError> {
        let mut store = self.store.lock();
        let Some(origin) = store.seed(snapshot) else {
            return Ok(false);
        };
        self.announce(Announcement::Delta(origin));
        Ok(true)
    }

    async fn renew_registration(
        &self,
        key: &ServerKey,
        lifetime: Duration,
    ) -> Result<(), RegistryError> {
        let now = self.clock.now();
        self.store.lock().renew_registration(key, lifetime, now);
        Ok(())
    }

    async fn remove_registration(&self, key: &ServerKey) -> Result<(), RegistryError> {
        self.store.lock().remove_registration(key);
        Ok(())
    }

    async fn forget(&self, instance: InstanceId) -> Result<bool, RegistryError> {
        let known = self.store.lock().forget(instance);
        let _ = self.reports.send(instance);
        Ok(known)
    }
}

#[async_trait]
impl Leading for Memory {
    async fn acquire(
        &self,
        instance: InstanceId,
        lifetime: Duration,
    ) -> Result<Option<Head>, RegistryError> {
        let now = self.clock.now();
        Ok(self.store.lock().acquire(instance, lifetime, now))
    }

    async fn renew(
        &self,
        instance: InstanceId,
        term: Term,
        lifetime: Duration,
    ) -> Result<Option<Head>, RegistryError> {
        let mut store = self.store.lock();
        let head = store.renew(instance, term, lifetime, self.clock.now());
        if let Some(head) = &head {
            self.announce(Announcement::Heartbeat(head.clone()));
        }
        Ok(head)
    }

    async fn release(&self, instance: InstanceId, term: Term) -> Result<(), RegistryError> {
        let mut store = self.store.lock();
        if let Some(head) = store.release(instance, term) {
            self.announce(Announcement::Heartbeat(head));
        }
        Ok(())
    }

    async fn forget_for(
        &self,
        leadership: &Leadership,
        instance: InstanceId,
    ) -> Result<bool, CommitError> {
        let mut store = self.store.lock();
        store.check_leadership(leadership)?;
        let known = store.forget(instance);
        let _ = self.reports.send(instance);
        Ok(known)
    }

    async fn remove_registration_for(
        &self,
        leadership: &Leadership,
        key: &ServerKey,
    ) -> Result<bool, CommitError> {
        let mut store = self.store.lock();
        store.check_leadership(leadership)?;
        Ok(store.remove_registration(key))
    }
}

#[async_trait]
impl Reporting for Memory {
    async fn report(&self, report: &Report, announce: bool) -> Result<Moment, RegistryError> {
        let now = self.clock.now();
        self.store.lock().report(report, now);
        if announce {
            let _ = self.reports.send(report.instance);
        }
        Ok(Moment::after_epoch(now))
    }

    async fn deregister(&self, instance: InstanceId) -> Result<(), RegistryError> {
        self.forget(instance).await.map(drop)
    }

    async fn suspect(&self, suspicion: &Suspicion) -> Result<(), RegistryError> {
        let _ = self.suspicions.send(suspicion.clone());
        Ok(())
    }
}

#[async_trait]
impl Metering for Memory {
    async fn take(&self, takes: &[Take]) -> Result<Vec<Taken>, RegistryError> {
        let mut buckets = self.buckets.lock();
        let now = self.clock.now();
        Ok(takes.iter().map(|take| buckets.take(take, now)).collect())
    }
}

#[async_trait]
impl Observing for Memory {
    async fn instances(&self) -> Result<Vec<Instance>, RegistryError> {
        let now = self.clock.now();
        Ok(self.store.lock().instances(now))
    }

    async fn listing(&self) -> Result<Listing, RegistryError> {
        let store = self.store.lock();
        let now = self.clock.now();
        Ok(Listing {
            life: Life::default(),
            remembered: store.remembered(now),
            position: store.head().map(|head| head.position),
            instances: store.instances(now),
        })
    }

    async fn lag(&self, applied: Position) -> Result<Option<Duration>, RegistryError> {
        let store = self.store.lock();
        Ok(store.lag(applied, self.clock.now()))
    }

    async fn registrations(&self) -> Result<Vec<Registration>, RegistryError> {
        let now = self.clock.now();
        Ok(self.store.lock().registrations(now))
    }

    async fn reports(&self) -> Result<Box<dyn Stream<InstanceId>>, RegistryError> {
        Ok(Subscription::boxed(&self.reports))
    }

    async fn suspicions(&self) -> Result<Box<dyn Stream<Suspicion>>, RegistryError> {
        Ok(Subscription::boxed(&self.suspicions))
    }
}
