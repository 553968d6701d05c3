//! The shared truth: what the registry promises, by role, and the backends that keep the promises.
//!
//! The protocol's logic (store, follower, lease, wait, recovery, clock) is pure and knows no socket, so that a
//! seeded simulation can run it against loss, reordering, crashes and forks. Only this crate names `redis`.

mod backoff;
mod bucket;
mod clock;
mod commit;
mod durability;
mod error;
mod follow;
pub mod follower;
mod guard;
mod head;
mod lag;
mod lease;
mod memory;
mod open;
mod options;
pub mod recovery;
mod redis;
mod roles;
mod silence;
mod state_file;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod timing;
mod view;
mod wait;

pub use bucket::{BucketName, Take, Taken};
pub use clock::RegistryClock;
pub use commit::{Commit, CommitError, Committed, HistoryEntry, Seen, Unseen};
pub use durability::Durability;
pub use error::RegistryError;
pub use follow::{FollowOptions, follow};
pub use guard::Witness;
pub use head::{Digest, Head};
pub use lag::Lags;
pub use lease::{Leadership, Lease, LeaseRequest};
pub use memory::Memory;
pub use open::{OpenError, open, open_shared};
pub use options::{Options, RegistryUrl, TlsFiles};
pub use roles::{
    Announcement, Announcements, Committing, Leading, Life, Listing, Metering, Observing, Reading,
    Registry, Remembered, Replication, Reporting, Snapshotted, Stream,
};
pub use silence::Silences;
pub use state_file::{Loaded, StateFile, StateFileError};
pub use store::Store;
#[cfg(feature = "testing")]
pub use store::StoreKey;
pub use timing::{
    FORGET_AFTER, HEARTBEAT_PERIOD, LEASE, LOST_AFTER, NOTICED_WITHIN, REPORT_PERIOD, TAKEOVER,
    TAKEOVER_BOUNDS,
};
pub use view::{Leader, View};
pub use wait::{
    Goal, Laggard, Leaving, Listings, Outcome, Waiter, standing, wait_for, wait_together,
};
