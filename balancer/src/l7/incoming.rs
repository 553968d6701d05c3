//! A request that has just come, as firewalls and routes look at it.

use std::net::IpAddr;

use model::{NormalPath, Scheme};
use policy::Fields;

use super::codec::RequestHead;
use super::problem::Problem;
use super::talk::Talk;

/// A request of which the head alone was read.
#[derive(Clone, Copy)]
pub(super) struct Incoming<'a> {
    pub(super) talk: &'a Talk,
    pub(super) request: &'a RequestHead,
    /// The bytes that the head was read from.
    pub(super) head: &'a [u8],
}

impl<'a> Incoming<'a> {
    /// The client's address, behind however many proxies that are believed.
    pub(super) fn source(&self) -> IpAddr {
        self.talk.source(self.request, self.head)
    }

    /// Whether the client came over TLS: where a proxy that is believed has taken it off, by that one's word.
    pub(super) fn is_secure(&self) -> bool {
        let Self {
            talk,
            request,
            head,
        } = self;
        if !talk.is_trusted {
            return talk.scheme() == "https";
        }
        match request.claimed_scheme(head) {
            Some(scheme) => scheme.eq_ignore_ascii_case(b"https"),
            None => request.target.secure || talk.scheme() == "https",
        }
    }

    pub(super) fn scheme(&self) -> Scheme {
        if self.is_secure() {
            Scheme::Https
        } else {
            Scheme::Http
        }
    }

    /// The query, without its question mark.
    pub(super) fn query(&self) -> Option<&'a [u8]> {
        self.request.target.query(self.head).strip_prefix(b"?")
    }

    /// The path's normal form; nothing where it is the server that is asked about, and no path.
    pub(super) fn normal_path(&self) -> Result<Option<NormalPath<'a>>, Problem> {
        let target = &self.request.target;
        if target.is_about_server(self.request.method) {
            return Ok(None);
        }
        let path = self.request.path(self.head);
        NormalPath::of(path).map(Some).map_err(Problem::BadPath)
    }
}

impl Fields for Incoming<'_> {
    fn any(&self, name: &[u8], accepts: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut fields = self.request.fields.iter(self.head);
        fields.any(|(own, value)| own.eq_ignore_ascii_case(name) && accepts(value.trim_ascii()))
    }
}
