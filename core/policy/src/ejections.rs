//! Which servers of a pool are ejected, and until when: one balancer's own doing, on its own evidence.
//!
//! A worker that sees a rule broken ejects at once; it knows neither the time nor chance, so how long an ejection lasts is settled a
//! moment later, off the request path, where servers are also compared with one another and those whose time is over come back.
//! Never are more than a share of the pool's servers that may be picked ejected, and never the last one of them.
//!
//! A worker takes the quota's lock alone, and for a few steps however many servers there are. All that looks at each server happens
//! under the records' lock, which no worker takes, and is told to the quota when it is done.

mod quota;
mod records;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::outlier::Rule;
use crate::tier::Member;
use crate::{Live, Server};

use quota::Quota;
use records::Records;

/// One pool's, shared by all threads and by every table that knows the pool. Times are on the callers' clock.
#[derive(Debug, Default)]
pub struct Ejections {
    quota: Quota,
    records: Mutex<Records>,
}

/// A server that was ejected just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ejection {
    /// The incarnation's number.
    pub server: u64,
    pub rule: Rule,
    /// How long it is ejected for.
    pub lasts: Duration,
}

impl Ejections {
    /// The pool's settings and servers are these now, and these members of it may be picked. What is known of each incarnation stays.
    pub(crate) fn update(
        &self,
        rules: &model::Outlier,
        servers: &[Arc<Server>],
        members: &[Member],
    ) {
        let mut records = self.records.lock();
        records.change(rules, servers, members, &self.quota);
    }

    /// Ejects a server that has broken a rule, where that may be.
    pub(crate) fn eject(&self, server: &Live, rule: Rule) {
        self.quota.eject(server, rule);
    }

    /// Whether nobody is ejected.
    pub(crate) fn is_empty(&self) -> bool {
        // Whoever is ejected meanwhile is in the quota first.
        let is_noted = self.records.lock().has_ejected();
        !is_noted && !self.quota.has_ejected()
    }

    /// Ends the ejections whose time is over, compares servers where it is time for that, and settles how long new ejections last:
    /// those are answered. `chance` is from 0 to 1 each time.
    pub fn settle(&self, now: Duration, chance: impl FnMut() -> f64) -> Vec<Ejection> {
        self.records.lock().settle(&self.quota, now, chance)
    }
}

#[cfg(test)]
mod tests;
