//! Reading JSON in which no object names a field twice.
//!
//! Of two values for one field, JSON itself prefers neither and readers differ (RFC 8259, section 4): whoever
//! sent both means something else than what one of them would do.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The rule that a field breaks which is there twice.
const ONCE: &str = "is given more than once";

/// Reads a value, and every field in it that is given more than once.
pub(super) fn parse(bytes: &[u8]) -> Result<(Value, Vec<model::Problem>), serde_json::Error> {
    let mut repeated = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let place = Place {
        path: String::new(),
        repeated: &mut repeated,
    };
    let value = place.deserialize(&mut reader)?;
    reader.end()?;
    Ok((value, repeated))
}

/// Where in the body a value is read, and what has been found so far.
struct Place<'a> {
    /// As problems write it: `health.status[0]`.
    path: String,
    repeated: &'a mut Vec<model::Problem>,
}

impl Place<'_> {
    fn inside(&mut self, path: String) -> Place<'_> {
        let repeated = &mut *self.repeated;
        Place { path, repeated }
    }

    fn field(&mut self, name: &str) -> Place<'_> {
        let dot = if self.path.is_empty() { "" } else { "." };
        let path = format!("{}{dot}{name}", self.path);
        self.inside(path)
    }

    fn item(&mut self, index: usize) -> Place<'_> {
        let path = format!("{}[{index}]", self.path);
        self.inside(path)
    }

    fn refuse(&mut self, name: &str) {
        let field = self.field(name).path;
        self.repeated.push(model::Problem::new(field, ONCE));
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.item(list.len()))? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if object.contains_key(&name) {
                self.refuse(&name);
            }
            let value = fields.next_value_seed(self.field(&name))?;
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn repeated(text: &str) -> Vec<String> {
        let (_, repeated) = parse(text.as_bytes()).expect("JSON");
        repeated.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_read_is_what_json_says() {
        let text =
            r#"{"a":[null,true,-1,1.5,18446744073709551615,"x\n",{}],"b":{"c":[]},"":"\u00e9"}"#;
        let (value, repeated) = parse(text.as_bytes()).expect("JSON");
        assert_eq!(value, serde_json::from_str::<Value>(text).expect("JSON"));
        assert_eq!(value["b"], json!({"c": []}));
        assert_eq!(repeated, []);
    }

    #[test]
    fn a_field_that_is_given_twice_is_named_by_its_path() {
        assert_eq!(
            repeated(r#"{"a":1,"b":{"c":1,"\u0063":1},"d":[{},{"e":1,"e":2}],"a":2}"#),
            [
                "b.c: is given more than once",
                "d[1].e: is given more than once",
                "a: is given more than once",
            ]
        );
        assert_eq!(repeated(r#"{"a":{"b":1},"c":{"b":1},"b":1}"#), [""; 0]);
    }
}
