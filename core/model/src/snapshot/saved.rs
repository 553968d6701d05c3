//! A snapshot read from a file that any version may have written: what cannot be read of it is kept, and not the whole
//! given up for it.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{Fault, Snapshot, Unread};
use crate::{Collection, Entry, Position, Revision};

/// The snapshot as it is in the file. Whatever else is there may be a collection.
#[derive(Deserialize)]
struct Saved {
    position: Position,
    desired: Revision,
    #[serde(default)]
    faults: Vec<Fault>,
    #[serde(default)]
    unread: Unread,
    #[serde(flatten)]
    collections: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Snapshot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let saved = Saved::deserialize(deserializer)?;
        let mut snapshot = Self::empty(saved.position);
        snapshot.desired = saved.desired;
        snapshot.faults = saved.faults;
        // What was said of a collection as a whole may be said of none any more.
        snapshot
            .faults
            .retain(|fault| fault.key != Fault::WHOLE_COLLECTION);
        for (name, elements) in saved.collections {
            if let (Ok(collection), Value::Object(elements)) = (name.parse(), elements) {
                snapshot.read_again(collection, elements);
            }
        }
        // Who wrote the file may have been older than this version, and what was unread there can be read now.
        for (collection, key, text) in saved.unread.iter() {
            snapshot.apply_stored(collection, key.as_bytes(), text.as_bytes());
        }
        snapshot.sort_faults();
        Ok(snapshot)
    }
}

impl Snapshot {
    /// Takes the elements of a collection that were in force when they were saved, whatever the rules are now.
    fn read_again(&mut self, collection: Collection, elements: Map<String, Value>) {
        for (key, value) in elements {
            let value = Some(value);
            let entry = Entry {
                collection,
                key,
                value,
            };
            if collection.is_other() || self.put(&entry, false).is_err() {
                self.apply(&entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Epoch, RevisionId};

    /// A file of a version that has algorithms and a collection which this one does not know.
    fn newer() -> Value {
        let stamped = |value: Value| json!({"revision": 3, "created": 2, "ordinal": 0, "incarnation": 2, "value": value});
        json!({
            "position": {"epoch": Epoch::random(), "revision": 7, "id": RevisionId::random()},
            "desired": 6,
            "pools": {
                "default": stamped(json!({"id": "default", "from_the_future": {"a": 1}})),
                "new": stamped(json!({"id": "new", "algorithm": "clairvoyant"})),
            },
            "servers": {},
            "health": {
                "default/a": stamped(json!({"incarnation": 2, "health": "up", "reason": "", "mood": "good"})),
            },
            "holds": {},
            "weather": {"r1": stamped(json!({"to": "default"}))},
            "mood": "fine",
        })
    }

    fn read(file: &Value) -> Snapshot {
        serde_json::from_value(file.clone()).expect("a snapshot")
    }

    #[test]
    fn a_newer_versions_file_is_read_but_for_what_only_that_version_can() {
        let snapshot = read(&newer());
        assert_eq!(snapshot.desired, Revision(6));
        assert_eq!(snapshot.pools.len(), 1);
        let names: Vec<_> = snapshot
            .unread
            .iter()
            .map(|(collection, key, _)| (collection.to_string(), key))
            .collect();
        assert_eq!(
            names,
            [("pools".into(), "new"), ("weather".to_owned(), "r1")]
        );
        let faults: Vec<_> = snapshot.faults.iter().map(|it| it.key.as_str()).collect();
        assert_eq!(faults, ["new", Fault::WHOLE_COLLECTION]);
    }

    #[test]
    fn what_is_read_is_saved_with_all_that_was_in_it() {
        let file = newer();
        let snapshot = read(&file);
        let again = serde_json::to_value(&snapshot).expect("JSON");
        let kept = &again["pools"]["default"]["value"]["from_the_future"];
        assert_eq!(*kept, json!({"a": 1}));
        assert_eq!(again["health"], file["health"]);
        for (collection, key) in [("pools", "new"), ("weather", "r1")] {
            let text = again["unread"][collection][key].as_str().expect("a text");
            let element: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(element, file[collection][key]);
        }
        assert_eq!(read(&again), snapshot);
    }

    #[test]
    fn a_file_of_a_version_without_a_collection_holds_nothing_of_it() {
        let mut file = newer();
        for name in ["weather", "mood"] {
            file.as_object_mut().expect("an object").remove(name);
        }
        let snapshot = read(&file);
        assert!(snapshot.routes.is_empty() && snapshot.listeners.is_empty());
        assert!(snapshot.networks.is_empty());
        assert_eq!(snapshot.faults.len(), 1);
    }

    #[test]
    fn what_an_older_version_could_not_read_is_read_by_one_that_can() {
        let mut file = newer();
        let pool = r#"{"revision":3,"created":3,"ordinal":0,"incarnation":3,"value":{"id":"late","algorithm":"p2c"}}"#;
        file["unread"] = json!({"pools": {"late": pool}});
        file["faults"] =
            json!([{"collection": "pools", "key": "late", "reason": "unknown variant"}]);
        let snapshot = read(&file);
        assert_eq!(snapshot.pools.len(), 2);
        assert!(!snapshot.unread.contains(Collection::Pools, "late"));
        let faults: Vec<_> = snapshot.faults.iter().map(ToString::to_string).collect();
        let is_over =
            |fault: &String| !fault.starts_with("pools \"late") && !fault.starts_with("pools \"*");
        assert!(faults.iter().all(is_over), "{faults:?}");
    }

    #[test]
    fn the_last_good_element_and_what_came_after_it_are_both_there_again() {
        let mut file = newer();
        file["pools"]["new"] = file["pools"]["default"].clone();
        file["pools"]["new"]["value"]["id"] = json!("new");
        let unreadable = r#"{"revision":5,"created":2,"ordinal":0,"incarnation":2,"value":{"id":"new","algorithm":"clairvoyant"}}"#;
        file["unread"] = json!({"pools": {"new": unreadable}});
        let snapshot = read(&file);
        assert_eq!(snapshot.pools.len(), 2);
        let kept = snapshot.unread.get(Collection::Pools, "new");
        assert_eq!(kept, Some(unreadable));
    }
}
