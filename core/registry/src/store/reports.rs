//! What instances and servers say of themselves, stamped with the registry's time. None of it makes a revision.

use std::time::Duration;

use model::{Instance, InstanceId, Registration, Report, ServerKey};

use super::{Store, whole_milliseconds};
use crate::Remembered;

#[derive(Debug, Clone)]
pub(crate) struct Reported {
    report: Report,
    at: Duration,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Renewed {
    lifetime: Duration,
    at: Duration,
}

/// What made the registry remember the instances from then on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mark {
    Seed,
    /// A commit found no mark, at this time: the instances that were there before are lost.
    Commit(Duration),
}

impl Store {
    /// Keeps an instance's report in place of its last one.
    pub fn report(&mut self, report: &Report, now: Duration) {
        let at = whole_milliseconds(now);
        let report = report.clone();
        self.instances
            .insert(report.instance, Reported { report, at });
    }

    /// Removes an instance's report; whether there was one.
    pub fn forget(&mut self, instance: InstanceId) -> bool {
        self.instances.remove(&instance).is_some()
    }

    /// Every report with its age, in the order of the instances' ids.
    pub fn instances(&self, now: Duration) -> Vec<Instance> {
        let now = whole_milliseconds(now);
        let instance = |reported: &Reported| Instance {
            report: reported.report.clone(),
            age: now.saturating_sub(reported.at),
        };
        self.instances.values().map(instance).collect()
    }

    /// Since when it has remembered the instances without a gap.
    pub fn remembered(&self, now: Duration) -> Remembered {
        match self.mark {
            None => Remembered::Unmarked,
            Some(Mark::Seed) => Remembered::Always,
            Some(Mark::Commit(at)) => {
                Remembered::For(whole_milliseconds(now).saturating_sub(whole_milliseconds(at)))
            }
        }
    }

    /// Says so, where it is not said.
    pub(super) fn mark_instances(&mut self, mark: Mark) {
        self.mark.get_or_insert(mark);
    }

    /// Renews a server's own lease.
    pub fn renew_registration(&mut self, key: &ServerKey, lifetime: Duration, now: Duration) {
        let renewed = Renewed {
            lifetime: whole_milliseconds(lifetime),
            at: whole_milliseconds(now),
        };
        self.registrations.insert(key.clone(), renewed);
    }

    /// Removes a server's own lease; whether there was one.
    pub fn remove_registration(&mut self, key: &ServerKey) -> bool {
        self.registrations.remove(key).is_some()
    }

    /// Every registration with its age, in the order of the keys.
    pub fn registrations(&self, now: Duration) -> Vec<Registration> {
        let now = whole_milliseconds(now);
        let registration = |(key, renewed): (&ServerKey, &Renewed)| Registration {
            key: key.clone(),
            age: now.saturating_sub(renewed.at),
            lifetime: renewed.lifetime,
        };
        self.registrations.iter().map(registration).collect()
    }
}
