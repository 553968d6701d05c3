//! A newer version than this one, as far as a registry shows it: revisions that hold what this one cannot read.

use std::collections::HashMap;

use model::{Epoch, Position, Revision, RevisionId};
use serde_json::Value;

use super::{RedisServer, ask};
use crate::Digest;
use crate::store::Stamp;

/// One element of a revision: its collection's name, its key, and its value, or nothing where it goes.
pub type NewerChange<'a> = (&'a str, &'a str, Option<Value>);

const AUTHOR: &str = r#"{"kind":"operator","name":"newer","mood":"good"}"#;

/// A revision on its way.
struct Revising<'a> {
    server: &'a RedisServer,
    head: HashMap<String, String>,
    revision: Revision,
    before: Vec<String>,
    after: Vec<String>,
}

impl RedisServer {
    /// Makes a revision of the fleet `main` as a newer version would, whatever collections it knows and whatever its elements are
    /// like: written, counted, logged and announced. Nobody else may write meanwhile.
    pub fn commit_as_newer(&self, changes: &[NewerChange<'_>]) -> Position {
        let head = ask(&self.url(), &["HGETALL", &key("head")]);
        let mut revising = Revising {
            server: self,
            revision: Revision(number(&head, "revision") + 1),
            head,
            before: Vec::new(),
            after: Vec::new(),
        };
        for (ordinal, change) in (0..).zip(changes) {
            revising.write(ordinal, change);
        }
        revising.finish()
    }

    /// The text of a stored element of the fleet `main`, if it is there.
    pub fn stored(&self, collection: &str, field: &str) -> Option<String> {
        ask(&self.url(), &["HGET", &key(collection), field])
    }
}

impl Revising<'_> {
    fn write(&mut self, ordinal: u32, (collection, field, value): &NewerChange<'_>) {
        let before = self.server.stored(collection, field);
        let stamp = Stamp {
            revision: self.revision,
            created: self.revision,
            ordinal,
            incarnation: self.revision,
        };
        let after = value.as_ref().map(|value| stamp.wrap(&value.to_string()));
        match &after {
            Some(stored) => self.command(&["HSET", &key(collection), field, stored]),
            None => self.command(&["HDEL", &key(collection), field]),
        }
        self.count(collection, field, (before.as_deref(), after.as_deref()));
        self.before.push(entry(collection, field, before));
        self.after.push(entry(collection, field, after));
    }

    fn count(
        &mut self,
        collection: &str,
        field: &str,
        (before, after): (Option<&str>, Option<&str>),
    ) {
        let (count, sum) = (format!("{collection}:count"), format!("{collection}:sum"));
        let mut digest = Digest {
            count: number(&self.head, &count),
            sum: number(&self.head, &sum),
        };
        if let Some(before) = before {
            digest.remove(field.as_bytes(), before.as_bytes());
        }
        if let Some(after) = after {
            digest.add(field.as_bytes(), after.as_bytes());
        }
        let (counted, summed) = (digest.count.to_string(), digest.sum.to_string());
        self.head.extend([(count, counted), (sum, summed)]);
    }

    fn finish(mut self) -> Position {
        let revision = self.revision;
        let epoch: Epoch = self.head["epoch"].parse().expect("an epoch");
        let (id, previous) = (RevisionId::random(), self.head["id"].clone());
        for (name, value) in [
            ("revision", revision.to_string()),
            ("desired", revision.to_string()),
            ("id", id.to_string()),
        ] {
            self.head.insert(name.into(), value);
        }
        let head = key("head");
        let mut command = vec!["HSET", head.as_str()];
        for (name, value) in &self.head {
            command.extend([name.as_str(), value]);
        }
        self.command(&command);
        self.tell(
            &previous,
            &format!(r#""epoch":"{epoch}","revision":{revision},"id":"{id}""#),
        );
        Position {
            epoch,
            revision,
            id,
        }
    }

    /// Logs it, for those who catch up and for the history, and announces it.
    fn tell(&self, previous: &str, position: &str) {
        let (revision, before, after) =
            (self.revision, self.before.join(","), self.after.join(","));
        let delta = format!(
            r#"{{{position},"previous":"{previous}","desired":{revision},"mood":"good","author":{AUTHOR},"entries":[{after}]}}"#
        );
        let change = format!(
            r#"{{"position":{{{position}}},"author":{AUTHOR},"reason":"","time":0,"mood":"good","before":[{before}],"after":[{after}]}}"#
        );
        let entry = format!("{revision}-1");
        self.command(&["XADD", &key("log"), &entry, "delta", &delta]);
        self.command(&["XADD", &key("history"), "*", "change", &change]);
        let message = format!(r#"{{"delta":{delta}}}"#);
        self.command(&["PUBLISH", &key("changes"), &message]);
    }

    fn command(&self, words: &[&str]) {
        self.server.command(words);
    }
}

fn number(head: &HashMap<String, String>, name: &str) -> u64 {
    let text = head.get(name).map_or("0", String::as_str);
    text.parse().expect("a number")
}

fn entry(collection: &str, field: &str, stored: Option<String>) -> String {
    let stored = stored.unwrap_or_else(|| "null".into());
    format!(r#"{{"collection":"{collection}","key":"{field}","value":{stored}}}"#)
}

fn key(part: &str) -> String {
    format!("roundhouse:{{main}}:{part}")
}
