//! What routes and limits change of heads, in the codec's terms.

use policy::{HeaderEdits, Route};

use super::codec::FieldChanges;
use super::limits::LimitFields;

/// The name of the field of RFC 6797, in lower case.
const STRICT_TRANSPORT_SECURITY: &[u8] = b"strict-transport-security";

/// Of requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestEdits<'a>(&'a HeaderEdits);

/// Of answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerEdits<'a> {
    edits: Option<&'a HeaderEdits>,
    /// What is said of TLS, a whole line.
    hsts: Option<&'a [u8]>,
    /// What the request's limits say.
    limits: &'a LimitFields,
}

impl<'a> RequestEdits<'a> {
    /// Nothing where the route changes nothing.
    pub(super) fn of(route: Option<&'a Route>) -> Option<Self> {
        let edits = route?.request();
        (!edits.is_empty()).then_some(Self(edits))
    }
}

impl<'a> AnswerEdits<'a> {
    /// Nothing where nothing changes. Without TLS nothing is said of it (RFC 6797, 7.2).
    pub(super) fn of(
        route: Option<&'a Route>,
        secure: bool,
        limits: &'a LimitFields,
    ) -> Option<Self> {
        let edits = route.map(Route::response).filter(|edits| !edits.is_empty());
        let hsts = route.and_then(Route::hsts).filter(|_| secure);
        let changes = edits.is_some() || hsts.is_some() || !limits.is_empty();
        changes.then_some(Self {
            edits,
            hsts,
            limits,
        })
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
        let by_route = self.edits.is_some_and(|edits| edits.removes(name));
        by_route || self.hsts.is_some_and(is_replaced)
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.limits.write(out);
        out.extend_from_slice(self.edits.map(HeaderEdits::lines).unwrap_or_default());
        out.extend_from_slice(self.hsts.unwrap_or_default());
    }
}
