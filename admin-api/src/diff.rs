//! What differs between two values, field by field, for people who read or decide.

use std::collections::BTreeSet;

use model::{Change, Collection, Fleet};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// What became of one element: its name, whether it came, changed or went, and the fields that differ.
pub(crate) fn told(
    collection: Collection,
    key: &str,
    before: Option<&Value>,
    after: Option<&Value>,
) -> Value {
    let change = match (before, after) {
        (None, _) => "created",
        (_, None) => "removed",
        _ => "changed",
    };
    let diff = diff(before, after);
    json!({"collection": collection, "key": key, "change": change, "diff": diff})
}

/// The same of a change that is made to a state.
pub(crate) fn told_of(change: &Change, present: &Fleet) -> Value {
    let before = match change {
        Change::Pool(id, _) => present.pools.get(id).map(to_json),
        Change::Server(key, _) => present.servers.get(key).map(to_json),
        Change::Route(id, _) => present.routes.get(id).map(to_json),
        Change::Listener(id, _) => present.listeners.get(id).map(to_json),
        Change::Networks(id, _) => present.networks.get(id).map(to_json),
        Change::Limit(id, _) => present.limits.get(id).map(to_json),
        Change::Certificate(id, _) => present.certificates.get(id).map(to_json),
        Change::Verdict(..) | Change::Ruling(..) | Change::Secret(..) => None,
    };
    let (key, after) = (change.key(), change.value());
    told(change.collection(), &key, before.as_ref(), after.as_ref())
}

fn to_json(element: &impl Serialize) -> Value {
    serde_json::to_value(element).expect("model types hold nothing that JSON cannot")
}

/// The fields that differ, each with its JSON pointer (RFC 6901), in the order of their names. A list is one value; a
/// field that is absent is null. A whole element that came or went is one difference, at the empty pointer.
pub(crate) fn diff(before: Option<&Value>, after: Option<&Value>) -> Vec<Value> {
    let mut found = Vec::new();
    compare("", before, after, &mut found);
    found
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Value>) {
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            compare_fields(path, before, after, found);
        }
        _ if before == after => {}
        _ => found.push(json!({"path": path, "before": before, "after": after})),
    }
}

fn compare_fields(
    path: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    found: &mut Vec<Value>,
) {
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for name in names {
        let path = format!("{path}/{}", escaped(name));
        compare(&path, before.get(name), after.get(name), found);
    }
}

/// A name as a part of a pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_fields_that_differ_are_named_however_deep() {
        let before = json!({"id": "web", "health": {"path": "/", "rise": 2}, "statuses": ["502"]});
        let after = json!({"id": "web", "health": {"path": "/up", "rise": 2}, "statuses": ["503"]});
        assert_eq!(
            diff(Some(&before), Some(&after)),
            [
                json!({"path": "/health/path", "before": "/", "after": "/up"}),
                json!({"path": "/statuses", "before": ["502"], "after": ["503"]}),
            ]
        );
        assert!(diff(Some(&before), Some(&before)).is_empty());
    }

    #[test]
    fn a_field_that_comes_or_goes_is_null_on_the_other_side() {
        let (before, after) = (json!({"a/b": 1}), json!({"c~d": {"e": 2}}));
        assert_eq!(
            diff(Some(&before), Some(&after)),
            [
                json!({"path": "/a~1b", "before": 1, "after": null}),
                json!({"path": "/c~0d", "before": null, "after": {"e": 2}}),
            ]
        );
    }

    #[test]
    fn an_element_that_comes_or_goes_is_one_difference() {
        let element = json!({"id": "web"});
        let created = json!({"path": "", "before": null, "after": {"id": "web"}});
        assert_eq!(diff(None, Some(&element)), [created]);
        let removed = json!({"path": "", "before": {"id": "web"}, "after": null});
        assert_eq!(diff(Some(&element), None), [removed]);
    }
}
