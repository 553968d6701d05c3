//! A response's head as the client gets it: one framing that the client understands, nothing
//! hop-by-hop, and whether its connection goes on.

use super::body::Carry;
use super::changes::{self, FieldChanges};
use super::date::HttpDate;
use super::forward::field;
use super::framing::{Framing, write_length};
use super::method::Version;
use super::name::Name;
use super::response::ResponseHead;

/// What the client's side of the exchange asks of the response.
#[derive(Clone, Copy, Debug)]
pub struct Returning<'a> {
    /// The client's version: 1.0 gets no chunks.
    pub version: Version,
    /// Whether the balancer would keep the client's connection: the client wants it, the request's
    /// body has been read, no drain is on.
    pub keep_alive: bool,
    /// The present moment, for a response without a date.
    pub date: &'a HttpDate,
    /// The request's id, which a final answer names.
    pub request_id: &'a [u8],
    /// What the route changes of a final answer's fields.
    pub changes: Option<&'a dyn FieldChanges>,
}

/// How the body is written behind the rewritten head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relay {
    /// There is none.
    Nothing,
    /// What the decoder relays, as it is.
    Plain(Carry),
    /// What the decoder relays, each piece as a chunk of ours ([`super::ChunkHead`]),
    /// [`super::LAST_CHUNK`] at the end.
    Framed,
    /// Bytes in both directions until either side ends (after 101).
    Tunnel,
}

impl Relay {
    /// What the body's decoder must carry for it.
    pub fn carry(self) -> Carry {
        match self {
            Self::Plain(carry) => carry,
            Self::Nothing | Self::Framed | Self::Tunnel => Carry::Content,
        }
    }
}

/// What was decided while rewriting a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    /// How to write the body.
    pub relay: Relay,
    /// Whether the client's connection goes on afterwards.
    pub keep_alive: bool,
}

/// Writes the head to send to the client behind what `out` holds. An interim head is written
/// likewise (`Relay::Nothing`), and never for an HTTP/1.0 client: that is the caller's to leave
/// out.
pub fn rewrite_response(
    buf: &[u8],
    head: &ResponseHead,
    returning: &Returning<'_>,
    out: &mut Vec<u8>,
) -> Returned {
    let returned = decide(head, returning);
    status_line(head.status, head.reason.of(buf), out);
    let changes = returning.changes.filter(|_| !head.is_interim());
    head.fields.copy_kept(buf, out, |field| {
        keeps(field.meaning, returned.relay) && changes::stays(changes, field, buf)
    });
    match returned.relay {
        Relay::Plain(Carry::Content) => content_length(head.framing, out),
        Relay::Plain(_) | Relay::Framed => Framing::Chunked.write(out),
        Relay::Nothing => {
            if let Some(length) = head.declared_length {
                write_length(length, out);
            }
        }
        Relay::Tunnel => {}
    }
    if !head.is_interim() {
        field(out, b"X-Request-Id: ", returning.request_id);
    }
    if !head.is_interim() && head.fields.meaning(buf, Name::Date).next().is_none() {
        field(out, b"Date: ", returning.date.bytes());
    }
    out.extend_from_slice(match head.version {
        Version::Http10 => b"Via: 1.0 roundhouse\r\n",
        Version::Http11 => b"Via: 1.1 roundhouse\r\n",
    });
    changes::write(changes, out);
    connection_fields(buf, head, returning, returned, out);
    out.extend_from_slice(b"\r\n");
    returned
}

/// Which framing the client gets, and whether its connection can outlive it.
fn decide(head: &ResponseHead, returning: &Returning<'_>) -> Returned {
    let speaks_chunks = returning.version == Version::Http11;
    let (relay, ends_itself) = match head.framing {
        _ if head.is_upgrade() => (Relay::Tunnel, false),
        Framing::None => (Relay::Nothing, true),
        Framing::Length(_) => (Relay::Plain(Carry::Content), true),
        Framing::Chunked if speaks_chunks => (Relay::Plain(head.carry), true),
        Framing::UntilClose if speaks_chunks => (Relay::Framed, true),
        Framing::Chunked | Framing::UntilClose => (Relay::Plain(Carry::Content), false),
    };
    Returned {
        relay,
        keep_alive: returning.keep_alive && ends_itself,
    }
}

/// Writes a status line in our own version.
pub(super) fn status_line(status: u16, phrase: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    field(out, b" ", phrase);
}

/// Which of the server's own lines stay. A response may carry any field that is a request's
/// business: it means nothing to the client's side.
fn keeps(meaning: Name, relay: Relay) -> bool {
    match meaning {
        Name::Trailer => relay == Relay::Plain(Carry::Wire),
        Name::Connection
        | Name::ContentLength
        | Name::TransferEncoding
        | Name::Te
        | Name::Upgrade
        | Name::KeepAlive
        | Name::ProxyConnection
        | Name::ProxyAuthenticate
        | Name::ProxyAuthorization
        | Name::ProxyAuthenticationInfo
        | Name::Http2Settings
        | Name::RequestId
        | Name::Reason
        | Name::FramingImitation
        | Name::Nominated => false,
        _ => true,
    }
}

fn connection_fields(
    buf: &[u8],
    head: &ResponseHead,
    returning: &Returning<'_>,
    returned: Returned,
    out: &mut Vec<u8>,
) {
    // An older client knows nothing of upgrades, and none is asked for by it.
    let is_understood = head.is_upgrade() || returning.version == Version::Http11;
    if let Some(protocols) = head.upgrade.filter(|_| is_understood) {
        field(out, b"Connection: upgrade\r\nUpgrade: ", protocols.of(buf));
    }
    if !head.is_interim() && !head.is_upgrade() {
        out.extend_from_slice(connection_line(returning.version, returned.keep_alive));
    }
}

/// The Connection line of a final answer: only said where it is not the version's default.
pub(super) fn connection_line(version: Version, keep_alive: bool) -> &'static [u8] {
    match (version, keep_alive) {
        (Version::Http11, true) => b"",
        (Version::Http10, true) => b"Connection: keep-alive\r\n",
        (_, false) => b"Connection: close\r\n",
    }
}

/// The length of a body that is sent without a coding, where it is known.
fn content_length(framing: Framing, out: &mut Vec<u8>) {
    if let Framing::Length(length) = framing {
        write_length(length, out);
    }
}
