//! Writes that a failover lost, made again one by one by the leader that had followed them.
//!
//! What has to be made again is worked out each time from the two branches themselves, up to where they
//! part. A replayed commit's id follows from the lost revision's, so a replay that was cut short, or made by
//! two leaders, is continued and never made twice.

use std::collections::BTreeSet;
use std::str::FromStr;

use model::{Author, Change, Collection, Delta, Entry, Position, Revision, RevisionId, Stamped};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::commit::successor;
use crate::{Commit, CommitError, Leadership, Registry};

/// How often the whole is begun anew where somebody else changes the desired state meanwhile.
const ROUNDS: usize = 8;

/// The position before the first of the abandoned revisions, after which to read the log for `replay`.
pub fn before(abandoned: &[Delta]) -> Option<Position> {
    let first = abandoned.first()?;
    Some(Position {
        epoch: first.epoch,
        revision: Revision(first.revision.0.checked_sub(1)?),
        id: first.previous,
    })
}

/// The commits that make the lost revisions again, in order.
///
/// `abandoned` are the revisions that were followed last, and `log` those that the registry has in their
/// place, both after the same position. An element that the registry has changed since they part stays as
/// it is. Verdicts and rulings are left out: they are about what is found anew. What a leader did, this
/// `leader` does.
pub fn replay(abandoned: &[Delta], log: &[Delta], leader: Leadership) -> Vec<Commit> {
    let shared = shared(abandoned, log);
    let (lost, since) = (&abandoned[shared..], &log[shared..]);
    let mut done = BTreeSet::new();
    let mut others = Vec::new();
    for delta in since {
        match lost.iter().find(|lost| is_replay(delta, lost)) {
            Some(lost) => {
                done.insert(lost.id);
            }
            None => others.push(delta),
        }
    }
    let taken: BTreeSet<_> = others
        .iter()
        .flat_map(|delta| delta.entries.iter().map(name))
        .collect();
    let left = lost.iter().filter(|lost| !done.contains(&lost.id));
    let commits = left.map(|delta| again(delta, &taken, leader));
    commits
        .filter(|commit| !commit.changes.is_empty())
        .collect()
}

/// How many revisions the two branches have in common.
fn shared(abandoned: &[Delta], log: &[Delta]) -> usize {
    let pairs = abandoned.iter().zip(log);
    let same = pairs.take_while(|(a, b)| a.position() == b.position());
    same.count()
}

/// Whether a revision came from the replay of a lost one.
fn is_replay(delta: &Delta, lost: &Delta) -> bool {
    successor(delta.previous, replay_id(lost.id)) == delta.id
}

/// Makes the lost revisions again while `leader` says that this process leads. How many were made.
///
/// # Errors
/// Where the registry refuses; what was made until then is made.
pub async fn replay_lost(
    registry: &dyn Registry,
    abandoned: &[Delta],
    leader: impl Fn() -> Option<Leadership>,
) -> Result<usize, CommitError> {
    let mut made = 0;
    for number in 0..ROUNDS {
        match round(registry, abandoned, &leader, (number, &mut made)).await {
            Err(CommitError::Conflict { .. }) => {}
            result => return result.map(|()| made),
        }
    }
    Ok(made)
}

async fn round(
    registry: &dyn Registry,
    abandoned: &[Delta],
    leader: &impl Fn() -> Option<Leadership>,
    (number, made): (usize, &mut usize),
) -> Result<(), CommitError> {
    let (Some(start), Some(leading)) = (before(abandoned), leader()) else {
        return Ok(());
    };
    // The head comes first: what is committed after it is a conflict, whether the log shows it or not.
    let Some(head) = registry.head().await? else {
        return Ok(());
    };
    let Some(log) = registry.log_after(start).await? else {
        return Ok(());
    };
    if number == 0 {
        name_unmade(&abandoned[shared(abandoned, &log)..]);
    }
    let mut expected = head.desired;
    for commit in replay(abandoned, &log, leading) {
        if leader() != Some(leading) {
            return Ok(());
        }
        let commit = Commit {
            expected: Some(expected),
            ..commit
        };
        match registry.commit(commit).await {
            Ok(committed) => {
                *made += usize::from(!committed.replayed);
                expected = committed.desired;
            }
            Err(CommitError::Invalid { key, rule }) => {
                tracing::warn!(key, rule, "a lost change no longer fits and is left out");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Says which lost changes only a newer version could make again.
fn name_unmade(lost: &[Delta]) {
    for delta in lost {
        let desired = delta.entries.iter();
        let desired =
            desired.filter(|it| it.collection.is_documented() || it.collection.is_other());
        for entry in desired.filter(|entry| change(entry).is_none()) {
            let (collection, key, revision) = (entry.collection, &entry.key, delta.revision);
            tracing::warn!(
                %collection, key, %revision,
                "lost in a failover, and not made again: only a newer version can read the change"
            );
        }
    }
}

fn again(delta: &Delta, taken: &BTreeSet<(Collection, &str)>, leader: Leadership) -> Commit {
    let author = match &delta.author {
        Author::Leader { .. } => leader.author(),
        author => author.clone(),
    };
    let entries = delta
        .entries
        .iter()
        .filter(|entry| !taken.contains(&name(entry)));
    Commit {
        id: replay_id(delta.id),
        epoch: Some(leader.epoch),
        leadership: Some(leader),
        reason: format!("lost in a failover as revision {}", delta.revision),
        ..Commit::new(author, entries.filter_map(change).collect())
    }
}

fn replay_id(lost: RevisionId) -> RevisionId {
    RevisionId(Uuid::from_u128(lost.0.as_u128().wrapping_add(1)))
}

fn name(entry: &Entry) -> (Collection, &str) {
    (entry.collection, entry.key.as_str())
}

/// The change that an entry records, of what people keep.
fn change(entry: &Entry) -> Option<Change> {
    match entry.collection {
        Collection::Pools => read(entry, |id, pool| Change::Pool(id, pool.map(Box::new))),
        Collection::Servers => read(entry, Change::Server),
        Collection::Routes => read(entry, |id, route| Change::Route(id, route.map(Box::new))),
        Collection::Listeners => read(entry, Change::Listener),
        Collection::Networks => read(entry, Change::Networks),
        Collection::Certificates => read(entry, |id, it| Change::Certificate(id, it.map(Box::new))),
        Collection::Limits => read(entry, Change::Limit),
        Collection::Secrets => read(entry, Change::Secret),
        Collection::Health | Collection::Holds | Collection::Other(_) => None,
    }
}

fn read<K: FromStr, V: DeserializeOwned>(
    entry: &Entry,
    change: impl Fn(K, Option<V>) -> Change,
) -> Option<Change> {
    let key = entry.key.parse().ok()?;
    let value = entry.value.as_ref().map(unstamped).transpose().ok()?;
    Some(change(key, value))
}

fn unstamped<T: DeserializeOwned>(value: &serde_json::Value) -> Result<T, serde_json::Error> {
    Stamped::deserialize(value).map(|stamped: Stamped<T>| stamped.value)
}
