//! A request's head: spans and facts. How it is read is in `request/`.

mod facts;
mod line;
mod read;

use super::body::Carry;
use super::fields::Fields;
use super::framing::Framing;
use super::method::{Method, Version};
use super::protocol::Protocol;
use super::scan::Scan;
use super::span::Span;
use super::target::Target;

pub use read::parse_request;

/// How far parsing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parse {
    /// The head has not ended yet: call again with the same bytes and more.
    Incomplete,
    /// The head is the first `head_length` bytes (leading empty lines included); the body begins
    /// after it.
    Complete {
        /// Bytes of the head.
        head_length: usize,
    },
}

/// A parsed request head: spans over the buffer that was parsed, and the facts found on the way.
/// Reused from one request to the next.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The target, checked.
    pub target: Target,
    /// The client's version.
    pub version: Version,
    /// Every field line.
    pub fields: Fields,
    /// Where the body ends. Never [`Framing::UntilClose`].
    pub framing: Framing,
    /// How the body is sent on.
    pub carry: Carry,
    /// Host and port to route by: the absolute target's, else the Host field's. `None` for an
    /// HTTP/1.0 request without one.
    pub authority: Option<Span>,
    /// Whether the client lets the connection live after this exchange.
    pub keep_alive: bool,
    /// Whether an HTTP/1.1 client with a body waits for `100 Continue`.
    pub expect_continue: bool,
    /// The one protocol that the client asks to change to (`websocket`), where `Connection` names
    /// the upgrade. Never `h2c`.
    pub upgrade: Option<Protocol>,
    /// `Max-Forwards` of OPTIONS. Zero: see [`RequestHead::ends_here`].
    pub max_forwards: Option<u64>,
    pub(super) scan: Scan,
}

impl RequestHead {
    /// A head with room for ordinary requests.
    pub fn new() -> Self {
        Self {
            fields: Fields::new(),
            ..Self::default()
        }
    }

    /// Forgets what was read of an unfinished or refused head, for a reuse with another connection.
    pub fn reset(&mut self) {
        self.scan = Scan::default();
    }

    /// The method's name.
    pub fn method_name<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        self.method.name(buf)
    }

    /// The path to route by, without the query; `*` for the asterisk form.
    pub fn path<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        if self.target.path.is_empty() {
            b"/"
        } else {
            self.target.path.of(buf)
        }
    }

    /// Host and port to route by, as sent.
    pub fn authority<'a>(&self, buf: &'a [u8]) -> Option<&'a [u8]> {
        self.authority.map(|span| span.of(buf))
    }

    /// The first value of the field `name`, in any case of letters.
    pub fn get<'a>(&self, buf: &'a [u8], name: &str) -> Option<&'a [u8]> {
        self.fields.get(buf, name)
    }

    /// Whether the request must be answered by the balancer itself (`OPTIONS` with
    /// `Max-Forwards: 0`): see [`super::write_options_answer`].
    pub fn ends_here(&self) -> bool {
        self.max_forwards == Some(0)
    }

    /// Whether a second try on another server is harmless by the method's definition (RFC 9110,
    /// 9.2.2).
    pub fn is_idempotent(&self) -> bool {
        self.method.is_idempotent()
    }

    /// Whether the client takes trailers (`TE: trailers`; RFC 9110, 10.1.4).
    pub fn accepts_trailers(&self, buf: &[u8]) -> bool {
        let is_trailers = |element: &[u8]| element.trim_ascii().eq_ignore_ascii_case(b"trailers");
        self.fields
            .get_all(buf, "te")
            .any(|value| value.split(|byte| *byte == b',').any(is_trailers))
    }

    /// Whether there is a body to read.
    pub fn has_body(&self) -> bool {
        !matches!(self.framing, Framing::None | Framing::Length(0))
    }
}
