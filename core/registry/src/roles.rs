//! What each role may do with the registry: one trait a right.
//!
//! All of them read, report and observe; the admin API also commits; an orchestrator commits and leads. The backends obey
//! all of them, and the contract tests hold both to the same behaviour.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use model::{
    Delta, Fault, Instance, InstanceId, Moment, Position, Registration, Report, ServerKey,
    Snapshot, Suspicion, Term,
};
use tokio::time::Instant;

use crate::{
    Commit, CommitError, Committed, Head, HistoryEntry, Leadership, RegistryError, Take, Taken,
};

/// A snapshot with the head that it was read with, atomically.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshotted {
    pub head: Head,
    /// `snapshot.faults` names the elements that could not be read.
    pub snapshot: Snapshot,
    /// Collections whose content is not what the head says: by other hands, or evicted.
    pub damage: Vec<Fault>,
}

/// What comes over the `changes` channel.
#[derive(Debug, Clone, PartialEq)]
pub enum Announcement {
    Delta(Delta),
    /// The leader's heartbeat; without a leader where one gave the lease back.
    Heartbeat(Head),
}

/// A confirmed subscription. It ends with an error when its connection does; a silent connection is
/// found out by the backend's own PINGs.
#[async_trait]
pub trait Stream<T>: Send {
    /// The next message. Cancel safe.
    async fn next(&mut self) -> Result<T, RegistryError>;
    /// When the registry was last heard on this connection, be it no more than the answer to a PING. One that has no
    /// connection to lose is heard at any time.
    fn heard(&self) -> Instant {
        Instant::now()
    }
}

/// The `changes` channel.
pub type Announcements = Box<dyn Stream<Announcement>>;

/// What everyone may do.
#[async_trait]
pub trait Reading: Send + Sync + fmt::Debug {
    /// Nothing where the registry has no memory.
    async fn head(&self) -> Result<Option<Head>, RegistryError>;
    /// Everything, atomically. Nothing where the registry has no memory.
    async fn snapshot(&self) -> Result<Option<Snapshotted>, RegistryError>;
    /// The revisions after a position, in order; nothing where the log does not hold that very position.
    async fn log_after(&self, position: Position) -> Result<Option<Vec<Delta>>, RegistryError>;
    /// The latest desired changes, newest first.
    async fn history(&self, limit: usize) -> Result<Vec<HistoryEntry>, RegistryError>;
    /// Subscribes to `changes`; returns once the subscription is confirmed.
    async fn announcements(&self) -> Result<Announcements, RegistryError>;
    /// What the registry's settings should be and are not, a sentence each.
    async fn warnings(&self) -> Result<Vec<String>, RegistryError>;
    /// Whether what it holds outlives this process. Where it does not, a start finds nothing, and nothing is lost.
    fn outlives_process(&self) -> bool {
        true
    }
    /// What this process is refused at present, and what it found by other hands. Each was logged when it began.
    fn troubles(&self) -> Vec<RegistryError> {
        Vec::new()
    }
}

/// What who may change the state may do.
#[async_trait]
pub trait Committing: Send + Sync {
    /// Checks everything, then writes, numbers, logs and publishes, in one step.
    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError>;
    /// The same, and who can say afterwards how many of the registry's replicas have it.
    async fn commit_to_replicas<'a>(
        &'a self,
        commit: Commit,
    ) -> Result<(Committed, Box<dyn Replication + 'a>), CommitError> {
        Ok((self.commit(commit).await?, Box::new(NoReplicas)))
    }
    /// Makes the head, with every element of the snapshot as it is stamped. Does nothing and answers
    /// `false` where a head exists.
    async fn seed(&self, snapshot: &Snapshot) -> Result<bool, RegistryError>;
    /// Renews a server's own lease, without a revision.
    async fn renew_registration(
        &self,
        key: &ServerKey,
        lifetime: Duration,
    ) -> Result<(), RegistryError>;
    /// Removes a server's own lease, where it has one, without a revision.
    async fn remove_registration(&self, key: &ServerKey) -> Result<(), RegistryError>;
    /// Removes an instance's report, for an operator who forgets it; whether there was one.
    async fn forget(&self, instance: InstanceId) -> Result<bool, RegistryError>;
}

/// One commit's way to the registry's replicas.
#[async_trait]
pub trait Replication: Send {
    /// Waits until so many replicas have the commit, or the time is over; how many then have it.
    async fn reached(
        self: Box<Self>,
        replicas: u16,
        within: Duration,
    ) -> Result<u64, RegistryError>;
}

/// The way of a commit to a registry that has no replicas.
struct NoReplicas;

#[async_trait]
impl Replication for NoReplicas {
    async fn reached(self: Box<Self>, _: u16, _: Duration) -> Result<u64, RegistryError> {
        Ok(0)
    }
}

/// What an orchestrator may do.
#[async_trait]
pub trait Leading: Send + Sync {
    /// Takes the lease where nobody else holds it, and increments the term. Nothing where somebody else
    /// does, or where there is no head.
    async fn acquire(
        &self,
        instance: InstanceId,
        lifetime: Duration,
    ) -> Result<Option<Head>, RegistryError>;
    /// Renews the lease and publishes the head as a heartbeat. Nothing where it is no longer held.
    async fn renew(
        &self,
        instance: InstanceId,
        term: Term,
        lifetime: Duration,
    ) -> Result<Option<Head>, RegistryError>;
    /// Gives the lease back, if it is still held, and publishes the head as a heartbeat without a leader.
    async fn release(&self, instance: InstanceId, term: Term) -> Result<(), RegistryError>;
    /// Removes an instance's report, where this leadership stands; whether there was one.
    async fn forget_for(
        &self,
        leadership: &Leadership,
        instance: InstanceId,
    ) -> Result<bool, CommitError>;
    /// Removes a server's own lease, where this leadership stands; whether there was one.
    async fn remove_registration_for(
        &self,
        leadership: &Leadership,
        key: &ServerKey,
    ) -> Result<bool, CommitError>;
}

/// What every instance says.
#[async_trait]
pub trait Reporting: Send + Sync {
    /// Stores a report, stamped with the registry's time, which is the answer; `announce` where somebody may wait
    /// for what changed.
    async fn report(&self, report: &Report, announce: bool) -> Result<Moment, RegistryError>;
    /// The instance ends in order: nobody waits for it any more.
    async fn deregister(&self, instance: InstanceId) -> Result<(), RegistryError>;
    /// Publishes that a server seems to fail. Whoever does not listen at that moment never hears of it.
    async fn suspect(&self, suspicion: &Suspicion) -> Result<(), RegistryError>;
}

/// One unbroken memory of a registry's server. Another one, after a restart or a failover, may lack the last writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Life(pub String);

/// The instances as one life of the registry knows them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    pub life: Life,
    pub remembered: Remembered,
    /// Where its history stands; nothing where it has no memory.
    pub position: Option<Position>,
    pub instances: Vec<Instance>,
}

/// Since when a registry has remembered the instances without a gap: whom it knew before, it may have lost, by an eviction say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Remembered {
    /// It lost them after the last commit.
    #[default]
    Unmarked,
    /// Since its history began, or since a version that did not say when.
    Always,
    /// For so long: then a commit found them lost.
    For(Duration),
}

/// What the leader and those who wait look at.
#[async_trait]
pub trait Observing: Send + Sync {
    /// The instances that have reported and were not forgotten since, the silent ones included, each with its report's age.
    async fn instances(&self) -> Result<Vec<Instance>, RegistryError>;
    /// The instances, and who remembers them.
    async fn listing(&self) -> Result<Listing, RegistryError>;
    /// How long ago, by the registry's own clock, the oldest revision was committed that is not in the state at this
    /// position; at least so long, where the log has lost that one. `Duration::ZERO` where there is no such revision, `None`
    /// where the log cannot say.
    async fn lag(&self, applied: Position) -> Result<Option<Duration>, RegistryError>;
    /// Every server that has a lease of its own, that which ran out included, each with its age.
    async fn registrations(&self) -> Result<Vec<Registration>, RegistryError>;
    /// Whose report was announced: it changed in a way that someone may wait for. Returns once the subscription is confirmed.
    async fn reports(&self) -> Result<Box<dyn Stream<InstanceId>>, RegistryError>;
    /// The suspicions from now on. Returns once the subscription is confirmed.
    async fn suspicions(&self) -> Result<Box<dyn Stream<Suspicion>>, RegistryError>;
}

/// What balancers count requests with.
#[async_trait]
pub trait Metering: Send + Sync {
    /// Takes from each of these buckets, by the registry's own clock; what each had is in their order.
    async fn take(&self, takes: &[Take]) -> Result<Vec<Taken>, RegistryError>;
}

/// The whole registry.
pub trait Registry: Reading + Committing + Leading + Reporting + Observing + Metering {}

impl<T: Reading + Committing + Leading + Reporting + Observing + Metering> Registry for T {}
