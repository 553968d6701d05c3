//! What the registry adds to every element it stores.

use serde::{Deserialize, Serialize};

use crate::Revision;

/// An element as the registry keeps it: the value as written, and when it came to be so.
///
/// The commit assigns every field but `value`; a writer cannot choose them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamped<T> {
    /// The revision that last changed the element.
    pub revision: Revision,
    /// The revision that created it.
    pub created: Revision,
    /// Its place among the elements created by that revision.
    #[serde(default)]
    pub ordinal: u32,
    /// The revision that last gave it a new identity: for a server, that set its address. What is known
    /// of one incarnation (verdicts, counters, slow start) says nothing about another.
    pub incarnation: Revision,
    pub value: T,
}

impl<T> Stamped<T> {
    /// An element as the revision left it that created it, the first of its own.
    pub fn new(revision: Revision, value: T) -> Self {
        Self {
            revision,
            created: revision,
            ordinal: 0,
            incarnation: revision,
            value,
        }
    }

    /// What sorts elements by creation.
    pub fn age(&self) -> (Revision, u32) {
        (self.created, self.ordinal)
    }

    /// How many fields it has, as it is stored.
    pub(crate) const FIELDS: usize = 5;

    /// Another value with this stamp.
    pub(crate) fn with<V>(&self, value: V) -> Stamped<V> {
        Stamped {
            revision: self.revision,
            created: self.created,
            ordinal: self.ordinal,
            incarnation: self.incarnation,
            value,
        }
    }
}

impl<T: Serialize> Stamped<T> {
    /// The text that a commit writes.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("model types hold nothing that JSON cannot")
    }
}
