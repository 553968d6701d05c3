//! A body of HTTP/1.1 in the pieces, and with the trailers, in which HTTP/2 has it.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use crate::buffers::Buffer;
use crate::codec::{Advance, BodyDecoder};

/// What was read is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoBody;

/// A body, in pieces to be sent one after the other, and the trailers behind it.
pub(super) struct Content {
    decoder: BodyDecoder,
    pub(super) piece: Bytes,
    /// What follows the piece, looked at so that the last one is known.
    ahead: Bytes,
    pub(super) trailers: HeaderMap,
}

impl Content {
    /// One of which nothing was read. The decoder carries content and trailers.
    pub(super) fn new(decoder: BodyDecoder) -> Self {
        Self {
            decoder,
            piece: Bytes::new(),
            ahead: Bytes::new(),
            trailers: HeaderMap::new(),
        }
    }

    /// Takes pieces out of what was read. Whether more must be read before anything can be sent.
    pub(super) fn stage(&mut self, buffer: &mut Buffer) -> Result<bool, NoBody> {
        if self.piece.is_empty() {
            self.piece = std::mem::take(&mut self.ahead);
        }
        if self.piece.is_empty() {
            self.piece = self.next_piece(buffer)?;
        }
        if !self.piece.is_empty() && self.ahead.is_empty() {
            self.ahead = self.next_piece(buffer)?;
        }
        Ok(self.piece.is_empty() && !self.decoder.is_done())
    }

    /// Whether nothing follows what is left of the piece.
    pub(super) fn is_last(&self) -> bool {
        self.piece.is_empty() && self.ahead.is_empty() && self.decoder.is_done()
    }

    /// The next piece of content that was read; empty where there is none.
    fn next_piece(&mut self, buffer: &mut Buffer) -> Result<Bytes, NoBody> {
        loop {
            let advance = self.decoder.advance(buffer.filled());
            let Advance {
                consumed,
                relay,
                is_trailer,
            } = advance.map_err(|_| NoBody)?;
            let bytes = &buffer.filled()[relay];
            let mut piece = Bytes::new();
            if is_trailer {
                add_trailers(bytes, &mut self.trailers).map_err(|_| NoBody)?;
            } else {
                piece = Bytes::copy_from_slice(bytes);
            }
            buffer.consume(consumed);
            if !piece.is_empty() || consumed == 0 {
                return Ok(piece);
            }
        }
    }
}

/// How much of so many bytes the other side's windows let be sent, at least one byte; nothing where the stream is over.
pub(super) fn poll_room(
    context: &mut Context<'_>,
    stream: &mut SendStream<Bytes>,
    wanted: usize,
) -> Poll<Option<usize>> {
    stream.reserve_capacity(wanted);
    let mut room = stream.capacity();
    // It may be woken for nothing.
    while room == 0 {
        match ready!(stream.poll_capacity(context)) {
            Some(Ok(now)) => room = now,
            Some(Err(_)) | None => return Poll::Ready(None),
        }
    }
    Poll::Ready(Some(room))
}

/// Adds whole lines of trailer fields.
fn add_trailers(lines: &[u8], trailers: &mut HeaderMap) -> Result<(), http::Error> {
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon])?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii())?;
        trailers.try_append(name, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_are_read_line_by_line() {
        let mut trailers = HeaderMap::new();
        add_trailers(b"Grpc-Status: 0\r\ngrpc-message:\r\n", &mut trailers).unwrap();
        add_trailers(b"X: a: b\r\n", &mut trailers).unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers["grpc-message"], "");
        assert_eq!(trailers["x"], "a: b");
    }
}
