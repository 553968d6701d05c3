//! The bounds that a message must keep. They are configuration; their defaults are what well-known
//! proxies allow.

use super::framing::Framing;

/// The longest head that spans can describe.
pub const HEAD_MAX: usize = u16::MAX as usize;

/// The most fields that a head may have, whatever the configuration says.
pub const FIELDS_MAX: usize = 100;

/// The fields that the balancer may add to a message of as many as may be, its route's aside.
pub(super) const OWN_FIELDS: usize = 28;

/// What a message may be at most. Heads are bounded by [`Limits::new`]'s clamping, so that 16-bit
/// spans always suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(super) request_line: usize,
    pub(super) head: usize,
    pub(super) fields: usize,
    pub(super) body: u64,
}

impl Limits {
    /// Bytes of the request line, bytes of the whole head, number of fields (100 at most), bytes of
    /// a request's body.
    pub fn new(request_line: usize, head: usize, fields: usize, body: u64) -> Self {
        let head = head.min(HEAD_MAX);
        Self {
            request_line: request_line.min(head),
            head,
            fields: fields.min(FIELDS_MAX),
            body: body.min(i64::MAX as u64),
        }
    }

    /// The same with another bound on a request's body, in bytes; 0 leaves it as it is.
    pub fn with_body(self, most: u64) -> Self {
        if most == 0 {
            return self;
        }
        Self {
            body: self.body.min(most),
            ..self
        }
    }

    /// Whether a body of this framing is known to be too long before a byte of it has come.
    pub fn forbids(&self, framing: Framing) -> bool {
        matches!(framing, Framing::Length(length) if length > self.body)
    }

    /// The same for servers, which are trusted with longer heads: 60 KiB, and no bound on the body.
    pub fn for_responses() -> Self {
        Self::new(8 << 10, 60 << 10, FIELDS_MAX, u64::MAX)
    }

    /// The same for answers that the balancer has written itself, which are those of servers and a few fields more.
    pub(in crate::l7) fn for_own_answers() -> Self {
        Self {
            head: HEAD_MAX,
            fields: FIELDS_MAX + OWN_FIELDS,
            ..Self::for_responses()
        }
    }

    /// Bytes of a head, at most.
    pub(in crate::l7) fn head(&self) -> usize {
        self.head
    }

    /// Fields of a head, at most.
    pub(in crate::l7) fn fields(&self) -> usize {
        self.fields
    }

    /// The same for requests that the balancer has written itself, which are those of clients and a few fields more.
    pub(crate) fn for_own_requests() -> Self {
        Self {
            request_line: HEAD_MAX,
            head: HEAD_MAX,
            fields: FIELDS_MAX + OWN_FIELDS,
            body: i64::MAX as u64,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(8 << 10, 32 << 10, FIELDS_MAX, u64::MAX)
    }
}
