//! The registry's semantics as plain data: what every backend's operations do, without a socket or a clock.
//!
//! The memory backend is this store behind a lock; the Redis scripts say the same in Lua, and a test compares
//! the two over random operations; the simulation runs it against lost and forked histories. The registry's
//! time is an argument: a duration since any fixed moment, of which whole milliseconds count, as in Redis.

mod answers;
mod assemble;
mod commit;
mod element;
mod lease;
mod plan;
mod reports;
mod seed;
mod stage;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::{Collection, Delta, InstanceId, Moment, Position, ServerKey};

use crate::{Head, HistoryEntry, Snapshotted};
use answers::Answers;
use lease::Lease;
use reports::{Mark, Renewed, Reported};

use plan::is_desired;

pub(crate) use answers::{ANSWER_LIFETIME, ANSWERS_CLEARED, ANSWERS_MAX};
pub(crate) use assemble::Assembly;
#[cfg(feature = "testing")]
pub(crate) use element::Stamp;
pub(crate) use plan::{Write, idempotency_key, plan};
pub(crate) use seed::Seed;

/// How many revisions the log keeps.
pub(crate) const LOG_LENGTH: usize = 10_000;
/// How many desired changes the history keeps.
pub(crate) const HISTORY_LENGTH: usize = 100_000;

/// Everything that a registry holds.
#[derive(Debug, Clone, Default)]
pub struct Store {
    head: Option<Head>,
    elements: BTreeMap<Collection, BTreeMap<String, String>>,
    log: VecDeque<Delta>,
    history: VecDeque<HistoryEntry>,
    lease: Option<Lease>,
    instances: BTreeMap<InstanceId, Reported>,
    /// Who says since when these are remembered; nothing where they were lost.
    mark: Option<Mark>,
    registrations: BTreeMap<ServerKey, Renewed>,
    answers: Answers,
}

/// A key that a registry's content is kept under, for tests that take it away.
#[cfg(feature = "testing")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKey {
    Head,
    Lease,
    Log,
    Instances,
    Answers,
    Elements(Collection),
}

impl Store {
    /// Nothing where the store has no memory.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Everything, with the head.
    pub fn snapshot(&self) -> Option<Snapshotted> {
        let mut assembly = Assembly::new(self.head.clone()?);
        for (collection, elements) in &self.elements {
            for (key, stored) in elements {
                assembly.take(*collection, key.as_bytes(), stored.as_bytes());
            }
        }
        Some(assembly.finish())
    }

    /// The revisions after a position; nothing where the log does not hold that very position.
    pub fn log_after(&self, position: Position) -> Option<Vec<Delta>> {
        let own = self
            .log
            .iter()
            .position(|delta| delta.position() == position)?;
        Some(self.log.iter().skip(own + 1).cloned().collect())
    }

    /// How long ago the first revision was committed that does not belong to the state at this position.
    pub fn lag(&self, applied: Position, now: Duration) -> Option<Duration> {
        let logged = self.log.iter();
        let from = logged.skip_while(|delta| delta.revision < applied.revision);
        lag(applied, from, Moment::after_epoch(now))
    }

    /// The latest desired changes, newest first.
    pub fn history(&self, limit: usize) -> Vec<HistoryEntry> {
        self.history.iter().rev().take(limit).cloned().collect()
    }

    /// Writes or removes an element's stored text past every rule, as other hands would.
    #[cfg(feature = "testing")]
    pub fn tamper(&mut self, collection: Collection, key: &str, stored: Option<&str>) {
        let elements = self.elements.entry(collection).or_default();
        match stored {
            Some(stored) => elements.insert(key.into(), stored.into()),
            None => elements.remove(key),
        };
    }

    /// Every element's key and stored text.
    #[cfg(feature = "testing")]
    pub fn elements(&self) -> impl Iterator<Item = (Collection, &String, &String)> {
        let all = self.elements.iter();
        all.flat_map(|(collection, own)| own.iter().map(|(key, text)| (*collection, key, text)))
    }

    /// Loses a key, as where Redis may evict.
    #[cfg(feature = "testing")]
    pub fn evict(&mut self, key: StoreKey) {
        match key {
            StoreKey::Head => self.head = None,
            StoreKey::Lease => self.lease = None,
            StoreKey::Log => self.log.clear(),
            StoreKey::Instances => {
                self.instances.clear();
                self.mark = None;
            }
            StoreKey::Answers => self.answers = Answers::default(),
            StoreKey::Elements(collection) => {
                self.elements.remove(&collection);
            }
        }
    }

    /// The keys of a pool's servers.
    fn servers_in(&self, pool: &str) -> impl Iterator<Item = &str> {
        let servers = self.elements.get(&Collection::Servers);
        let keys = servers.into_iter().flat_map(BTreeMap::keys);
        let is_in = move |key: &&str| key.split_once('/').is_some_and(|(own, _)| own == pool);
        keys.map(String::as_str).filter(is_in)
    }

    fn stored(&self, collection: Collection, key: &str) -> Option<&String> {
        self.elements.get(&collection)?.get(key)
    }
}

/// How long ago the first revision was committed that does not belong to the state at this position, by what the log holds
/// from that position's number on: no time where that is the position itself and nothing more.
pub(crate) fn lag<'a>(
    applied: Position,
    logged: impl IntoIterator<Item = &'a Delta>,
    now: Moment,
) -> Option<Duration> {
    let mut is_latest = false;
    for delta in logged {
        if delta.position() != applied {
            let time = delta.time.filter(|_| delta.epoch == applied.epoch);
            return time.map(|time| now.since(time));
        }
        is_latest = true;
    }
    is_latest.then_some(Duration::ZERO)
}

/// Redis counts its time in milliseconds here, so the store does too.
fn whole_milliseconds(time: Duration) -> Duration {
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(milliseconds)
}

#[cfg(test)]
mod tests;
