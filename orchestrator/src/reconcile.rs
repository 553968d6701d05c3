//! The concerns of an orchestrator, one file each.

pub(crate) mod health;
pub(crate) mod housekeeping;
pub(crate) mod recovery;
pub(crate) mod registrations;
pub(crate) mod suspicions;
