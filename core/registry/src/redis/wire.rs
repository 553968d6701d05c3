//! How the head, the history, announcements and reports are written in Redis, read back into their types.
//!
//! What cannot be read is an error where it is the head, and named and left out everywhere else.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use model::{Author, Collection, Delta, Entry, Position, Revision, Term};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Announcement, Digest, Head, HistoryEntry, Life};

/// Which process answers, and since which promotion or restart it writes a history of its own: from two sections of INFO.
pub(super) fn life(server: &str, replication: &str) -> Life {
    let process = info_field(server, "run_id");
    let history = info_field(replication, "master_replid");
    Life(format!("{process}:{history}"))
}

fn info_field<'a>(section: &'a str, name: &str) -> &'a str {
    let mut lines = section.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_default()
}

/// Reads the head's hash. Nothing where it is empty.
pub(super) fn head(fields: &HashMap<String, String>) -> Result<Option<Head>, String> {
    if fields.is_empty() {
        return Ok(None);
    }
    let position = Position {
        epoch: field(fields, "epoch")?,
        revision: Revision(field(fields, "revision")?),
        id: field(fields, "id")?,
    };
    Ok(Some(Head {
        position,
        desired: Revision(field(fields, "desired")?),
        term: Term(field(fields, "term")?),
        leader: fields
            .get("leader")
            .map(|_| field(fields, "leader"))
            .transpose()?,
        digests: digests(fields)?,
    }))
}

fn digests(fields: &HashMap<String, String>) -> Result<BTreeMap<Collection, Digest>, String> {
    let mut digests = BTreeMap::new();
    for collection in Collection::ALL {
        let count = field(fields, &format!("{collection}:count"))?;
        let sum = field(fields, &format!("{collection}:sum"))?;
        digests.insert(collection, Digest { count, sum });
    }
    Ok(digests)
}

fn field<T: FromStr>(fields: &HashMap<String, String>, name: &str) -> Result<T, String> {
    let text = fields
        .get(name)
        .ok_or_else(|| format!("head: the field {name} is missing"))?;
    text.parse()
        .map_err(|_| format!("head: the field {name} holds {text:?}"))
}

/// A message on the channel `changes`.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Message {
    Delta(Delta),
    /// The head's hash as a flat list of fields and values.
    Heartbeat(Vec<String>),
}

/// Reads a message on the channel `changes`.
pub(super) fn announcement(payload: &[u8]) -> Result<Announcement, String> {
    match json(payload)? {
        Message::Delta(delta) => Ok(Announcement::Delta(delta)),
        Message::Heartbeat(flat) => {
            let (pairs, _) = flat.as_chunks::<2>();
            let fields = pairs.iter().cloned().map(<(String, String)>::from);
            let head = head(&fields.collect())?.ok_or("a heartbeat without a head")?;
            Ok(Announcement::Heartbeat(head))
        }
    }
}

#[derive(Deserialize)]
struct Change {
    position: Position,
    author: Author,
    reason: String,
    /// Milliseconds since the Unix epoch.
    time: u64,
    before: Vec<Entry>,
    after: Vec<Entry>,
}

/// Reads an entry of the history.
pub(super) fn change(payload: &[u8]) -> Result<HistoryEntry, String> {
    let change: Change = json(payload)?;
    Ok(HistoryEntry {
        position: change.position,
        author: change.author,
        reason: change.reason,
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(change.time),
        before: change.before,
        after: change.after,
    })
}

/// What the script `stamp` wrote: a value and when.
#[derive(Deserialize)]
pub(super) struct Stamped<T> {
    /// Milliseconds since the Unix epoch, by the registry's clock.
    time: u64,
    pub(super) value: T,
}

impl<T> Stamped<T> {
    pub(super) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_millis(self.time))
    }
}

pub(super) fn json<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

/// The answer to TIME, in whole milliseconds.
pub(super) fn time((seconds, microseconds): (u64, u32)) -> Duration {
    Duration::from_millis(seconds * 1000 + u64::from(microseconds / 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn a_missing_head_is_none_and_a_damaged_one_names_its_field() {
        assert_eq!(head(&fields(&[])), Ok(None));
        let epoch = "6d0a1c3e-58b6-4dd9-9b9e-0a6f0a8f8a11";
        let error = head(&fields(&[("epoch", epoch), ("revision", "many")]));
        assert_eq!(
            error,
            Err(r#"head: the field revision holds "many""#.into())
        );
    }

    #[test]
    fn rubbish_on_the_channel_is_an_error_in_words() {
        for payload in ["", "hello", "{}", r#"{"heartbeat":["epoch"]}"#] {
            assert!(announcement(payload.as_bytes()).is_err(), "{payload:?}");
        }
    }
}
