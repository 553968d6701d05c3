//! The concerns of an orchestrator, one file each.

pub(crate) mod auditing;
pub(crate) mod balancers;
pub(crate) mod forgetting;
pub(crate) mod health;
pub(crate) mod quorum;
pub(crate) mod recovery;
pub(crate) mod registrations;
pub(crate) mod secrets;
pub(crate) mod suspicions;
