//! The leader's lease: who holds it until when, and what taking, renewing and giving it back do to the head.

use std::time::Duration;

use model::{InstanceId, Term};

use super::Store;
use crate::{CommitError, Head, Leadership};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    holder: InstanceId,
    lifetime: Duration,
    until: Duration,
}

impl Store {
    /// Takes the lease where nobody else holds it, and increments the term, for its holder too. One that would last
    /// longer than it was taken for is from before the registry's clock was set back: its rest counts from now.
    pub fn acquire(
        &mut self,
        instance: InstanceId,
        lifetime: Duration,
        now: Duration,
    ) -> Option<Head> {
        let holder = self.lease_holder(now);
        if holder.is_some_and(|holder| holder != instance) {
            if let Some(lease) = &mut self.lease {
                lease.until = lease.until.min(now + lease.lifetime);
            }
            return None;
        }
        let head = self.head.as_mut()?;
        head.term = head.term.next();
        head.leader = Some(instance);
        let answer = head.clone();
        self.hold_lease(instance, lifetime, now);
        Some(answer)
    }

    /// Renews the lease; the answer is the heartbeat to publish. Nothing where it is no longer held.
    pub fn renew(
        &mut self,
        instance: InstanceId,
        term: Term,
        lifetime: Duration,
        now: Duration,
    ) -> Option<Head> {
        let held = self.lease_holder(now) == Some(instance);
        let head = self.head.clone()?;
        if !held || !leads(&head, instance, term) {
            return None;
        }
        self.hold_lease(instance, lifetime, now);
        Some(head)
    }

    /// Gives the lease back, if it is still held; the answer is the heartbeat to publish, which names no
    /// leader.
    pub fn release(&mut self, instance: InstanceId, term: Term) -> Option<Head> {
        let head = self.head.as_mut()?;
        if !leads(head, instance, term) {
            return None;
        }
        head.leader = None;
        if self.lease.is_some_and(|lease| lease.holder == instance) {
            self.lease = None;
        }
        Some(head.clone())
    }

    /// Whether this leadership stands.
    ///
    /// # Errors
    /// It does not: why, as a commit of that leader would learn it.
    pub fn check_leadership(&self, leadership: &Leadership) -> Result<(), CommitError> {
        let head = self.head.as_ref().ok_or(CommitError::Uninitialised)?;
        let epoch = head.position.epoch;
        if leadership.epoch != epoch {
            return Err(CommitError::OtherEpoch { epoch });
        }
        if !leads(head, leadership.instance, leadership.term) {
            let (term, leader) = (head.term, head.leader);
            return Err(CommitError::NotLeading { term, leader });
        }
        Ok(())
    }

    /// Has the lease, where one is held, last for so much longer, as it does when the registry's clock is set back.
    #[cfg(feature = "testing")]
    pub fn prolong_lease(&mut self, by: Duration) {
        if let Some(lease) = &mut self.lease {
            lease.until += by;
        }
    }

    fn lease_holder(&self, now: Duration) -> Option<InstanceId> {
        let lease = self.lease.filter(|lease| now < lease.until)?;
        Some(lease.holder)
    }

    fn hold_lease(&mut self, holder: InstanceId, lifetime: Duration, now: Duration) {
        let until = now + lifetime;
        self.lease = Some(Lease {
            holder,
            lifetime,
            until,
        });
    }
}

/// Whether the head says that this instance leads in this term.
pub(super) fn leads(head: &Head, instance: InstanceId, term: Term) -> bool {
    head.leader == Some(instance) && head.term == term
}
