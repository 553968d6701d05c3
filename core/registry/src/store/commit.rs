//! The commit: everything is checked, then everything is written, numbered, logged and answered.
//!
//! `stage` puts a revision together; `lua/commit.lua` says the same as both, step for step, and a change here is
//! a change there.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use model::{Author, Collection, Delta, Moment, Position};

use super::answers::Key;
use super::lease::leads;
use super::stage::{Stage, Step, stamp_of};
use super::{
    HISTORY_LENGTH, LOG_LENGTH, Mark, Store, Write, idempotency_key, is_desired, plan,
    whole_milliseconds,
};
use crate::commit::successor;
use crate::{Commit, CommitError, Committed, Head, HistoryEntry, Unseen};

impl Store {
    /// Makes one revision of a commit, whole or not at all, and answers with the delta to announce; no
    /// delta where nothing was left to change, or where the answer is an earlier one.
    ///
    /// # Errors
    /// Nothing was written.
    pub fn commit(
        &mut self,
        commit: &Commit,
        now: Duration,
    ) -> Result<(Committed, Option<Delta>), CommitError> {
        let writes = plan(commit)?;
        let head = self.head.clone().ok_or(CommitError::Uninitialised)?;
        let fingerprint = commit.fingerprint.as_str();
        let key = idempotency_key(commit).map(|text| Key { text, fingerprint });
        if let Some(answer) = self.answers.replay(commit.id, key)? {
            return Ok((answer, None));
        }
        check_author(&head, commit)?;
        check_pools(self, &writes)?;
        check_seen(self, &writes)?;
        let Stage { steps, refused, .. } = self.stage(&head, writes);
        let delta = (!steps.is_empty()).then(|| self.write(head, commit, &steps, now));
        let head = self.head.as_ref().expect("it was there at the start");
        let answer = Committed {
            position: head.position,
            desired: head.desired,
            refused,
            replayed: false,
        };
        // Also where no revision was made: who waits for the one that stands learns when it is known who is there.
        self.mark_instances(Mark::Commit(now));
        self.answers.keep(commit.id, key, answer.clone(), now);
        Ok((answer, delta))
    }

    fn write(&mut self, head: Head, commit: &Commit, steps: &[Step], now: Duration) -> Delta {
        let previous = head.position;
        let mut head = head;
        let desired = steps.iter().any(|step| is_desired(step.collection));
        head.position = Position {
            revision: previous.revision.next(),
            id: successor(previous.id, commit.id),
            ..previous
        };
        if desired {
            head.desired = head.position.revision;
        }
        for step in steps {
            self.write_element(&mut head, step);
        }
        let delta = Delta {
            epoch: head.position.epoch,
            revision: head.position.revision,
            id: head.position.id,
            previous: previous.id,
            desired: head.desired,
            author: commit.author.clone(),
            entries: steps.iter().map(|step| step.entry(&step.after)).collect(),
            time: Some(Moment::after_epoch(now)),
        };
        self.head = Some(head);
        push_bounded(&mut self.log, delta.clone(), LOG_LENGTH);
        if desired {
            let entry = history_entry(&delta, commit, steps, now);
            push_bounded(&mut self.history, entry, HISTORY_LENGTH);
        }
        delta
    }

    fn write_element(&mut self, head: &mut Head, step: &Step) {
        let digest = head.digests.entry(step.collection).or_default();
        let elements = self.elements.entry(step.collection).or_default();
        if let Some(before) = &step.before {
            digest.remove(step.key.as_bytes(), before.as_bytes());
            elements.remove(&step.key);
        }
        match &step.after {
            Some(after) => {
                digest.add(step.key.as_bytes(), after.as_bytes());
                elements.insert(step.key.clone(), after.clone());
            }
            None if step.collection == Collection::Servers => {
                let key = step.key.parse().expect("a server's key was checked");
                self.remove_registration(&key);
            }
            None => {}
        }
    }
}

/// Whether the author, and the leader that it needs, may still make this commit.
fn check_author(head: &Head, commit: &Commit) -> Result<(), CommitError> {
    let leader = match &commit.author {
        Author::Leader { instance, term } => Some((*instance, *term)),
        Author::Operator { .. } | Author::Source { .. } => None,
    };
    let epoch = head.position.epoch;
    let fence = commit.leadership;
    let misses = commit.epoch != Some(epoch) && (commit.epoch.is_some() || leader.is_some());
    if misses || fence.is_some_and(|fence| fence.epoch != epoch) {
        return Err(CommitError::OtherEpoch { epoch });
    }
    let fence = fence.map(|fence| (fence.instance, fence.term));
    let mut leaders = leader.into_iter().chain(fence);
    if leaders.any(|(instance, term)| !leads(head, instance, term)) {
        let (term, leader) = (head.term, head.leader);
        return Err(CommitError::NotLeading { term, leader });
    }
    let desired = head.desired;
    if commit.expected.is_some_and(|expected| expected != desired) {
        return Err(CommitError::Conflict { desired });
    }
    Ok(())
}

/// Every server and every ruling has its pool, once the commit is made.
fn check_pools(store: &Store, writes: &[Write]) -> Result<(), CommitError> {
    let put: HashMap<_, _> = writes
        .iter()
        .map(|write| {
            (
                (write.collection, write.key.as_str()),
                write.value.is_some(),
            )
        })
        .collect();
    let exists = |collection: Collection, key: &str| {
        let put = put.get(&(collection, key)).copied();
        put.unwrap_or_else(|| store.stored(collection, key).is_some())
    };
    for write in writes {
        let rule = match (write.collection, &write.value) {
            (Collection::Servers | Collection::Holds, Some(_)) => {
                let pool = pool_of(&write.key);
                (!exists(Collection::Pools, pool)).then_some("the pool does not exist")
            }
            (Collection::Pools, None) => {
                let mut servers = store.servers_in(&write.key);
                servers
                    .any(|server| exists(Collection::Servers, server))
                    .then_some("the pool still has servers")
            }
            _ => None,
        };
        if let Some(rule) = rule {
            let key = write.key.clone();
            let rule = rule.into();
            return Err(CommitError::Invalid { key, rule });
        }
    }
    Ok(())
}

/// An element that is not what the author saw is not written over: perhaps the author cannot even read it. One without a stamp was
/// written by no commit, and is no loss.
fn check_seen(store: &Store, writes: &[Write]) -> Result<(), CommitError> {
    let unseen = |write: &Write| {
        let seen = write.seen.as_ref().filter(|_| write.value.is_some())?;
        let stored = store.stored(write.collection, &write.key)?;
        let is_other = stamp_of(stored).is_some() && !seen.is(stored);
        is_other.then(|| Unseen {
            collection: write.collection,
            key: write.key.clone(),
            stored: stored.clone(),
        })
    };
    let elements: Vec<_> = writes.iter().filter_map(unseen).collect();
    match elements.is_empty() {
        true => Ok(()),
        false => Err(CommitError::Unseen { elements }),
    }
}

fn pool_of(key: &str) -> &str {
    key.split_once('/').map_or(key, |(pool, _)| pool)
}

fn history_entry(delta: &Delta, commit: &Commit, steps: &[Step], now: Duration) -> HistoryEntry {
    let desired = || steps.iter().filter(|step| is_desired(step.collection));
    HistoryEntry {
        position: delta.position(),
        author: commit.author.clone(),
        reason: commit.reason.clone(),
        time: SystemTime::UNIX_EPOCH + whole_milliseconds(now),
        before: desired().map(|step| step.entry(&step.before)).collect(),
        after: desired().map(|step| step.entry(&step.after)).collect(),
    }
}

fn push_bounded<T>(queue: &mut VecDeque<T>, item: T, length: usize) {
    queue.push_back(item);
    while queue.len() > length {
        queue.pop_front();
    }
}
