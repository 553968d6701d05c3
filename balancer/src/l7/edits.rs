//! What routes, limits and a pool's cookies change of heads, in the codec's terms.

use policy::{HeaderEdits, Route};

use super::codec::FieldChanges;
use super::limits::LimitFields;

/// The name of the field of RFC 6265 that clients send, in lower case.
const COOKIE: &[u8] = b"cookie";

/// The name of the field of RFC 6797, in lower case.
const STRICT_TRANSPORT_SECURITY: &[u8] = b"strict-transport-security";

/// Of requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestEdits<'a> {
    edits: Option<&'a HeaderEdits>,
    /// What is left of the cookies without the balancer's own, whole lines.
    cookies: Option<&'a [u8]>,
}

/// Of answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerEdits<'a> {
    edits: Option<&'a HeaderEdits>,
    /// What is said of TLS, a whole line.
    hsts: Option<&'a [u8]>,
    /// What the request's limits say.
    limits: &'a LimitFields,
    /// What tells the client which server it is with, a whole line.
    cookie: Option<&'a [u8]>,
}

impl<'a> RequestEdits<'a> {
    /// Nothing where nothing changes.
    pub(super) fn of(route: Option<&'a Route>, cookies: Option<&'a [u8]>) -> Option<Self> {
        let edits = route.and_then(Route::request);
        (edits.is_some() || cookies.is_some()).then_some(Self { edits, cookies })
    }

    /// Whether a route changes something.
    pub(super) fn has_routes(&self) -> bool {
        self.edits.is_some()
    }

    fn edits_remove(&self, name: &[u8]) -> bool {
        self.edits.is_some_and(|edits| edits.removes(name))
    }
}

impl<'a> AnswerEdits<'a> {
    /// Nothing where nothing changes. Without TLS nothing is said of it (RFC 6797, 7.2).
    pub(super) fn of(
        route: Option<&'a Route>,
        secure: bool,
        limits: &'a LimitFields,
        cookie: Option<&'a [u8]>,
    ) -> Option<Self> {
        let edits = route.and_then(Route::response);
        let hsts = route.and_then(Route::hsts).filter(|_| secure);
        let is_routed = edits.is_some() || hsts.is_some();
        let changes = is_routed || cookie.is_some() || !limits.is_empty();
        changes.then_some(Self {
            edits,
            hsts,
            limits,
            cookie,
        })
    }
}

impl FieldChanges for RequestEdits<'_> {
    fn removes(&self, name: &[u8]) -> bool {
        let is_replaced = |_: &[u8]| name.eq_ignore_ascii_case(COOKIE);
        self.edits_remove(name) || self.cookies.is_some_and(is_replaced)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let lines = self.edits.map(HeaderEdits::lines);
        out.extend_from_slice(lines.unwrap_or_default());
        let cookies = self.cookies.filter(|_| !self.edits_remove(COOKIE));
        out.extend_from_slice(cookies.unwrap_or_default());
    }
}

impl FieldChanges for AnswerEdits<'_> {
    fn removes(&self, name: &[u8]) -> bool {
        let is_replaced = |_: &[u8]| name.eq_ignore_ascii_case(STRICT_TRANSPORT_SECURITY);
        self.edits.is_some_and(|edits| edits.removes(name)) || self.hsts.is_some_and(is_replaced)
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.limits.write(out);
        let lines = self.edits.map(HeaderEdits::lines);
        for lines in [lines, self.hsts, self.cookie] {
            out.extend_from_slice(lines.unwrap_or_default());
        }
    }
}
