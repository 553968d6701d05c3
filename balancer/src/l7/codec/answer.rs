//! The balancer's own small answers: what went wrong, in a short text and a field that machines can
//! read.

use super::date::HttpDate;
use super::forward::field;
use super::framing::write_length;
use super::method::Version;
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
}

/// Writes an answer: its head, and a short text unless `head_only`.
pub fn write_answer(answer: &Answer<'_>, out: &mut Vec<u8>) {
    let phrase = phrase(answer.status);
    status_line(answer.status, phrase.as_bytes(), out);
    field(out, b"Roundhouse-Reason: ", answer.token.as_bytes());
    if answer.status == 405 {
        out.extend_from_slice(ALLOW);
    }
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

/// The phrase of each status that the balancer answers with by itself.
fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}
