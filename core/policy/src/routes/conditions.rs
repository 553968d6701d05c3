//! What a route asks of a request beside its host and path.

use std::iter;

use model::{Condition, Scheme, Test};

use super::Question;
use crate::firewall::Networks;

/// All of these must hold.
#[derive(Debug)]
pub(super) struct Conditions {
    /// Any of them, where there are some.
    methods: Vec<Box<[u8]>>,
    scheme: Option<Scheme>,
    /// Names in lower case.
    headers: Vec<(Box<[u8]>, Test)>,
    query: Vec<(Box<[u8]>, Test)>,
    networks: Option<Networks>,
}

impl Conditions {
    /// Nothing where there are none.
    pub(super) fn compile(claim: &model::Claim) -> Option<Self> {
        let methods = claim.methods.iter().map(|method| method.as_bytes().into());
        let header = |it: &Condition| {
            let name = it.name.to_ascii_lowercase();
            (name.as_bytes().into(), it.value.clone())
        };
        let parameter = |it: &Condition| (it.name.as_bytes().into(), it.value.clone());
        let networks = &claim.networks;
        let compiled = Self {
            methods: methods.collect(),
            scheme: claim.scheme,
            headers: claim.headers.iter().map(header).collect(),
            query: claim.query.iter().map(parameter).collect(),
            networks: (!networks.is_empty()).then(|| Networks::new(networks)),
        };
        (!compiled.is_empty()).then_some(compiled)
    }

    fn is_empty(&self) -> bool {
        self.methods.is_empty()
            && self.scheme.is_none()
            && self.headers.is_empty()
            && self.query.is_empty()
            && self.networks.is_none()
    }

    pub(super) fn hold(&self, question: &Question<'_>) -> bool {
        self.allow_method(question)
            && self.allow_scheme(question)
            && self.allow_client(question)
            && (self.headers.iter()).all(|condition| has_header(question, condition))
            && (self.query.iter()).all(|condition| has_parameter(question, condition))
    }

    /// Those that do not hold, by the names of their fields.
    pub(super) fn unmet(&self, question: &Question<'_>) -> Vec<String> {
        let named = |list: &str, name: &[u8]| format!("{list}.{}", String::from_utf8_lossy(name));
        let parts = [
            ("methods", self.allow_method(question)),
            ("scheme", self.allow_scheme(question)),
            ("networks", self.allow_client(question)),
        ];
        let parts = parts.into_iter().filter(|(_, holds)| !holds);
        let headers = self.headers.iter();
        let headers = headers.filter(|condition| !has_header(question, condition));
        let query = self.query.iter();
        let query = query.filter(|condition| !has_parameter(question, condition));
        parts
            .map(|(part, _)| part.to_owned())
            .chain(headers.map(|(name, _)| named("headers", name)))
            .chain(query.map(|(name, _)| named("query", name)))
            .collect()
    }

    fn allow_method(&self, question: &Question<'_>) -> bool {
        let mut methods = self.methods.iter();
        self.methods.is_empty() || methods.any(|method| **method == *question.method)
    }

    fn allow_scheme(&self, question: &Question<'_>) -> bool {
        self.scheme.is_none_or(|scheme| scheme == question.scheme)
    }

    fn allow_client(&self, question: &Question<'_>) -> bool {
        let networks = self.networks.as_ref();
        networks.is_none_or(|networks| networks.holds(question.client))
    }
}

fn has_header(question: &Question<'_>, (name, test): &(Box<[u8]>, Test)) -> bool {
    let any = |accepts: &mut dyn FnMut(&[u8]) -> bool| question.headers.any(name, accepts);
    match test {
        Test::Present => any(&mut |_| true),
        Test::Absent => !any(&mut |_| true),
        Test::Exact(text) => any(&mut |value| value == text.as_bytes()),
        Test::Prefix(text) => any(&mut |value| value.starts_with(text.as_bytes())),
    }
}

/// Parameters are compared once they are decoded, as forms encode them.
fn has_parameter(question: &Question<'_>, (name, test): &(Box<[u8]>, Test)) -> bool {
    let parameters = question.query.split(|byte| *byte == b'&');
    let parameters = parameters
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| {
            let end = parameter.iter().position(|byte| *byte == b'=');
            let (name, value) = parameter.split_at(end.unwrap_or(parameter.len()));
            (name, value.get(1..).unwrap_or_default())
        });
    let mut values = parameters
        .filter(|(other, _)| decoded(other).eq(name.iter().copied()))
        .map(|(_, value)| value);
    match test {
        Test::Present => values.next().is_some(),
        Test::Absent => values.next().is_none(),
        Test::Exact(text) => values.any(|value| decoded(value).eq(text.bytes())),
        Test::Prefix(text) => values.any(|value| decoded(value).take(text.len()).eq(text.bytes())),
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

    fn has(query: &str, name: &str, test: Test) -> bool {
        let no_fields: [(&[u8], &[u8]); 0] = [];
        let question = Question {
            host: b"",
            path: b"/",
            query: query.as_bytes(),
            method: b"GET",
            scheme: Scheme::Http,
            client: [127, 0, 0, 1].into(),
            headers: &no_fields,
        };
        has_parameter(&question, &(name.as_bytes().into(), test))
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
