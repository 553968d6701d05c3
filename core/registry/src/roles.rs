//! What each role may do with the registry: one trait a right.
//!
//! A balancer reads and reports; an orchestrator also leads; the admin API also commits. The backends obey
//! all of them, and the contract tests hold both to the same behaviour.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use model::{
    Delta, Fault, Instance, InstanceId, Position, Registration, Report, ServerKey, Snapshot,
    Suspicion, Term,
};

use crate::{Commit, CommitError, Committed, Head, HistoryEntry, Leadership, RegistryError};

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
    /// The leader's heartbeat.
    Heartbeat(Head),
}

/// A confirmed subscription. It ends with an error when its connection does; a silent connection is
/// found out by the backend's own PINGs.
#[async_trait]
pub trait Stream<T>: Send {
    /// The next message. Cancel safe.
    async fn next(&mut self) -> Result<T, RegistryError>;
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
    /// Makes the head, with every element of the snapshot as it is stamped. Does nothing and answers
    /// `false` where a head exists.
    async fn seed(&self, snapshot: &Snapshot) -> Result<bool, RegistryError>;
    /// Renews a server's own lease, without a revision.
    async fn renew_registration(
        &self,
        key: &ServerKey,
        lifetime: Duration,
    ) -> Result<(), RegistryError>;
    async fn remove_registration(&self, key: &ServerKey) -> Result<(), RegistryError>;
    /// Removes an instance's report: an operator forgets it.
    async fn forget(&self, instance: InstanceId) -> Result<bool, RegistryError>;
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
    /// Gives the lease back, if it is still held.
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
    /// Stores a report, stamped with the registry's time; `announce` where somebody may wait for what changed.
    async fn report(&self, report: &Report, announce: bool) -> Result<(), RegistryError>;
    /// The instance ends in order: nobody waits for it any more.
    async fn deregister(&self, instance: InstanceId) -> Result<(), RegistryError>;
    async fn suspect(&self, suspicion: &Suspicion) -> Result<(), RegistryError>;
}

/// One unbroken memory of a registry's server. Another one, after a restart or a failover, may lack the last writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Life(pub String);

/// The instances as one life of the registry knows them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    pub life: Life,
    pub instances: Vec<Instance>,
}

/// What the leader and those who wait look at.
#[async_trait]
pub trait Observing: Send + Sync {
    async fn instances(&self) -> Result<Vec<Instance>, RegistryError>;
    /// The instances, and who remembers them.
    async fn listing(&self) -> Result<Listing, RegistryError>;
    async fn registrations(&self) -> Result<Vec<Registration>, RegistryError>;
    /// That a report changed in a way that someone may wait for.
    async fn reports(&self) -> Result<Box<dyn Stream<InstanceId>>, RegistryError>;
    async fn suspicions(&self) -> Result<Box<dyn Stream<Suspicion>>, RegistryError>;
}

/// The whole registry.
pub trait Registry: Reading + Committing + Leading + Reporting + Observing {}

impl<T: Reading + Committing + Leading + Reporting + Observing> Registry for T {}
