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

/// What was not met again within this time may be no more: whoever would be refused does not ask.
const RECENT: Duration = Duration::from_secs(60);
/// How many pieces of nonsense are named of one key.
const NAMED_MAX: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// By operation, and by what it was about where that is not always the same.
    refusals: Mutex<BTreeMap<Subject, Refusal>>,
    /// By key and field.
    nonsense: Mutex<BTreeMap<String, BTreeMap<String, Nonsense>>>,
}

/// What was refused, and what it was about.
type Subject = (&'static str, String);

#[derive(Debug)]
struct Nonsense {
    reason: String,
    /// Since when whoever looks at the key has no longer looked where it was.
    out_of_sight: Option<Instant>,
}

impl Nonsense {
    fn is_present(&self) -> bool {
        self.out_of_sight
            .is_none_or(|since| since.elapsed() < RECENT)
    }
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
        let before = refusals.insert(subject(operation, about, error), refusal);
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
        for (operation, about) in [(operation, about.to_owned()), whole()] {
            if refusals.remove(&(operation, about.clone())).is_some() {
                info!(about, "no longer refused by the registry: {operation}");
            }
        }
    }

    /// The nonsense that a key holds now, by field, among the fields that were looked at: what is wrong with it. Of the others
    /// it stays known, so that who looks at more does not find it anew.
    pub(super) fn found(
        &self,
        key: &str,
        nonsense: &BTreeMap<String, String>,
        looked_at: impl Fn(&str) -> bool,
    ) {
        let mut known = self.nonsense.lock();
        let before = known.remove(key).unwrap_or_default();
        let mut after = BTreeMap::new();
        for (field, reason) in nonsense.iter().take(NAMED_MAX) {
            if before.get(field).is_none_or(|it| it.reason != *reason) {
                warn!("{}", error(key, field, reason));
            }
            let found = Nonsense {
                reason: reason.clone(),
                out_of_sight: None,
            };
            after.insert(field.clone(), found);
        }
        for (field, mut earlier) in before {
            if nonsense.contains_key(&field) {
                continue;
            }
            if looked_at(&field) {
                info!("no more nonsense in {key}: {field}");
            } else if after.len() < NAMED_MAX {
                earlier.out_of_sight.get_or_insert_with(Instant::now);
                after.insert(field, earlier);
            }
        }
        if !after.is_empty() {
            known.insert(key.into(), after);
        }
    }

    /// Whatever is not as it should be.
    pub(super) fn present(&self) -> Vec<RegistryError> {
        let refusals = self.refusals.lock();
        let recent = refusals.values().filter(|it| it.met.elapsed() < RECENT);
        let mut present: Vec<_> = recent.map(|it| it.error.clone()).collect();
        for (key, nonsense) in self.nonsense.lock().iter() {
            let seen = nonsense.iter().filter(|(_, it)| it.is_present());
            present.extend(seen.map(|(field, it)| error(key, field, &it.reason)));
        }
        present
    }
}

/// A Redis that loads its data, or has a script that does not end, refuses all, and is itself again as soon as it answers to anything. One
/// whose slot is moving refuses what is about several keys, and answers the rest.
fn subject(operation: &'static str, about: &str, error: &RegistryError) -> Subject {
    match error {
        RegistryError::Unreachable { reason, .. } if !reason.contains("TRYAGAIN") => whole(),
        _ => (operation, about.into()),
    }
}

fn whole() -> Subject {
    ("anything", String::new())
}

fn error(key: &str, field: &str, reason: &str) -> RegistryError {
    RegistryError::Nonsense {
        key: key.into(),
        field: field.into(),
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonsense(fields: &[&str]) -> BTreeMap<String, String> {
        let reason = |field: &&str| ((*field).to_owned(), "is nonsense".to_owned());
        fields.iter().map(reason).collect()
    }

    fn present(troubles: &Troubles) -> Vec<String> {
        let field = |error| match error {
            RegistryError::Nonsense { field, .. } => field,
            other => panic!("{other:?}"),
        };
        troubles.present().into_iter().map(field).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_looked_at_is_neither_over_nor_new() {
        let troubles = Troubles::default();
        troubles.found("log", &nonsense(&["1", "2"]), |_| true);
        troubles.found("log", &nonsense(&["2"]), |field| field == "2");
        assert_eq!(present(&troubles), ["1", "2"]);
        troubles.found("log", &nonsense(&["1"]), |_| true);
        assert_eq!(present(&troubles), ["1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_looks_at_any_more_is_no_trouble_for_long() {
        let troubles = Troubles::default();
        troubles.found("log", &nonsense(&["1"]), |_| true);
        tokio::time::advance(RECENT * 2).await;
        assert_eq!(present(&troubles), ["1"]);
        troubles.found("log", &nonsense(&[]), |_| false);
        assert_eq!(present(&troubles), ["1"]);
        tokio::time::advance(RECENT / 2).await;
        troubles.found("log", &nonsense(&[]), |_| false);
        tokio::time::advance(RECENT / 2).await;
        assert_eq!(present(&troubles), [""; 0]);
        troubles.found("log", &nonsense(&["1"]), |_| true);
        assert_eq!(present(&troubles), ["1"]);
    }

    #[test]
    fn what_answers_to_anything_refuses_no_longer_all() {
        let troubles = Troubles::default();
        let refusal = |reason: &str| RegistryError::Unreachable {
            endpoint: "redis.example:6379".into(),
            reason: reason.into(),
            nothing_done: true,
        };
        let loading = refusal("LOADING Redis is loading the dataset in memory");
        let lacking = RegistryError::MissingRight {
            reason: "committing".into(),
        };
        troubles.met("committing", "", &loading);
        troubles.met("reading the head", "", &loading);
        assert_eq!(troubles.present(), std::slice::from_ref(&loading));
        troubles.met("committing", "", &lacking);
        assert_eq!(troubles.present(), [loading, lacking.clone()]);
        troubles.over("reading the head", "");
        assert_eq!(troubles.present(), [lacking]);
        let moving = refusal("TRYAGAIN Multiple keys request during rehashing of slot");
        troubles.met("committing", "", &moving);
        troubles.over("reading the head", "");
        assert_eq!(troubles.present(), [moving]);
    }

    #[test]
    fn more_than_are_named_are_not_over_either() {
        let fields: Vec<_> = (0..2 * NAMED_MAX).map(|it| format!("{it:04}")).collect();
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        let troubles = Troubles::default();
        troubles.found("log", &nonsense(&fields[..10]), |_| true);
        troubles.found("log", &nonsense(&fields[10..]), |field| field >= "0010");
        assert_eq!(present(&troubles), &fields[10..][..NAMED_MAX]);
    }
}
