//! When something must have happened, put off for as long as something moves.

use crate::clock::Millis;

/// What a stage waits for at most.
#[derive(Debug)]
pub(super) struct Deadline {
    until: Millis,
    /// How many bytes had moved when it was looked at last.
    moved: u64,
}

impl Deadline {
    pub(super) fn new() -> Self {
        Self {
            until: Millis::NEVER,
            moved: 0,
        }
    }

    pub(super) fn until(&self) -> Millis {
        self.until
    }

    pub(super) fn set(&mut self, until: Millis) {
        self.until = until;
    }

    /// Whether anything has moved since this was asked last.
    pub(super) fn has_moved(&mut self, moved: u64) -> bool {
        std::mem::replace(&mut self.moved, moved) != moved
    }
}
