//! What everyone may do: read the head, the snapshot, the log and the history, and subscribe to changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use model::{Collection, Delta, Position, Revision};
use redis::{Cmd, Pipeline, RedisError, RedisResult};

use super::errors::{is_wrong_type, of_another_type, shortened};
use super::subscription::Subscription;
use super::{Redis, settings, wire};
use crate::store::Assembly;
use crate::{Announcements, Head, HistoryEntry, Reading, RegistryError, Snapshotted};

/// A hash as bytes: other hands may have written what is not text.
pub(super) type Elements = Vec<(Vec<u8>, Vec<u8>)>;
/// A stream's entries: ids, and their fields and values.
pub(super) type Entries = Vec<(String, Vec<(String, Vec<u8>)>)>;

const READING_ALL: &str = "reading the snapshot";

/// How often the snapshot is read at most, where the head names another collection of a newer version each time.
const TRIES: usize = 3;

#[async_trait]
impl Reading for Redis {
    async fn head(&self) -> Result<Option<Head>, RegistryError> {
        let command = Cmd::hgetall(&self.keys.head);
        let read = |fields: HashMap<_, _>| wire::head(&fields);
        let operation = "reading the head";
        self.link.ask_and_read(operation, &command, read).await
    }

    async fn snapshot(&self) -> Result<Option<Snapshotted>, RegistryError> {
        use RegistryError::{Unanswered, Unreachable};
        match self.snapshot_in_slices().await {
            Ok(Some(snapshot)) => {
                self.link.troubles().over(READING_ALL, "");
                Ok(Some(snapshot))
            }
            Err(error @ (Unreachable { .. } | Unanswered { .. })) => Err(error),
            Ok(None) | Err(_) => self.snapshot_in_one_go().await,
        }
    }

    async fn log_after(&self, position: Position) -> Result<Option<Vec<Delta>>, RegistryError> {
        let operation = "reading the log";
        let command = Cmd::xrange(&self.keys.log, log_id(position.revision), "+");
        let entries: Entries = self.link.ask(operation, &command).await?;
        let deltas = entries
            .iter()
            .map(|(id, fields)| delta(fields).map_err(|reason| (id.clone(), reason)));
        let (deltas, nonsense) = apart(deltas);
        let is_whole = nonsense.is_empty();
        let first = (position.revision.0, 1);
        let looked_at = |id: &str| entry_id(id) >= first;
        self.link
            .troubles()
            .found(&self.keys.log, &nonsense, looked_at);
        if !is_whole {
            return Ok(None);
        }
        let is_own = |delta: &Delta| delta.position() == position;
        if !deltas.first().is_some_and(is_own) {
            return Ok(None);
        }
        Ok(Some(deltas.into_iter().skip(1).collect()))
    }

    async fn history(&self, limit: usize) -> Result<Vec<HistoryEntry>, RegistryError> {
        let command = Cmd::xrevrange_count(&self.keys.history, "+", "-", limit);
        let entries: Entries = self.link.ask("reading the history", &command).await?;
        let read = |(id, fields): &(String, Vec<_>)| {
            let change = only_value(fields).and_then(wire::change);
            change.map_err(|reason| (id.clone(), reason))
        };
        let (changes, nonsense) = apart(entries.iter().map(read));
        // The newest come first. Fewer than were asked for are all that there are.
        let last = entries.get(limit.saturating_sub(1));
        let looked_at =
            |id: &str| last.is_none_or(|(last, _)| limit > 0 && entry_id(id) >= entry_id(last));
        self.link
            .troubles()
            .found(&self.keys.history, &nonsense, looked_at);
        Ok(changes)
    }

    async fn announcements(&self) -> Result<Announcements, RegistryError> {
        let channel = self.keys.changes.clone();
        Subscription::boxed(&self.link, channel, wire::announcement).await
    }

    async fn warnings(&self) -> Result<Vec<String>, RegistryError> {
        settings::warnings(&self.link).await
    }

    fn troubles(&self) -> Vec<RegistryError> {
        self.link.troubles().present()
    }
}

/// Under which id a revision is in the log.
pub(super) fn log_id(revision: Revision) -> String {
    format!("{revision}-1")
}

/// What an entry of the log holds.
pub(super) fn delta(fields: &[(String, Vec<u8>)]) -> Result<Delta, String> {
    only_value(fields).and_then(wire::json)
}

/// The value of a stream entry's one field.
pub(super) fn only_value(fields: &[(String, Vec<u8>)]) -> Result<&[u8], String> {
    let (_, value) = fields.first().ok_or("an entry without a field")?;
    Ok(value)
}

/// The two numbers of a stream entry's id, by which entries are ordered.
fn entry_id(id: &str) -> (u64, u64) {
    let (first, second) = id.split_once('-').unwrap_or((id, ""));
    let number = |text: &str| text.parse().unwrap_or_default();
    (number(first), number(second))
}

/// What can be used, and what cannot: by name, with the reason.
pub(super) fn apart<T>(
    results: impl Iterator<Item = Result<T, (String, String)>>,
) -> (Vec<T>, BTreeMap<String, String>) {
    let (mut good, mut nonsense) = (Vec::new(), BTreeMap::new());
    for result in results {
        match result {
            Ok(value) => good.push(value),
            Err((name, reason)) => {
                nonsense.insert(shortened(&name), shortened(&reason));
            }
        }
    }
    (good, nonsense)
}

/// The collections of a newer version in which there is something.
pub(super) fn others_in(head: &Head) -> BTreeSet<Collection> {
    let digests = head.digests.iter();
    let others = digests.filter(|(collection, digest)| collection.is_other() && digest.count > 0);
    others.map(|(collection, _)| *collection).collect()
}

impl Redis {
    /// The snapshot as one transaction, for which everybody else waits. What a newer version keeps is read too. That the head names
    /// it is known only once the head is read.
    async fn snapshot_in_one_go(&self) -> Result<Option<Snapshotted>, RegistryError> {
        let mut others = self.others.lock().clone();
        for _ in 1..TRIES {
            let Some(read) = self.snapshot_with(&others).await? else {
                return Ok(None);
            };
            let named = others_in(&read.head);
            let is_whole = named.is_subset(&others);
            self.others.lock().clone_from(&named);
            if is_whole {
                return Ok(Some(read));
            }
            others = named;
        }
        self.snapshot_with(&others).await
    }

    /// Reads the head, every collection that this version knows, and these others, as of one moment.
    async fn snapshot_with(
        &self,
        others: &BTreeSet<Collection>,
    ) -> Result<Option<Snapshotted>, RegistryError> {
        let others = others.iter().copied();
        let collections: Vec<_> = Collection::ALL.into_iter().chain(others).collect();
        let mut commands = Pipeline::new();
        commands.atomic().ignore_errors().hgetall(&self.keys.head);
        for collection in &collections {
            commands.hgetall(self.keys.collection(*collection));
        }
        let read = |hashes| self.assemble(&collections, hashes);
        self.link.ask_and_read(READING_ALL, &commands, read).await
    }

    /// The snapshot of the head's hash and the collections'. A collection that is no hash is left out, by name.
    fn assemble(
        &self,
        collections: &[Collection],
        hashes: Vec<RedisResult<Elements>>,
    ) -> Result<Option<Snapshotted>, String> {
        let mut hashes = hashes.into_iter();
        let head = hashes.next().ok_or("it is empty")?;
        let head = head.map_err(|error| self.refusal(&error, &self.keys.head))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let fields = head
            .into_iter()
            .map(|(name, value)| (text(name), text(value)));
        let Some(head) = wire::head(&fields.collect())? else {
            return Ok(None);
        };
        let mut assembly = Assembly::new(head);
        for (collection, elements) in collections.iter().copied().zip(hashes) {
            match elements {
                Ok(elements) => {
                    for (key, stored) in elements {
                        assembly.take(collection, &key, &stored);
                    }
                }
                Err(error) => {
                    let key = self.keys.collection(collection);
                    assembly.unreadable(collection, self.refusal(&error, &key));
                }
            }
        }
        Ok(Some(assembly.finish()))
    }

    fn refusal(&self, error: &RedisError, key: &str) -> String {
        if is_wrong_type(error) {
            of_another_type(key)
        } else {
            format!("{key}: {}", self.link.endpoint().words(error))
        }
    }
}
