//! The request line by itself: its length and version have refusals of their own.

use crate::l7::codec::limits::Limits;
use crate::l7::codec::name::is_token;
use crate::l7::codec::refusal::Refusal;

/// Empty lines before a request line that are passed over (RFC 9112, 2.2).
const EMPTY_LINES_MAX: usize = 4;

/// How many bytes of empty lines come first.
pub(super) fn empty_lines(buf: &[u8]) -> Result<usize, Refusal> {
    let lines = buf.chunks_exact(2).take_while(|pair| *pair == b"\r\n");
    let skipped = lines.take(EMPTY_LINES_MAX).count() * 2;
    match &buf[skipped..] {
        [] | b"\r" => Ok(skipped),
        [first, ..] if is_token(&[*first]) => Ok(skipped),
        _ => Err(Refusal::RequestLine),
    }
}

/// A request line, as far as its version goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Line {
    /// HTTP/1.0 or 1.1.
    Known,
    /// HTTP/1.2 or above: read as 1.1 (RFC 9110, 2.5), which the parser beneath does not do.
    NewerMinor {
        /// Where the minor number stands.
        minor_at: usize,
    },
}

/// Looks at the request line alone, so that its length and version have their own refusals; `None`
/// while it has not ended.
pub(super) fn request_line(buf: &[u8], limits: &Limits) -> Result<Option<Line>, Refusal> {
    let within = &buf[..buf.len().min(limits.request_line)];
    let Some(end) = memchr::memchr(b'\n', within) else {
        let is_full = within.len() == limits.request_line;
        return if is_full {
            Err(Refusal::RequestLineTooLong)
        } else {
            Ok(None)
        };
    };
    let line = within[..end].strip_suffix(b"\r").ok_or(Refusal::LineEnd)?;
    let minor_at = line.len().checked_sub(1).ok_or(Refusal::RequestLine)?;
    match line {
        [.., b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor] => match (major, minor) {
            (b'1', b'0' | b'1') => Ok(Some(Line::Known)),
            (b'1', b'2'..=b'9') => Ok(Some(Line::NewerMinor { minor_at })),
            (b'0'..=b'9', b'0'..=b'9') => Err(Refusal::Version),
            _ => Err(Refusal::RequestLine),
        },
        _ => Err(Refusal::RequestLine),
    }
}
