//! What a route changes of heads, in the codec's terms.

use policy::{HeaderEdits, Route};

use super::codec::FieldChanges;

/// The name of the field of RFC 6797, in lower case.
const STRICT_TRANSPORT_SECURITY: &[u8] = b"strict-transport-security";

/// Of requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestEdits<'a>(&'a HeaderEdits);

/// Of answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerEdits<'a> {
    edits: &'a HeaderEdits,
    /// What is said of TLS, a whole line.
    hsts: Option<&'a [u8]>,
}

impl<'a> RequestEdits<'a> {
    /// Nothing where the route changes nothing.
    pub(super) fn of(route: Option<&'a Route>) -> Option<Self> {
        let edits = route?.request();
        (!edits.is_empty()).then_some(Self(edits))
    }
}

impl<'a> AnswerEdits<'a> {
    /// Nothing where the route changes nothing. Without TLS nothing is said of it (RFC 6797, 7.2).
    pub(super) fn of(route: Option<&'a Route>, secure: bool) -> Option<Self> {
        let route = route?;
        let (edits, hsts) = (route.response(), route.hsts().filter(|_| secure));
        (!edits.is_empty() || hsts.is_some()).then_some(Self { edits, hsts })
    }
}

impl FieldChanges for RequestEdits<'_> {
    fn removes(&self, name: &[u8]) -> bool {
        self.0.removes(name)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.lines());
    }
}

impl FieldChanges for AnswerEdits<'_> {
    fn removes(&self, name: &[u8]) -> bool {
        let is_replaced = |_: &[u8]| name.eq_ignore_ascii_case(STRICT_TRANSPORT_SECURITY);
        self.edits.removes(name) || self.hsts.is_some_and(is_replaced)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.edits.lines());
        out.extend_from_slice(self.hsts.unwrap_or_default());
    }
}
