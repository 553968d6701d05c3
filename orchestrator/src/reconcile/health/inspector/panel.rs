//! The other orchestrators' words on servers of pools that ask for a majority, and the verdict that all words together make.
//!
//! Each of the others says only where it differs from the registry. That is enough: no word for a change counts against
//! it, whatever the reason why it is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Health, Revision, ServerKey, Verdict};
use policy::{Word, majority};
use registry::LOST_AFTER;

/// What another orchestrator last said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Voice {
    pub(crate) age: Duration,
    /// Its verdicts, where they differ from the registry's.
    pub(crate) verdicts: Arc<BTreeMap<ServerKey, Verdict>>,
}

impl Voice {
    /// Whether it counts.
    pub(crate) fn is_fresh(&self) -> bool {
        self.age <= LOST_AFTER
    }

    fn on(&self, key: &ServerKey, incarnation: Revision) -> Option<&Verdict> {
        let verdict = self.verdicts.get(key);
        verdict.filter(|verdict| verdict.incarnation == incarnation)
    }

    fn word(&self, key: &ServerKey, incarnation: Revision) -> Word {
        let said = self.on(key, incarnation);
        Word {
            health: said.map_or(Health::Unknown, |verdict| verdict.health),
            age: self.age,
        }
    }
}

/// All the others, each once. As long as they have not been heard, nothing is decided.
#[derive(Debug, Default)]
pub(super) struct Panel {
    voices: Option<Vec<Voice>>,
}

impl Panel {
    /// Answers of which servers something was said before, or is now.
    pub(super) fn hear(&mut self, voices: Option<Vec<Voice>>) -> BTreeSet<ServerKey> {
        let before = std::mem::replace(&mut self.voices, voices);
        let all = before.iter().chain(&self.voices).flatten();
        all.flat_map(|voice| voice.verdicts.keys().cloned())
            .collect()
    }

    /// What a majority makes of one incarnation, where the registry and the own probes say this.
    pub(super) fn health(
        &self,
        key: &ServerKey,
        incarnation: Revision,
        present: Health,
        own: Health,
    ) -> Health {
        let Some(voices) = &self.voices else {
            return present;
        };
        let own = Word {
            health: own,
            age: Duration::ZERO,
        };
        let others = voices.iter().map(|voice| voice.word(key, incarnation));
        majority(present, std::iter::once(own).chain(others), LOST_AFTER)
    }

    /// The same as a verdict: with the first reason of those who say so; and that there was no answer at all
    /// only where none of them had any.
    pub(super) fn verdict(&self, key: &ServerKey, present: Health, own: &Verdict) -> Verdict {
        let incarnation = own.incarnation;
        let health = self.health(key, incarnation, present, own.health);
        let voices = self.voices.iter().flatten();
        let fresh = voices.filter(|voice| voice.is_fresh());
        let others = fresh.filter_map(|voice| voice.on(key, incarnation));
        let agreeing = std::iter::once(own).chain(others);
        let agreeing = agreeing.filter(|verdict| verdict.health == health);
        let silent_ms = agreeing.clone().map(|verdict| verdict.silent_ms).min();
        let reason = agreeing.map(|verdict| verdict.reason.clone()).next();
        Verdict {
            incarnation,
            health,
            reason: reason.unwrap_or_default(),
            silent_ms: silent_ms.unwrap_or_default(),
            unknown: model::Unknown::default(),
        }
    }
}
