//! Reading a value to its end, whatever is wrong with it: what cannot be read is named and taken out, and the rest read again.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use super::rule;
use crate::problem::Problem;

/// How many faults of one value are looked for.
const FAULTS_MAX: usize = 100;

/// What comes of what a client sent.
pub(crate) struct Accepted<T> {
    /// The value, as far as it could be read: what could not has its default.
    pub(crate) value: Option<T>,
    pub(crate) errors: Vec<model::Problem>,
}

impl<T> Accepted<T> {
    /// The value, if nothing is wrong with it.
    pub(crate) fn whole(self) -> Result<T, Problem> {
        match self.value {
            Some(value) if self.errors.is_empty() => Ok(value),
            _ => Err(self.errors.into()),
        }
    }

    /// Adds what else is wrong with the value, as far as what could not be read does not stand in the way: a default in its place may break
    /// a rule that the sender keeps, and items behind one that was taken out have moved up.
    pub(crate) fn add(&mut self, found: impl IntoIterator<Item = model::Problem>) {
        let unread: Vec<_> = self.errors.iter().map(|it| place(&it.field)).collect();
        let is_certain = |it: &model::Problem| {
            let stands_in_the_way =
                |unread: &&str| is_within(&it.field, unread) || is_within(unread, &it.field);
            unread.is_empty() || !(it.is_relation() || unread.iter().any(stands_in_the_way))
        };
        let certain: Vec<_> = found.into_iter().filter(is_certain).collect();
        self.errors.extend(certain);
    }
}

/// The place of what could not be read, or the list that it was an item of.
fn place(field: &str) -> &str {
    field.split('[').next().unwrap_or_default()
}

fn is_within(field: &str, place: &str) -> bool {
    let rest = field.strip_prefix(place);
    rest.is_some_and(|rest| place.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Reads a model type from JSON. What has a value of the wrong type, or lacks what it needs, is named by its path, and the rest is
/// as if it were not there.
pub(crate) fn sift<T: DeserializeOwned>(mut value: Value) -> Accepted<T> {
    let mut sieve = Sieve::default();
    let value = loop {
        match serde_path_to_error::deserialize(&value) {
            Ok(read) => break Some(read),
            Err(error) => {
                let path = error.path().clone();
                let goes_on = sieve.name(&path, &error.into_inner().to_string())
                    && sieve.take_out(&mut value, &path);
                if !goes_on {
                    break None;
                }
            }
        }
    };
    Accepted {
        value,
        errors: sieve.faults,
    }
}

/// What was found so far.
#[derive(Default)]
struct Sieve {
    faults: Vec<model::Problem>,
    /// The paths of what was taken out.
    gone: Vec<String>,
    /// How many items were taken out of which list: those behind have moved up.
    moved: HashMap<String, usize>,
}

impl Sieve {
    /// Names a fault, unless it follows from what was taken out. Whether to look for more.
    fn name(&mut self, path: &Path, said: &str) -> bool {
        let place = self.text(path);
        let (field, rule) = match missing(said) {
            Some(field) if place.is_empty() => (field.to_owned(), "is required".into()),
            Some(field) => (format!("{place}.{field}"), "is required".into()),
            None => (place, rule::of(said)),
        };
        if !self.follows(&field) {
            let field = if field.is_empty() { "." } else { &field };
            self.faults.push(model::Problem::new(field, rule));
        }
        self.faults.len() < FAULTS_MAX
    }

    /// Whether something was taken out there, or within.
    fn follows(&self, field: &str) -> bool {
        self.gone.iter().any(|gone| is_within(gone, field))
    }

    /// Takes out what is at a path. Whether there is something left to read.
    fn take_out(&mut self, value: &mut Value, path: &Path) -> bool {
        let text = self.text(path);
        let segments: Vec<_> = path.iter().collect();
        let Some((last, way)) = segments.split_last() else {
            return false;
        };
        let mut place = value;
        for segment in way {
            match inside(place, segment) {
                Some(next) => place = next,
                None => return false,
            }
        }
        let is_out = match (last, place) {
            (
                Segment::Map { key: name } | Segment::Enum { variant: name },
                Value::Object(object),
            ) => object.remove(name).is_some(),
            (Segment::Seq { index }, Value::Array(list)) if *index < list.len() => {
                list.remove(*index);
                let end = text.rfind('[').unwrap_or_default();
                *self.moved.entry(text[..end].to_owned()).or_default() += 1;
                true
            }
            _ => false,
        };
        self.gone.push(text);
        is_out
    }

    /// A path as it was in what was sent; nothing for the whole.
    fn text(&self, path: &Path) -> String {
        let mut text = String::new();
        for segment in path {
            match segment {
                Segment::Seq { index } => {
                    let moved = self.moved.get(&text).copied().unwrap_or_default();
                    text.push_str(&format!("[{}]", index + moved));
                }
                named => {
                    let dot = if text.is_empty() { "" } else { "." };
                    text.push_str(&format!("{dot}{named}"));
                }
            }
        }
        text
    }
}

fn inside<'a>(value: &'a mut Value, segment: &Segment) -> Option<&'a mut Value> {
    match segment {
        Segment::Seq { index } => value.get_mut(*index),
        Segment::Map { key: name } | Segment::Enum { variant: name } => {
            value.get_mut(name.as_str())
        }
        Segment::Unknown => None,
    }
}

/// The field that is missed, which has no path of its own.
fn missing(said: &str) -> Option<&str> {
    said.strip_prefix("missing field `")?.split('`').next()
}

#[cfg(test)]
mod tests {
    use model::{NetworkList, Route, Server};
    use serde_json::json;

    use super::*;

    fn faults<T: DeserializeOwned>(value: Value) -> Vec<String> {
        let errors = sift::<T>(value).errors;
        errors.into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn every_value_of_the_wrong_type_is_named_and_the_rest_is_read() {
        let server = json!({"pool": "web", "id": "a", "address": "10.0.0.1:80", "weight": "x", "state": "gone", "zone": "z"});
        let Accepted { value, errors } = sift::<Server>(server);
        let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
        let expected = [
            "state: must be active, draining or disabled",
            "weight: must be a whole number from 0 to 65535",
        ];
        assert_eq!(told, expected);
        let read = value.expect("what is left is a server");
        assert_eq!((read.zone.as_str(), read.weight), ("z", 1));
    }

    #[test]
    fn what_is_missing_is_named_after_what_is_wrong_and_not_for_being_taken_out() {
        assert_eq!(
            faults::<Server>(json!({"pool": "web", "id": "a", "weight": "x"})),
            ["weight", "address"]
        );
        assert_eq!(
            faults::<Server>(json!({"pool": "web", "id": "a", "address": 7, "weight": "x"})),
            ["address", "weight"]
        );
        assert_eq!(faults::<Server>(json!([])), ["."]);
    }

    #[test]
    fn items_of_a_list_are_named_by_the_places_that_they_were_sent_in() {
        let list =
            json!({"id": "bad", "networks": ["10.0.0.0/33", "10.0.0.0/8", 7, "x", "192.0.2.0/24"]});
        let Accepted { value, errors } = sift::<NetworkList>(list);
        let fields: Vec<_> = errors.iter().map(|it| it.field.as_str()).collect();
        assert_eq!(fields, ["networks[0]", "networks[2]", "networks[3]"]);
        assert_eq!(value.expect("a list").networks.len(), 2);
        let headers = json!([{"name": 1}, {"name": "a"}, {"name": 2}]);
        let route = json!({"id": "r", "action": {"pool": 7}, "match": {"headers": headers}, "priority": "x"});
        let expected = [
            "action.pool",
            "match.headers[0].name",
            "match.headers[2].name",
            "priority",
        ];
        assert_eq!(faults::<Route>(route), expected);
    }

    #[test]
    fn what_else_is_wrong_is_told_where_what_cannot_be_read_does_not_stand_in_the_way() {
        let list = json!({"id": "bad", "networks": ["x", "10.0.0.0/8"], "size": 3});
        let mut list = sift::<NetworkList>(list);
        let fields = [
            "networks[0]",
            "networks",
            "networked",
            "id",
            "networks[0].x",
        ];
        list.add(fields.map(|field| model::Problem::new(field, "is wrong")));
        let fields: Vec<_> = list.errors.iter().map(|it| it.field.as_str()).collect();
        assert_eq!(fields, ["networks[0]", "networked", "id"]);
    }

    #[test]
    fn a_value_with_faults_without_end_is_given_up() {
        let list = json!({"id": "bad", "networks": vec![json!(7); 1_000]});
        assert_eq!(faults::<NetworkList>(list).len(), FAULTS_MAX);
    }
}
