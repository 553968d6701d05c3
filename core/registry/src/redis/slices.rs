//! Reads a large fleet in slices, so that nobody else waits for it.
//!
//! Redis does one thing after the other: where a hundred balancers each read ten thousand servers in one go, everybody
//! waits until all of them have. Slices are of several moments, but each element that was changed meanwhile is in the
//! log, whole. So what was read, with the log since before the first slice, is one state again: that of the log's end,
//! whose head is read in the same moment.

use std::collections::HashMap;
use std::time::Duration;

use model::{Collection, Epoch, Position, Revision, RevisionId};
use redis::{Cmd, Pipeline};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::reading::{Elements, Entries, log_id, only_value, others_in};
use super::{Redis, wire};
use crate::store::Assembly;
use crate::{Head, RegistryError, Snapshotted};

/// A fleet of no more elements than this is read in one go: that takes Redis about a millisecond.
const WHOLE_MAX: u64 = 1000;

/// How many elements a slice has, about: a hundred who read at the same time keep others waiting for a few milliseconds.
const SLICE: u64 = 128;

/// Where the way to Redis is so long that reading takes a multiple of this, slices grow with each, lest it never end.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many times larger they become.
const GROWTH: u64 = 4;

/// However long it takes.
const GROWTHS_MAX: u32 = 5;

const OPERATION: &str = "reading the snapshot in slices";

/// Stored texts by key.
type Texts = HashMap<Vec<u8>, Vec<u8>>;

/// Collections as they were while the slices were read: elements of one moment or another.
#[derive(Debug, Default)]
struct Blurred(HashMap<Collection, Texts>);

/// A revision of the log, as far as it has to be known here: its elements stay the very texts that are stored.
#[derive(Deserialize)]
struct Change<'a> {
    epoch: Epoch,
    revision: Revision,
    id: RevisionId,
    #[serde(borrow)]
    entries: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    collection: Collection,
    key: String,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
}

impl Redis {
    /// The snapshot, read in slices. Nothing where it is small, or cannot be had so: its log does not reach so far, some
    /// key is of another type, or this user may not. Then it is read in one go, which says what is wrong.
    pub(super) async fn snapshot_in_slices(&self) -> Result<Option<Snapshotted>, RegistryError> {
        let head = Cmd::hgetall(&self.keys.head);
        let fields = self.link.try_to_ask(OPERATION, &head).await?;
        let Ok(Some(head)) = wire::head(&fields) else {
            return Ok(None);
        };
        let elements: u64 = head.digests.values().map(|digest| digest.count).sum();
        if elements <= WHOLE_MAX {
            return Ok(None);
        }
        let mut blurred = Blurred::default();
        let begun = Instant::now();
        // What a newer version keeps is read too.
        let others = others_in(&head);
        for collection in Collection::ALL.into_iter().chain(others) {
            let texts = self.scan(collection, begun).await?;
            blurred.0.insert(collection, texts);
        }
        let mut commands = Pipeline::new();
        commands.atomic().hgetall(&self.keys.head);
        commands.xrange(&self.keys.log, log_id(head.position.revision), "+");
        let end: (HashMap<String, String>, Entries) =
            self.link.try_to_ask(OPERATION, &commands).await?;
        Ok(blurred.sharpened(head.position, &end.0, &end.1))
    }

    /// All elements of a collection, each as it was when its slice was read.
    async fn scan(&self, collection: Collection, begun: Instant) -> Result<Texts, RegistryError> {
        let key = self.keys.collection(collection);
        let mut texts = Texts::new();
        let mut cursor = 0_u64;
        loop {
            let mut command = redis::cmd("HSCAN");
            command.arg(&key).arg(cursor);
            command.arg("COUNT").arg(slice(begun.elapsed()));
            let slice: (u64, Elements) = self.link.try_to_ask(OPERATION, &command).await?;
            let (next, elements) = slice;
            // An element may come twice, the later one last.
            texts.extend(elements);
            cursor = next;
            if cursor == 0 {
                return Ok(texts);
            }
        }
    }
}

/// How many elements the next slice is to have, after so long.
fn slice(elapsed: Duration) -> u64 {
    let growths = elapsed.div_duration_f64(PATIENCE) as u32;
    SLICE * GROWTH.pow(growths.min(GROWTHS_MAX))
}

impl Blurred {
    /// The state at the end of the log, which begins where the slices did. Nothing where it does not, or does not end at
    /// the head, or where that names a newer version's collection which was none before.
    fn sharpened(
        mut self,
        begun: Position,
        head: &HashMap<String, String>,
        log: &Entries,
    ) -> Option<Snapshotted> {
        let head = wire::head(head).ok()??;
        if !others_in(&head).iter().all(|it| self.0.contains_key(it)) {
            return None;
        }
        let changes: Vec<Change<'_>> = log
            .iter()
            .map(|(_, fields)| serde_json::from_slice(only_value(fields).ok()?).ok())
            .collect::<Option<_>>()?;
        let (first, later) = changes.split_first()?;
        let last = changes.last()?;
        if first.position() != begun || last.position() != head.position {
            return None;
        }
        for entry in later.iter().flat_map(|change| &change.entries) {
            self.take(entry);
        }
        Some(self.assembled(head))
    }

    fn take(&mut self, entry: &Entry<'_>) {
        // One of a newer version that was not read holds nothing, by the head.
        let Some(texts) = self.0.get_mut(&entry.collection) else {
            return;
        };
        let key = entry.key.as_bytes().to_vec();
        match entry.value {
            Some(value) => _ = texts.insert(key, value.get().as_bytes().to_vec()),
            None => _ = texts.remove(&key),
        }
    }

    fn assembled(self, head: Head) -> Snapshotted {
        let mut assembly = Assembly::new(head);
        for (collection, texts) in self.0 {
            for (key, stored) in texts {
                assembly.take(collection, &key, &stored);
            }
        }
        assembly.finish()
    }
}

impl Change<'_> {
    fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            revision: self.revision,
            id: self.id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POSITION: &str = r#""epoch":"00000000-0000-0000-0000-000000000001","id":"00000000-0000-0000-0000-000000000002""#;

    /// A revision of the log that writes these entries.
    fn logged(revision: u64, entries: &str) -> (String, Vec<(String, Vec<u8>)>) {
        let text = format!(r#"{{{POSITION},"revision":{revision},"entries":[{entries}]}}"#);
        let fields = vec![("delta".into(), text.into_bytes())];
        (format!("{revision}-1"), fields)
    }

    fn head(revision: u64, weather: u64) -> HashMap<String, String> {
        let fields = [
            ("epoch", "00000000-0000-0000-0000-000000000001".into()),
            ("id", "00000000-0000-0000-0000-000000000002".into()),
            ("revision", revision.to_string()),
            ("desired", revision.to_string()),
            ("term", "0".into()),
            ("weather:count", weather.to_string()),
            ("weather:sum", "0".into()),
        ];
        let owned = |(name, value): (&str, String)| (name.into(), value);
        fields.into_iter().map(owned).collect()
    }

    fn position(revision: u64) -> Position {
        let head = wire::head(&head(revision, 0)).expect("a head");
        head.expect("a head").position
    }

    fn blurred(collections: &[Collection]) -> Blurred {
        let empty = |collection: &Collection| (*collection, Texts::new());
        Blurred(collections.iter().map(empty).collect())
    }

    #[test]
    fn what_the_log_has_of_a_newer_version_is_kept_to_the_letter() {
        let weather: Collection = "weather".parse().expect("a name");
        let text = r#"{"revision":2,"created":2,"ordinal":0,"incarnation":2,"value":{"b": 1.50, "a": []}}"#;
        let entry = |of: Collection, key| {
            format!(r#"{{"collection":"{of}","key":"{key}","value":{text}}}"#)
        };
        let entries = [entry(Collection::Pools, "new"), entry(weather, "r1")];
        let log = vec![logged(1, ""), logged(2, &entries.join(","))];
        let all = blurred(&[Collection::Pools, weather]);
        let read = all.sharpened(position(1), &head(2, 1), &log);
        let read = read.expect("a state");
        assert_eq!(
            read.snapshot.unread.get(Collection::Pools, "new"),
            Some(text)
        );
        assert_eq!(read.snapshot.unread.get(weather, "r1"), Some(text));
    }

    #[test]
    fn what_is_not_one_state_is_none() {
        let known = || blurred(&Collection::ALL);
        let log = vec![logged(1, ""), logged(2, "")];
        let of = |begun, end, weather| {
            let read = known().sharpened(position(begun), &head(end, weather), &log);
            read.map(|read| read.head.position.revision)
        };
        assert_eq!(of(1, 2, 0), Some(Revision(2)));
        assert_eq!(of(0, 2, 0), None, "the log begins later");
        assert_eq!(of(1, 3, 0), None, "the log ends before the head");
        assert_eq!(of(1, 2, 1), None, "a collection that was not read");
    }

    #[test]
    fn slices_grow_where_the_way_is_long_and_not_for_ever() {
        assert_eq!(slice(Duration::from_millis(1999)), SLICE);
        assert_eq!(slice(Duration::from_secs(2)), SLICE * 4);
        assert_eq!(slice(Duration::from_secs(5)), SLICE * 16);
        assert_eq!(slice(Duration::from_secs(3600)), SLICE * 1024);
    }
}
