//! A response's head, read in the light of the request that it answers.

mod facts;
mod read;

use super::body::Carry;
use super::fields::Fields;
use super::framing::Framing;
use super::method::{Method, Version};
use super::protocol::Protocol;
use super::refusal::BadResponse;
use super::request::RequestHead;
use super::scan::Scan;
use super::span::Span;

pub use read::parse_response;

/// How many interim responses one exchange relays.
const INTERIM_MAX: u8 = 32;

/// What the request asked, as far as the response's meaning depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The method was HEAD: the response has no body, whatever its head says.
    pub head_only: bool,
    /// The protocol that was asked for, where an upgrade was sent on: 101 to this one is an answer. Any other 101 is a
    /// [`BadResponse`].
    pub upgrade: Option<Protocol>,
}

impl Asked {
    /// What `head` asks when sent on, with or without its upgrade.
    pub fn by(head: &RequestHead, upgrade: bool) -> Self {
        Self {
            head_only: head.method == Method::Head,
            upgrade: head.upgrade.filter(|_| upgrade),
        }
    }
}

/// A parsed response head: spans over the buffer that was parsed. Reused from one response to the
/// next.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The status code, 100-599.
    pub status: u16,
    /// The reason phrase, as the server wrote it.
    pub reason: Span,
    /// The server's version.
    pub version: Version,
    /// Every field line.
    pub fields: Fields,
    /// Where the body ends.
    pub framing: Framing,
    /// How the body is sent on to a client that speaks HTTP/1.1.
    pub carry: Carry,
    /// The length that a response to HEAD, or 304, declares without having a body.
    pub declared_length: Option<u64>,
    /// Whether the server's connection can be used again once the body has been read to its end and
    /// no byte follows it.
    pub keep_alive: bool,
    /// The protocol that a 101 changes to, or those that a 426 asks for.
    pub upgrade: Option<Span>,
    pub(super) scan: Scan,
}

impl ResponseHead {
    /// A head with room for ordinary responses.
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

    /// Whether another head follows: every 1xx but 101.
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && !self.is_upgrade()
    }

    /// Whether the connection becomes a tunnel after this head.
    pub fn is_upgrade(&self) -> bool {
        self.status == 101
    }

    /// The first value of the field `name`, in any case of letters.
    pub fn get<'a>(&self, buf: &'a [u8], name: &str) -> Option<&'a [u8]> {
        self.fields.get(buf, name)
    }
}

/// How many interim responses one exchange may still relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterimCap {
    left: u8,
}

impl Default for InterimCap {
    fn default() -> Self {
        Self { left: INTERIM_MAX }
    }
}

impl InterimCap {
    /// Counts one interim response; [`BadResponse::TooManyInterim`] after 32.
    pub fn take(&mut self) -> Result<(), BadResponse> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or(BadResponse::TooManyInterim)?;
        Ok(())
    }
}
