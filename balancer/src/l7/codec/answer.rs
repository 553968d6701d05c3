//! The balancer's own answers: what went wrong, in a short text and a field that machines can read; and what a route says in a server's
//! place, or the balancer of its health.

use super::changes::{self, FieldChanges};
use super::date::HttpDate;
use super::forward::field;
use super::framing::write_length;
use super::method::Version;
use super::phrases::phrase;
use super::returning::{connection_line, status_line};

/// The methods that are passed on; others may be, but these are known.
const ALLOW: &[u8] = b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";

/// An answer that no server gave.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// The value of `Roundhouse-Reason`: one token, such as `no-server-available`.
    pub token: &'a str,
    /// One sentence for people.
    pub text: &'a str,
    /// The client's version; 1.1 where it is not known.
    pub version: Version,
    /// Whether the connection goes on after this answer. Never after a refusal, nor with part of a
    /// request's body unread.
    pub keep_alive: bool,
    /// The method was HEAD: the head alone is written.
    pub head_only: bool,
    /// The present moment.
    pub date: &'a HttpDate,
    /// The request's id; empty where there was no request yet.
    pub request_id: &'a [u8],
    /// After how many seconds the client may ask again, where it is told.
    pub retry_after: Option<u32>,
    /// Whole lines beside these.
    pub lines: &'a [u8],
}

/// Writes an answer: its head, and a short text unless `head_only`.
pub fn write_answer(answer: &Answer<'_>, out: &mut Vec<u8>) {
    let phrase = phrase(answer.status);
    status_line(answer.status, phrase.as_bytes(), out);
    field(out, b"Roundhouse-Reason: ", answer.token.as_bytes());
    if answer.status == 405 {
        out.extend_from_slice(ALLOW);
    }
    if let Some(seconds) = answer.retry_after {
        field(
            out,
            b"Retry-After: ",
            itoa::Buffer::new().format(seconds).as_bytes(),
        );
    }
    out.extend_from_slice(answer.lines);
    let parts = [phrase, ": ", answer.text, "\n"];
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
    write_length(length as u64, out);
    field(out, b"Date: ", answer.date.bytes());
    if !answer.request_id.is_empty() {
        field(out, b"X-Request-Id: ", answer.request_id);
    }
    out.extend_from_slice(connection_line(answer.version, answer.keep_alive));
    out.extend_from_slice(b"\r\n");
    if !answer.head_only {
        parts
            .iter()
            .for_each(|part| out.extend_from_slice(part.as_bytes()));
    }
}

/// Answers `OPTIONS` with `Max-Forwards: 0`: 200, what methods may be used, no body.
pub fn write_options_answer(
    version: Version,
    keep_alive: bool,
    date: &HttpDate,
    request_id: &[u8],
    out: &mut Vec<u8>,
) {
    status_line(200, phrase(200).as_bytes(), out);
    out.extend_from_slice(ALLOW);
    write_length(0, out);
    field(out, b"Date: ", date.bytes());
    field(out, b"X-Request-Id: ", request_id);
    out.extend_from_slice(connection_line(version, keep_alive));
    out.extend_from_slice(b"\r\n");
}

/// An answer whose text is its own: what a route says in a server's place, or how the balancer is.
#[derive(Clone, Copy, Debug)]
pub struct TextAnswer<'a> {
    /// The status code, 200-599.
    pub status: u16,
    /// The value of `Roundhouse-Reason`.
    pub token: &'a str,
    /// Where the client is sent.
    pub location: Option<&'a [u8]>,
    /// The type of the body; empty for one that has none.
    pub content_type: &'a [u8],
    /// What is said, unless the status forbids a body.
    pub body: &'a [u8],
    /// The client's version.
    pub version: Version,
    /// Whether the connection goes on after this answer. Never with part of a request's body unread.
    pub keep_alive: bool,
    /// The method was HEAD: the head alone is written.
    pub head_only: bool,
    /// The present moment.
    pub date: &'a HttpDate,
    /// The request's id.
    pub request_id: &'a [u8],
    /// Whole lines beside these.
    pub lines: &'a [u8],
    /// What the route changes of the fields.
    pub changes: Option<&'a dyn FieldChanges>,
}

/// Writes such an answer. Statuses that have no body (RFC 9110, 15.3.5 and 15.4.5) say nothing of one either.
pub fn write_text_answer(answer: &TextAnswer<'_>, out: &mut Vec<u8>) {
    status_line(answer.status, phrase(answer.status).as_bytes(), out);
    field(out, b"Roundhouse-Reason: ", answer.token.as_bytes());
    if let Some(location) = answer.location {
        changeable(answer, out, "Location: ", location);
    }
    let body = match answer.status {
        204 | 304 => None,
        205 => Some(&[][..]),
        _ => Some(answer.body),
    };
    if let Some(body) = body {
        if !body.is_empty() && !answer.content_type.is_empty() {
            changeable(answer, out, "Content-Type: ", answer.content_type);
        }
        write_length(body.len() as u64, out);
    }
    field(out, b"Date: ", answer.date.bytes());
    field(out, b"X-Request-Id: ", answer.request_id);
    out.extend_from_slice(answer.lines);
    changes::write(answer.changes, out);
    out.extend_from_slice(connection_line(answer.version, answer.keep_alive));
    out.extend_from_slice(b"\r\n");
    if !answer.head_only {
        out.extend_from_slice(body.unwrap_or_default());
    }
}

/// Writes a field that the route itself may have taken away.
fn changeable(answer: &TextAnswer<'_>, out: &mut Vec<u8>, start: &str, value: &[u8]) {
    if changes::keeps_own(answer.changes, start.trim_end_matches(": ").as_bytes()) {
        field(out, start.as_bytes(), value);
    }
}
