//! What everyone may do: read the head, the snapshot, the log and the history, and subscribe to changes.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use model::{Collection, Delta, Position};
use redis::{Cmd, Pipeline, RedisError, RedisResult};

use super::errors::{is_wrong_type, of_another_type, shortened};
use super::subscription::Subscription;
use super::{Redis, settings, wire};
use crate::store::Assembly;
use crate::{Announcements, Head, HistoryEntry, Reading, RegistryError, Snapshotted};

/// A hash as bytes: other hands may have written what is not text.
type Elements = Vec<(Vec<u8>, Vec<u8>)>;
/// A stream's entries: ids, and their fields and values.
type Entries = Vec<(String, Vec<(String, Vec<u8>)>)>;

#[async_trait]
impl Reading for Redis {
    async fn head(&self) -> Result<Option<Head>, RegistryError> {
        let command = Cmd::hgetall(&self.keys.head);
        let read = |fields: HashMap<_, _>| wire::head(&fields);
        let operation = "reading the head";
        self.link.ask_and_read(operation, &command, read).await
    }

    async fn snapshot(&self) -> Result<Option<Snapshotted>, RegistryError> {
        let operation = "reading the snapshot";
        let mut commands = Pipeline::new();
        commands.atomic().ignore_errors().hgetall(&self.keys.head);
        for collection in Collection::ALL {
            commands.hgetall(self.keys.collection(collection));
        }
        let read = |hashes| self.assemble(hashes);
        self.link.ask_and_read(operation, &commands, read).await
    }

    async fn log_after(&self, position: Position) -> Result<Option<Vec<Delta>>, RegistryError> {
        let operation = "reading the log";
        let from = format!("{}-1", position.revision);
        let command = Cmd::xrange(&self.keys.log, from, "+");
        let entries: Entries = self.link.ask(operation, &command).await?;
        let deltas = entries.iter().map(|(id, fields)| {
            let delta = only_value(fields).and_then(wire::json::<Delta>);
            delta.map_err(|reason| (id.clone(), reason))
        });
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

/// The value of a stream entry's one field.
fn only_value(fields: &[(String, Vec<u8>)]) -> Result<&[u8], String> {
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

impl Redis {
    /// The snapshot of the head's hash and the collections'. A collection that is no hash is left out, by name.
    fn assemble(&self, hashes: Vec<RedisResult<Elements>>) -> Result<Option<Snapshotted>, String> {
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
        for (collection, elements) in Collection::ALL.into_iter().zip(hashes) {
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
