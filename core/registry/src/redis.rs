//! The registry in Redis: every change one script, every read of one moment, announcements by pub/sub.
//!
//! The scripts in `lua/` do what `store` does; a contract suite and a property test hold the two together. The
//! files here follow the traits: what is read, committed, led, said and observed, over one `Link`.

mod address;
mod advice;
mod committing;
mod errors;
mod keys;
mod leading;
mod link;
mod locate;
mod metering;
mod observing;
mod reading;
mod replicating;
mod reporting;
mod scripts;
mod settings;
mod slices;
mod subscription;
mod tls;
mod troubles;
mod wire;

use std::collections::BTreeSet;

use model::{Collection, FleetName};
use parking_lot::Mutex;

use keys::Keys;
use link::Link;
use locate::Locator;
use replicating::Lanes;
use scripts::Scripts;

pub(crate) use address::{Address, FORMS};
pub(crate) use tls::Tls;

/// The Redis backend.
#[derive(Debug)]
pub(crate) struct Redis {
    link: Link,
    /// For commits whose replicas are waited for.
    lanes: Lanes,
    keys: Keys,
    scripts: Scripts,
    /// The collections of a newer version that the head named last: they are read with the snapshot.
    others: Mutex<BTreeSet<Collection>>,
}

impl Redis {
    /// Connects when something is asked for first.
    pub(crate) fn new(address: Address, tls: Option<Tls>, fleet: &FleetName) -> Self {
        let keys = Keys::new(fleet);
        let locator = Locator::new(address, tls, keys.head.clone(), keys.all());
        Self {
            link: Link::new(locator),
            lanes: Lanes::default(),
            keys,
            scripts: Scripts::new(),
            others: Mutex::default(),
        }
    }
}
