//! A revision put together before anything of it is written: what each write comes to, given what is there.
//!
//! `lua/commit.lua` says the same, step for step; a change here is a change there.

use std::collections::{BTreeMap, HashSet};

use model::{Collection, Entry, Revision, ServerKey};
use serde_json::Value;

use super::element::{Stamp, value_text};
use super::{Store, Write};
use crate::Head;

/// What a revision will do to one element.
pub(super) struct Step {
    pub(super) collection: Collection,
    pub(super) key: String,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

/// A revision being put together, before anything of it is written.
pub(super) struct Stage {
    revision: Revision,
    created: u32,
    pub(super) steps: Vec<Step>,
    pub(super) refused: Vec<ServerKey>,
    /// Servers that the revision removes or makes another incarnation of: nothing known of them holds.
    renewed: HashSet<String>,
    /// Collections that other hands took elements from.
    short: Vec<Collection>,
}

impl Store {
    /// Puts a revision together, from writes that were checked.
    pub(super) fn stage(&self, head: &Head, writes: Vec<Write>) -> Stage {
        let mut stage = Stage {
            revision: head.position.revision.next(),
            created: 0,
            steps: Vec::with_capacity(writes.len()),
            refused: Vec::new(),
            renewed: HashSet::new(),
            short: self.short(head),
        };
        for write in writes {
            match write.collection {
                Collection::Servers => self.stage_server(&mut stage, write),
                Collection::Health => self.stage_verdict(&mut stage, write),
                _ => self.stage_element(&mut stage, write, false),
            }
        }
        stage
    }

    /// The collections that hold fewer elements than the head counts.
    fn short(&self, head: &Head) -> Vec<Collection> {
        let found =
            |collection: &Collection| self.elements.get(collection).map_or(0, BTreeMap::len);
        let counted = head.digests.iter();
        let short =
            counted.filter(|(collection, digest)| (found(collection) as u64) < digest.count);
        short.map(|(collection, _)| *collection).collect()
    }

    /// Stages what a write makes of an element, unless that changes nothing that is known: of what other hands put there nobody has
    /// heard, and where they took one, who still knows it has to learn that it is removed. `moved` gives an element that is there a
    /// new identity.
    fn stage_element(&self, stage: &mut Stage, write: Write, moved: bool) {
        let before = self.stored(write.collection, &write.key);
        let stamp = before.and_then(|before| stamp_of(before));
        let unchanged = match (before, &write.value) {
            (None, None) => !write.is_known() && !stage.short.contains(&write.collection),
            (Some(before), Some(value)) => {
                stamp.is_some() && value_text(before) == Some(value) && !write.is_untold()
            }
            _ => false,
        };
        if unchanged {
            return;
        }
        let after = write
            .value
            .map(|value| stage.stamp(stamp, moved).wrap(&value));
        stage.steps.push(Step {
            collection: write.collection,
            key: write.key,
            before: before.cloned(),
            after,
        });
    }

    /// A server that goes, or moves to another address, takes its verdict with it.
    fn stage_server(&self, stage: &mut Stage, write: Write) {
        let key = write.key.clone();
        let before = self.stored(Collection::Servers, &key);
        let stays =
            write.value.is_some() && before.is_some_and(|before| is_at(before, &write.identity));
        self.stage_element(stage, write, !stays);
        if !stays {
            self.stage_element(
                stage,
                Write::removal(Collection::Health, key.clone()),
                false,
            );
            stage.renewed.insert(key);
        }
    }

    /// A verdict on a server that is gone, or on another incarnation of it, is left out.
    fn stage_verdict(&self, stage: &mut Stage, write: Write) {
        let renewed = stage.renewed.contains(&write.key);
        if write.value.is_some() && (renewed || !self.is_about(&write)) {
            let key = write.key.parse();
            stage
                .refused
                .push(key.expect("a verdict's key is a server's key"));
        } else if !renewed {
            self.stage_element(stage, write, false);
        }
    }

    /// Whether a verdict is about the incarnation that the server has.
    fn is_about(&self, verdict: &Write) -> bool {
        let server = self.stored(Collection::Servers, &verdict.key);
        let stamp = server.and_then(|server| stamp_of(server));
        stamp.is_some_and(|stamp| stamp.incarnation.to_string() == verdict.identity)
    }
}

impl Stage {
    /// The stamp of a write over an element that has this one, if any.
    fn stamp(&mut self, old: Option<Stamp>, moved: bool) -> Stamp {
        let revision = self.revision;
        if let Some(old) = old {
            let incarnation = if moved { revision } else { old.incarnation };
            return Stamp {
                revision,
                incarnation,
                ..old
            };
        }
        let ordinal = self.created;
        self.created += 1;
        Stamp {
            revision,
            created: revision,
            ordinal,
            incarnation: revision,
        }
    }
}

impl Step {
    /// The element as one of the two texts has it.
    pub(super) fn entry(&self, stored: &Option<String>) -> Entry {
        Entry {
            collection: self.collection,
            key: self.key.clone(),
            value: stored.as_deref().and_then(parsed),
        }
    }
}

pub(super) fn stamp_of(stored: &str) -> Option<Stamp> {
    Stamp::read(&parsed(stored)?)
}

/// Whether a stored server has this address.
fn is_at(stored: &str, address: &str) -> bool {
    let server = parsed(stored).filter(|server| Stamp::read(server).is_some());
    server.is_some_and(|server| server["value"]["address"] == address)
}

/// What other hands wrote need not be JSON.
pub(super) fn parsed(stored: &str) -> Option<Value> {
    serde_json::from_str(stored).ok()
}
