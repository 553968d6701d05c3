//! What is asked of the routes: the parts of a request that they look at.

use std::net::IpAddr;

use model::Scheme;

/// A request, as far as routes look at it.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// As it is in the request: in any case, with a port or without. Empty where there is none.
    pub host: &'a [u8],
    /// In its matched form: [`model::NormalPath::matched`]. That of `OPTIONS *` is `*`.
    pub path: &'a [u8],
    /// As it is in the request, without the question mark.
    pub query: &'a [u8],
    pub method: &'a [u8],
    pub scheme: Scheme,
    pub client: IpAddr,
    pub headers: &'a dyn Fields,
}

/// The fields of a request's head.
pub trait Fields {
    /// Whether some field of this name, which is in lower case, has a value that is accepted. Values have no spaces around them.
    fn any(&self, name: &[u8], accepts: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

/// Names in any case, with their values.
impl Fields for [(&[u8], &[u8])] {
    fn any(&self, name: &[u8], accepts: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut values = self
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        values.any(|(_, value)| accepts(value))
    }
}

impl<const N: usize> Fields for [(&[u8], &[u8]); N] {
    fn any(&self, name: &[u8], accepts: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.as_slice().any(name, accepts)
    }
}

impl std::fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy;
        f.debug_struct("Question")
            .field("host", &text(self.host))
            .field("path", &text(self.path))
            .field("query", &text(self.query))
            .field("method", &text(self.method))
            .field("scheme", &self.scheme)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}
