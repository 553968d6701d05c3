//! Who this balancer is, as it says in its reports.

use std::path::PathBuf;

use model::{FleetName, InstanceId};

#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) instance: InstanceId,
    pub(crate) fleet: FleetName,
    pub(crate) advertise: String,
    pub(crate) host: String,
    pub(crate) region: String,
    pub(crate) zone: String,
    /// Where the last good state is kept.
    pub(crate) state_file: Option<PathBuf>,
}
