//! What a newer version stored and this one cannot read: kept as text, so that whoever gives a registry its memory back
//! gives that back too.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Collection, Stamped};

type Texts = BTreeMap<Collection, BTreeMap<String, String>>;

/// Stored elements that cannot be read, by collection and key, each as its text. Shared, since it seldom changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unread(Arc<Texts>);

impl Unread {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// An element's text.
    pub fn get(&self, collection: Collection, key: &str) -> Option<&str> {
        let text = self.0.get(&collection)?.get(key)?;
        Some(text)
    }

    pub fn contains(&self, collection: Collection, key: &str) -> bool {
        self.get(collection, key).is_some()
    }

    /// The keys of one collection, in their order.
    pub fn keys_of(&self, collection: Collection) -> impl Iterator<Item = &str> {
        let texts = self.0.get(&collection).into_iter();
        texts.flat_map(|texts| texts.keys().map(String::as_str))
    }

    /// Every element: its collection, key and text.
    pub fn iter(&self) -> impl Iterator<Item = (Collection, &str, &str)> {
        let collections = self.0.iter();
        collections.flat_map(|(collection, texts)| {
            let texts = texts.iter();
            texts.map(|(key, text)| (*collection, key.as_str(), text.as_str()))
        })
    }

    /// The collections that this version does not know.
    pub fn others(&self) -> impl Iterator<Item = Collection> {
        let collections = self.0.keys().copied();
        collections.filter(|collection| collection.is_other())
    }

    /// Puts the other's elements of one collection in the place of the own.
    pub fn take_over(&mut self, collection: Collection, other: &Self) {
        let texts = other.0.get(&collection);
        if self.0.get(&collection) == texts {
            return;
        }
        let own = Arc::make_mut(&mut self.0);
        match texts {
            Some(texts) => drop(own.insert(collection, texts.clone())),
            None => drop(own.remove(&collection)),
        }
    }

    pub(super) fn keep(&mut self, collection: Collection, key: &str, text: String) {
        let texts = Arc::make_mut(&mut self.0).entry(collection);
        texts.or_default().insert(key.into(), text);
    }

    pub(super) fn forget(&mut self, collection: Collection, key: &str) {
        if !self.contains(collection, key) {
            return;
        }
        let own = Arc::make_mut(&mut self.0);
        if let Some(texts) = own.get_mut(&collection) {
            texts.remove(key);
            if texts.is_empty() {
                own.remove(&collection);
            }
        }
    }
}

/// The text of an element that a commit wrote, as the commit wrote it. Nothing for what has no stamp: that is by other hands, and no
/// loss.
pub(super) fn committed(value: &Value) -> Option<String> {
    let stamped: Stamped<IgnoredAny> = Stamped::deserialize(value).ok()?;
    let object = value.as_object()?;
    if object.len() == Stamped::<Value>::FIELDS {
        let value = &object["value"];
        return Some(stamped.with(value).to_text());
    }
    Some(value.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_commit_wrote_keeps_its_very_text() {
        let text = r#"{"revision":9,"created":2,"ordinal":1,"incarnation":5,"value":{"a":[],"b":{},"c":0.5}}"#;
        let value = serde_json::from_str(text).expect("JSON");
        assert_eq!(committed(&value).as_deref(), Some(text));
    }

    #[test]
    fn a_stamp_with_more_to_it_is_kept_whole_and_none_is_nothing() {
        let value = json!({"revision": 9, "created": 2, "ordinal": 1, "incarnation": 5, "by": "x", "value": 1});
        let text = committed(&value).expect("a stamp");
        assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(value));
        for value in [json!(1), json!([]), json!({}), json!({"value": {}})] {
            assert_eq!(committed(&value), None, "{value}");
        }
    }

    #[test]
    fn of_one_collection_the_others_elements_are_taken_over_and_no_more() {
        let (mut own, mut other) = (Unread::default(), Unread::default());
        own.keep(Collection::Pools, "a", "1".into());
        own.keep(Collection::Servers, "a/b", "2".into());
        other.keep(Collection::Pools, "c", "3".into());
        own.take_over(Collection::Pools, &other);
        let all: Vec<_> = own.iter().collect();
        let expected = [
            (Collection::Pools, "c", "3"),
            (Collection::Servers, "a/b", "2"),
        ];
        assert_eq!(all, expected);
        own.take_over(Collection::Servers, &other);
        own.forget(Collection::Pools, "c");
        assert!(own.is_empty());
    }
}
