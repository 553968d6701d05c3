//! How the head, the history, announcements and reports are written in Redis, read back into their types.
//!
//! What cannot be read is an error where it is the head, and named and left out everywhere else.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use model::{Author, Collection, Delta, Entry, Epoch, Moment, Position, Revision, Term};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Announcement, Digest, Head, HistoryEntry, Life, Remembered};

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

/// The fields of the head's hash that make its position.
pub(super) const POSITION: [&str; 3] = ["epoch", "revision", "id"];

/// Reads these three. Nothing where one is missing or malformed: whoever reads the whole head says so.
pub(super) fn position(fields: [Option<Vec<u8>>; 3]) -> Option<Position> {
    fn parse<T: FromStr>(field: Option<Vec<u8>>) -> Option<T> {
        String::from_utf8(field?).ok()?.parse().ok()
    }
    let [epoch, revision, id] = fields;
    Some(Position {
        epoch: parse(epoch)?,
        revision: Revision(parse(revision)?),
        id: parse(id)?,
    })
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

/// What each collection should hold. One that the head does not name holds nothing: an older version made the head, which knew no
/// such collection. What a newer version counts of its own is kept beside.
fn digests(fields: &HashMap<String, String>) -> Result<BTreeMap<Collection, Digest>, String> {
    let mut digests = BTreeMap::new();
    for collection in Collection::ALL {
        digests.insert(collection, digest(fields, collection)?);
    }
    let names = fields.keys().filter_map(|name| name.strip_suffix(":count"));
    let others = names.filter_map(|name| name.parse().ok());
    for other in others.filter(|it: &Collection| it.is_other()) {
        if let Ok(digest) = digest(fields, other) {
            digests.insert(other, digest);
        }
    }
    Ok(digests)
}

fn digest(fields: &HashMap<String, String>, collection: Collection) -> Result<Digest, String> {
    let (count, sum) = (format!("{collection}:count"), format!("{collection}:sum"));
    if !fields.contains_key(&count) && !fields.contains_key(&sum) {
        return Ok(Digest::default());
    }
    Ok(Digest {
        count: field(fields, &count)?,
        sum: field(fields, &sum)?,
    })
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

/// The mark beside the reports: the epoch and the revision since which they are remembered, and in milliseconds when a
/// commit made it. Nothing where it is nonsense.
pub(super) fn remembered(text: &[u8], now: Duration) -> Option<Remembered> {
    let mut parts = str::from_utf8(text).ok()?.split(' ');
    let _: Epoch = parts.next()?.parse().ok()?;
    let _: u64 = parts.next()?.parse().ok()?;
    let time: Option<u64> = parts.next().map(str::parse).transpose().ok()?;
    parts.next().is_none().then(|| match time {
        Some(time) => Remembered::For(now.saturating_sub(Duration::from_millis(time))),
        None => Remembered::Always,
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

/// The answer to TIME.
pub(super) fn moment((seconds, microseconds): (u64, u32)) -> Moment {
    Moment(seconds * 1_000_000 + u64::from(microseconds))
}

/// The same in whole milliseconds.
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
    fn a_mark_says_for_how_long_the_instances_are_remembered_or_is_nonsense() {
        let epoch = "6d0a1c3e-58b6-4dd9-9b9e-0a6f0a8f8a11";
        let read = |rest: &str| {
            let mark = format!("{epoch}{rest}");
            remembered(mark.as_bytes(), Duration::from_millis(5_000))
        };
        let aged = |age| Some(Remembered::For(Duration::from_millis(age)));
        assert_eq!(read(" 7"), Some(Remembered::Always));
        assert_eq!(read(" 7 1500"), aged(3_500));
        assert_eq!(read(" 7 6000"), aged(0), "the clock was set back");
        for nonsense in ["", " ", " 7 ", " 7 soon", " 7 1500 8", "7"] {
            assert_eq!(read(nonsense), None, "{nonsense:?}");
        }
    }

    fn whole(more: &[(&str, &str)]) -> HashMap<String, String> {
        let id = "6d0a1c3e-58b6-4dd9-9b9e-0a6f0a8f8a11";
        let counted = ["pools", "servers", "health", "holds"];
        let mut all = fields(&[
            ("epoch", id),
            ("revision", "7"),
            ("id", id),
            ("desired", "6"),
            ("term", "1"),
        ]);
        for collection in counted {
            all.insert(format!("{collection}:count"), "1".into());
            all.insert(format!("{collection}:sum"), "2".into());
        }
        all.extend(fields(more));
        all
    }

    #[test]
    fn a_collection_that_an_older_version_did_not_count_holds_nothing() {
        let mut older = whole(&[]);
        older.remove("holds:count");
        older.remove("holds:sum");
        let head = head(&older).expect("readable").expect("a head");
        assert_eq!(head.digests[&Collection::Holds], Digest::default());
        assert_eq!(head.digests[&Collection::Pools].count, 1);
    }

    #[test]
    fn what_a_newer_version_counts_is_kept_and_hinders_nothing() {
        let newer = whole(&[
            ("weather:count", "3"),
            ("weather:sum", "4"),
            ("mood", "fine"),
            ("tides:count", "many"),
            ("log:count", "1"),
            ("log:sum", "1"),
        ]);
        let head = head(&newer).expect("readable").expect("a head");
        let weather = "weather".parse().expect("a name");
        assert_eq!(head.digests[&weather], Digest { count: 3, sum: 4 });
        assert_eq!(head.digests.len(), Collection::ALL.len() + 1);
    }

    #[test]
    fn a_count_without_its_sum_is_damage_by_name() {
        let mut damaged = whole(&[]);
        damaged.remove("pools:sum");
        let error = "head: the field pools:sum is missing".into();
        assert_eq!(head(&damaged), Err(error));
    }

    #[test]
    fn rubbish_on_the_channel_is_an_error_in_words() {
        for payload in ["", "hello", "{}", r#"{"heartbeat":["epoch"]}"#] {
            assert!(announcement(payload.as_bytes()).is_err(), "{payload:?}");
        }
    }
}
