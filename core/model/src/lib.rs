//! What things are: ids, pools, servers, verdicts, changes and the snapshot they make up.
//!
//! Data only. Every other crate speaks in these types; this one performs no I/O, knows no clock and
//! decides nothing that is not a property of the data itself.

mod change;
mod duration;
mod health;
mod ids;
mod pool;
mod position;
mod report;
mod server;
mod snapshot;
mod stamp;
mod validate;

pub use change::{Author, Change, Collection, Delta, Entry};
pub use duration::{duration_from, format_duration, parse_duration};
pub use health::{Health, Verdict};
pub use ids::{FleetName, InvalidName, NAME_LENGTH_MAX, PoolId, ServerId, ServerKey};
pub use pool::{
    Algorithm, CheckKind, Circuit, Guard, HashOn, Hashing, HealthCheck, Outlier, Pool, Queue,
    Retry, StatusRange, Timeouts,
};
pub use position::{Epoch, InstanceId, Position, Revision, RevisionId, Term};
pub use report::{
    Hold, HoldDecision, Instance, Nack, Origin, Registration, Report, Role, Ruling, ServerLoad,
    Suspicion, SuspicionKind,
};
pub use server::{Server, ServerState, WEIGHT_MAX};
pub use snapshot::{Fault, Snapshot};
pub use stamp::Stamped;
pub use validate::{Problem, Unknown, first_grave, validate_pool, validate_server};
