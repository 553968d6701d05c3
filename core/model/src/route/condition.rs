//! What a route asks of one header or parameter.

use std::iter;

use serde::{Deserialize, Serialize};

use crate::Unknown;

/// One header or one parameter of the query, and what its value must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// Headers are compared without regard to case.
    pub name: String,
    /// Where nothing is said, it must be there.
    #[serde(default)]
    pub value: Test,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// What a value must be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// It is there, whatever it says.
    #[default]
    Present,
    /// It is not there.
    Absent,
    Exact(String),
    Prefix(String),
}

impl Condition {
    /// Whether it holds of the parameters of a query, without its question mark. They are compared once they are decoded, as forms encode
    /// them; any of those of the name counts. Headers are compared otherwise.
    pub fn holds_of_query(&self, query: &[u8]) -> bool {
        let parameters = query.split(|byte| *byte == b'&');
        let parameters = parameters
            .filter(|parameter| !parameter.is_empty())
            .map(|parameter| {
                let end = parameter.iter().position(|byte| *byte == b'=');
                let (name, value) = parameter.split_at(end.unwrap_or(parameter.len()));
                (name, value.get(1..).unwrap_or_default())
            });
        let mut values = parameters
            .filter(|(other, _)| decoded(other).eq(self.name.bytes()))
            .map(|(_, value)| value);
        match &self.value {
            Test::Present => values.next().is_some(),
            Test::Absent => values.next().is_none(),
            Test::Exact(text) => values.any(|value| decoded(value).eq(text.bytes())),
            Test::Prefix(text) => {
                values.any(|value| decoded(value).take(text.len()).eq(text.bytes()))
            }
        }
    }
}

/// The octets of a parameter. A `%` that encodes none stands for itself.
fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        rest = after;
        Some(match first {
            b'+' => b' ',
            b'%' => match encoded(after) {
                Some(octet) => {
                    rest = &after[2..];
                    octet
                }
                None => b'%',
            },
            other => *other,
        })
    })
}

fn encoded(digits: &[u8]) -> Option<u8> {
    let digit = |place: usize| char::from(*digits.get(place)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(query: &str, name: &str, value: Test) -> bool {
        let condition = Condition {
            name: name.into(),
            value,
            unknown: Unknown::default(),
        };
        condition.holds_of_query(query.as_bytes())
    }

    #[test]
    fn a_parameter_is_compared_decoded_and_any_of_its_values_counts() {
        let exact = |text: &str| Test::Exact(text.into());
        assert!(has("a=1&b=2", "b", exact("2")));
        assert!(has("a=1&a=2", "a", exact("2")));
        assert!(has("%61=x+y%2Bz", "a", exact("x y+z")));
        assert!(has("a=100%", "a", exact("100%")));
        assert!(has("a=%zz", "a", Test::Prefix("%z".into())));
        assert!(!has("a=1", "a", Test::Prefix("11".into())));
        assert!(has("a", "a", exact("")) && has("a=", "a", Test::Present));
        assert!(has("", "a", Test::Absent) && !has("b&a", "a", Test::Absent));
        assert!(!has("ab=1", "a", Test::Present));
    }
}
