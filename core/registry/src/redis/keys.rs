//! The names of a fleet's keys and channels. One hash tag holds them all, so that a script stays atomic on a
//! Redis Cluster.

use model::{Collection, FleetName};

use crate::BucketName;

/// Every key and channel of one fleet.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) head: String,
    pub(super) log: String,
    pub(super) history: String,
    pub(super) lease: String,
    pub(super) instances: String,
    pub(super) registrations: String,
    pub(super) idempotency: String,
    pub(super) changes: String,
    pub(super) reports: String,
    pub(super) suspicions: String,
    fleet: FleetName,
}

impl Keys {
    pub(super) fn new(fleet: &FleetName) -> Self {
        Self {
            head: name(fleet, "head"),
            log: name(fleet, "log"),
            history: name(fleet, "history"),
            lease: name(fleet, "lease"),
            instances: name(fleet, "instances"),
            registrations: name(fleet, "registrations"),
            idempotency: name(fleet, "idempotency"),
            changes: name(fleet, "changes"),
            reports: name(fleet, "reports"),
            suspicions: name(fleet, "suspicions"),
            fleet: fleet.clone(),
        }
    }

    /// All of them, as a person would write it.
    pub(super) fn all(&self) -> String {
        name(&self.fleet, "*")
    }

    pub(super) fn bucket(&self, bucket: &BucketName) -> String {
        name(&self.fleet, &format!("limit:{bucket}"))
    }

    pub(super) fn collection(&self, collection: Collection) -> String {
        name(&self.fleet, collection.as_str())
    }
}

fn name(fleet: &FleetName, part: &str) -> String {
    format!("roundhouse:{{{fleet}}}:{part}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_a_fleet_has_the_fleets_hash_tag() {
        let keys = Keys::new(&FleetName::standard());
        assert_eq!(keys.head, "roundhouse:{main}:head");
        assert_eq!(
            keys.collection(Collection::Servers),
            "roundhouse:{main}:servers"
        );
        let (limit, key) = ("api".parse().expect("a name"), 0xabc);
        assert_eq!(
            keys.bucket(&BucketName { limit, key }),
            format!("roundhouse:{{main}}:limit:api:{:029}abc", 0)
        );
    }
}
