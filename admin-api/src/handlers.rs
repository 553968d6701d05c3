//! The answers, a file for each kind of path.

pub(crate) mod document;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod fallback;
pub(crate) mod holds;
pub(crate) mod instances;
pub(crate) mod registrations;
pub(crate) mod resources;
pub(crate) mod revisions;
pub(crate) mod secrets;
pub(crate) mod servers;
pub(crate) mod status;
