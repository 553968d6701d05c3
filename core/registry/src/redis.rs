//! The registry in Redis: every change one script, every read one transaction, announcements by pub/sub.
//!
//! The scripts in `lua/` do what `store` does; a contract suite and a property test hold the two together. The
//! files here follow the traits: what is read, committed, led, said and observed, over one `Link`.

mod committing;
mod errors;
mod keys;
mod leading;
mod link;
mod observing;
mod reading;
mod reporting;
mod scripts;
mod settings;
mod subscription;
mod troubles;
mod wire;

use model::FleetName;

use keys::Keys;
use link::Link;
use scripts::Scripts;

/// The Redis backend.
#[derive(Debug)]
pub(crate) struct Redis {
    link: Link,
    keys: Keys,
    scripts: Scripts,
}

impl Redis {
    /// Takes the address apart, and connects when something is asked for first.
    ///
    /// # Errors
    /// What is wrong with the address, without repeating it.
    pub(crate) fn new(url: &str, fleet: &FleetName) -> Result<Self, String> {
        let keys = Keys::new(fleet);
        Ok(Self {
            link: Link::new(url, keys.all())?,
            keys,
            scripts: Scripts::new(),
        })
    }
}
