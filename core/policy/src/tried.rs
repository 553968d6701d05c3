//! The servers that one request has been sent to, so that a retry goes to another.

use crate::Live;
use crate::retry::TRIES_MAX;

/// A bounded set of servers, on the stack.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tried {
    numbers: [u64; TRIES_MAX],
    length: usize,
}

impl Tried {
    /// Adds a server. Beyond the bound the oldest is forgotten.
    pub fn add(&mut self, server: &Live) {
        self.numbers[self.length % TRIES_MAX] = server.number();
        self.length += 1;
    }

    pub fn contains(&self, server: &Live) -> bool {
        let kept = self.length.min(TRIES_MAX);
        self.numbers[..kept].contains(&server.number())
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}
