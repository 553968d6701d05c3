//! What a route asks of a request beside its host and path.

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
    query: Vec<Condition>,
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
        let networks = &claim.networks;
        let compiled = Self {
            methods: methods.collect(),
            scheme: claim.scheme,
            headers: claim.headers.iter().map(header).collect(),
            query: claim.query.clone(),
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
            && (self.query.iter()).all(|condition| condition.holds_of_query(question.query))
    }

    /// Those that do not hold, by the names of their fields.
    pub(super) fn unmet(&self, question: &Question<'_>) -> Vec<String> {
        let named = |name: &[u8]| format!("headers.{}", String::from_utf8_lossy(name));
        let parts = [
            ("methods", self.allow_method(question)),
            ("scheme", self.allow_scheme(question)),
            ("networks", self.allow_client(question)),
        ];
        let parts = parts.into_iter().filter(|(_, holds)| !holds);
        let headers = self.headers.iter();
        let headers = headers.filter(|condition| !has_header(question, condition));
        let query = self.query.iter();
        let query = query.filter(|condition| !condition.holds_of_query(question.query));
        parts
            .map(|(part, _)| part.to_owned())
            .chain(headers.map(|(name, _)| named(name)))
            .chain(query.map(|condition| format!("query.{}", condition.name)))
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
