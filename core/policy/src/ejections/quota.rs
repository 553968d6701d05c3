//! What a worker has to know to eject a server at once: who may be, and whether one more may.

use parking_lot::Mutex;

use crate::Live;
use crate::outlier::Rule;

/// One pool's. Its lock is held for a few steps, however many servers there are.
#[derive(Debug, Default)]
pub(super) struct Quota(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    /// The numbers of the servers that may be picked, in order.
    usable: Vec<u64>,
    /// How many of them may be ejected at the same time.
    allowed: usize,
    /// How many of them are.
    ejected: usize,
    /// Who was ejected since it was asked last.
    fresh: Vec<(u64, Rule)>,
}

impl Quota {
    /// Ejects a server that has broken a rule, where that may be.
    pub(super) fn eject(&self, live: &Live, rule: Rule) {
        let mut entries = self.0.lock();
        let takes_one_more = entries.ejected < entries.allowed;
        let leaves_one = entries.ejected + 1 < entries.usable.len();
        let may_be = !live.is_ejected() && entries.is_usable(live.number());
        if takes_one_more && leaves_one && may_be {
            live.signs().eject(true);
            entries.ejected += 1;
            entries.fresh.push((live.number(), rule));
        }
    }

    /// Lets go of one that is ejected. Where there is no such server any more, nobody has to be told.
    pub(super) fn release(&self, number: u64, live: Option<&Live>) {
        let mut entries = self.0.lock();
        if let Some(live) = live {
            live.signs().eject(false);
        }
        entries.ejected -= usize::from(entries.is_usable(number));
    }

    /// Whether one that may be picked is ejected.
    pub(super) fn has_ejected(&self) -> bool {
        self.0.lock().ejected > 0
    }

    /// Who was ejected since this was asked last, and for what.
    pub(super) fn fresh(&self) -> Vec<(u64, Rule)> {
        std::mem::take(&mut self.0.lock().fresh)
    }

    /// From now on these may be picked, whose numbers come in order; so many of them were ejected when it was asked last who was. Answers
    /// who was since.
    pub(super) fn change(&self, usable: Vec<u64>, share: f64, ejected: usize) -> Vec<(u64, Rule)> {
        let allowed = share * usable.len() as f64;
        let mut entries = self.0.lock();
        let former = std::mem::replace(&mut entries.usable, usable);
        // A whole number may come out of a product a little short.
        entries.allowed = (allowed + 1e-9).floor() as usize;
        let fresh = std::mem::take(&mut entries.fresh);
        let still = fresh
            .iter()
            .filter(|(number, _)| entries.is_usable(*number));
        entries.ejected = ejected + still.count();
        drop(entries);
        drop(former);
        fresh
    }

    /// Whether more are ejected than may be: there are fewer servers than before, or none is left.
    pub(super) fn is_exceeded(&self) -> bool {
        let entries = self.0.lock();
        let ejected = entries.ejected;
        ejected > entries.allowed || (ejected > 0 && ejected == entries.usable.len())
    }
}

impl Entries {
    fn is_usable(&self, number: u64) -> bool {
        self.usable.binary_search(&number).is_ok()
    }
}
