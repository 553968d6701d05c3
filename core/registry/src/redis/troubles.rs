//! What Redis refused this process, and what it found there by other hands: said once when it begins, once
//! when it becomes another, and once when it is over.
//!
//! Who asks in a loop is refused in a loop, so the log belongs here and not to the callers.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::RegistryError;

/// A refusal that was not met again within this time may be no more: whoever would be refused does not ask.
const RECENT: Duration = Duration::from_secs(60);
/// How many pieces of nonsense are named of one key.
const NAMED_MAX: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// By operation, and by what it was about where that is not always the same.
    refusals: Mutex<BTreeMap<(&'static str, String), Refusal>>,
    /// By key and field.
    nonsense: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
}

#[derive(Debug)]
struct Refusal {
    error: RegistryError,
    met: Instant,
}

impl Troubles {
    /// An operation was refused.
    pub(super) fn met(&self, operation: &'static str, about: &str, error: &RegistryError) {
        let refusal = Refusal {
            error: error.clone(),
            met: Instant::now(),
        };
        let mut refusals = self.refusals.lock();
        let before = refusals.insert((operation, about.into()), refusal);
        if before.is_none_or(|before| before.error != *error) {
            warn!("{error}");
        }
    }

    /// An operation was not refused.
    pub(super) fn over(&self, operation: &'static str, about: &str) {
        let mut refusals = self.refusals.lock();
        if refusals.is_empty() {
            return;
        }
        if refusals.remove(&(operation, about.into())).is_some() {
            info!(about, "no longer refused by the registry: {operation}");
        }
    }

    /// All the nonsense that a key holds now: by field, what is wrong with it.
    pub(super) fn found(&self, key: &str, mut nonsense: BTreeMap<String, String>) {
        while nonsense.len() > NAMED_MAX {
            nonsense.pop_last();
        }
        let mut known = self.nonsense.lock();
        let before = known.remove(key).unwrap_or_default();
        for (field, reason) in &nonsense {
            if before.get(field) != Some(reason) {
                warn!("{}", error(key, field, reason));
            }
        }
        for field in before.keys() {
            if !nonsense.contains_key(field) {
                info!("no more nonsense in {key}: {field}");
            }
        }
        if !nonsense.is_empty() {
            known.insert(key.into(), nonsense);
        }
    }

    /// Whatever is not as it should be.
    pub(super) fn present(&self) -> Vec<RegistryError> {
        let refusals = self.refusals.lock();
        let recent = refusals.values().filter(|it| it.met.elapsed() < RECENT);
        let mut present: Vec<_> = recent.map(|it| it.error.clone()).collect();
        for (key, nonsense) in self.nonsense.lock().iter() {
            let errors = nonsense.iter();
            present.extend(errors.map(|(field, reason)| error(key, field, reason)));
        }
        present
    }
}

fn error(key: &str, field: &str, reason: &str) -> RegistryError {
    RegistryError::Nonsense {
        key: key.into(),
        field: field.into(),
        reason: reason.into(),
    }
}
