//! What the follower makes of what it reads: heads, logs and snapshots.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{Delta, Origin, Position};

use super::step::{Step, elements, keep_collection, keep_last_good, place};
use super::{AUDIT_PAUSE, Doubt, Follower, HEAD_CHECK_PERIOD, HEAD_SEARCH_PERIOD};
use crate::guard::Cause;
use crate::{Head, Snapshotted};

impl Follower {
    pub(super) fn head_read(&mut self, head: Option<&Head>, now: Duration) {
        self.answered(now);
        match head {
            Some(head) if self.head_missing => {
                self.doubt = self.doubt.max(Doubt::Log);
                self.compare(head);
            }
            Some(head) => self.compare(head),
            None => self.missing(now),
        }
    }

    pub(super) fn log_read(&mut self, log: Option<Vec<Delta>>, now: Duration) {
        self.answered(now);
        let Some(deltas) = log else {
            self.doubt = Doubt::Snapshot;
            return;
        };
        let expected = self.expected.take();
        self.confirmed();
        for delta in deltas {
            match place(self.position(), &delta) {
                Step::Next => self.apply(delta),
                Step::Older => {}
                Step::Elsewhere => {
                    self.doubt = Doubt::Snapshot;
                    return;
                }
            }
        }
        self.drain_buffer();
        if expected.is_some_and(|head| self.is_behind(head)) {
            self.doubt = Doubt::Snapshot;
        }
    }

    /// Whether the own position is neither a head's nor past its number.
    fn is_behind(&self, head: Position) -> bool {
        let own = self.position();
        let past = |own: Position| own.epoch == head.epoch && own.revision > head.revision;
        own != Some(head) && !own.is_some_and(past)
    }

    pub(super) fn snapshot_read(&mut self, snapshot: Option<Snapshotted>, now: Duration) {
        let was_audit = std::mem::take(&mut self.reading_is_audit);
        self.answered(now);
        let Some(snapshot) = snapshot else {
            self.expected = None;
            if self.overflowed || !self.buffer.is_empty() {
                // Perhaps of a head that was made since.
                self.doubt = Doubt::Snapshot;
            }
            return self.missing(now);
        };
        self.audit_at = now + AUDIT_PAUSE * elements(&snapshot.snapshot);
        if was_audit && self.position() != Some(snapshot.head.position) {
            // Revisions were made meanwhile, so it says nothing about the own copy.
            return self.compare(&snapshot.head);
        }
        self.expected = None;
        self.adopt(snapshot);
        self.drain_buffer();
    }

    fn answered(&mut self, now: Duration) {
        self.under_way = None;
        self.backoff.succeeded();
        self.head_check_at = match self.doubted {
            true => now,
            false => now + self.backoff.jitter(HEAD_CHECK_PERIOD),
        };
    }

    /// The registry has no memory. What we have stays in force.
    fn missing(&mut self, now: Duration) {
        self.changed |= !self.head_missing;
        self.head_missing = true;
        self.buffer.clear();
        self.head_check_at = now + self.backoff.jitter(HEAD_SEARCH_PERIOD);
    }

    /// The registry holds our position.
    pub(super) fn confirmed(&mut self) {
        self.changed |= self.head_missing || self.origin != Origin::Registry;
        self.head_missing = false;
        self.origin = Origin::Registry;
    }

    fn drain_buffer(&mut self) {
        if std::mem::take(&mut self.overflowed) {
            self.doubt = Doubt::Log;
            self.buffer.clear();
        }
        while let Some(delta) = self.buffer.pop_front() {
            self.take(delta);
        }
    }

    /// Takes a snapshot for the truth, whatever was known before. An older revision means that the registry
    /// lost writes: we asked after we knew ours.
    fn adopt(&mut self, read: Snapshotted) {
        let mut snapshot = read.snapshot;
        let damaged = read.damage.iter().map(|damage| damage.collection);
        let mut tainted: BTreeSet<_> = damaged.collect();
        if let Some(own) = &self.truth {
            if own.position == snapshot.position {
                // What was whole here is not given up for what other hands made of it.
                tainted.retain(|collection| {
                    self.tainted.contains(collection) || {
                        keep_collection(&mut snapshot, own, *collection);
                        false
                    }
                });
            }
            keep_last_good(&mut snapshot, own);
            if own.position != snapshot.position {
                self.abandon(snapshot.position);
            }
        }
        let truth = match self.truth.take() {
            Some(own) if *own == snapshot => own,
            _ => Arc::new(snapshot),
        };
        if let Some(guard) = &mut self.guard {
            guard.update(&truth, Cause::Snapshot(&read.damage));
        }
        self.truth = Some(truth);
        self.damage = read.damage;
        self.tainted = tainted;
        self.confirmed();
        self.changed = true;
    }

    /// What was applied last may be lost, unless the history is another one altogether.
    fn abandon(&mut self, adopted: Position) {
        self.dated.clear();
        let recent: Vec<_> = self.recent.drain(..).collect();
        let same = recent
            .last()
            .is_some_and(|last| last.epoch == adopted.epoch);
        if same {
            self.abandoned = Some(recent.into());
        }
    }
}
