//! The shared truth: what the registry promises, by role, and the backends that keep the promises.
//!
//! The protocol's logic (store, follower, lease, wait, recovery) is pure and knows no socket, so that a
//! seeded simulation can run it against loss, reordering, crashes and forks. Only this crate names `redis`.

mod backoff;
mod commit;
mod error;
mod follow;
pub mod follower;
mod guard;
mod head;
mod lease;
mod memory;
mod open;
mod options;
pub mod recovery;
mod redis;
mod roles;
mod state_file;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod timing;
mod view;
mod wait;

pub use commit::{Commit, CommitError, Committed, HistoryEntry};
pub use error::RegistryError;
pub use follow::{FollowOptions, follow};
pub use guard::Witness;
pub use head::{Digest, Head};
pub use lease::{Leadership, Lease, LeaseRequest};
pub use memory::Memory;
pub use open::{OpenError, open, open_shared};
pub use options::{Options, RegistryUrl};
pub use roles::{
    Announcement, Announcements, Committing, Leading, Life, Listing, Observing, Reading, Registry,
    Reporting, Snapshotted, Stream,
};
pub use state_file::{StateFile, StateFileError};
pub use store::Store;
pub use timing::{FORGET_AFTER, HEARTBEAT_PERIOD, LEASE, LOST_AFTER, REPORT_PERIOD, TAKEOVER};
pub use view::{Leader, View};
pub use wait::{Goal, Laggard, Outcome, Waiter, standing, wait_for};
