//! A body of HTTP/1.1 in the pieces, and with the trailers, in which HTTP/2 has it.

use std::ops::Range;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::SendStream;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use crate::buffers::Buffer;
use crate::codec::{Advance, BodyDecoder};

/// What was read is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoBody;

/// Nobody takes any more of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// Bytes that were read.
pub(crate) trait Source {
    fn filled(&self) -> &[u8];

    /// A part of them, to be kept.
    fn piece(&self, part: Range<usize>) -> Bytes;

    /// The first `count` bytes are used up.
    fn consume(&mut self, count: usize);
}

/// A body, in pieces to be sent one after the other, and the trailers behind it.
pub(crate) struct Content {
    decoder: BodyDecoder,
    piece: Bytes,
    /// What follows the piece, looked at so that the last one is known.
    ahead: Bytes,
    trailers: HeaderMap,
}

/// What was sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) length: usize,
    /// The other side's windows had no room for more of the piece.
    pub(crate) is_cut: bool,
    /// That was all.
    pub(crate) ends: bool,
}

impl Content {
    /// One of which nothing was read. The decoder carries content and trailers.
    pub(crate) fn new(decoder: BodyDecoder) -> Self {
        Self {
            decoder,
            piece: Bytes::new(),
            ahead: Bytes::new(),
            trailers: HeaderMap::new(),
        }
    }

    /// Takes pieces out of what was read. Whether more must be read before anything can be sent.
    pub(crate) fn stage(&mut self, source: &mut impl Source) -> Result<bool, NoBody> {
        if self.piece.is_empty() {
            self.piece = std::mem::take(&mut self.ahead);
        }
        if self.piece.is_empty() {
            self.piece = self.next_piece(source)?;
        }
        if !self.piece.is_empty() && self.ahead.is_empty() {
            self.ahead = self.next_piece(source)?;
        }
        Ok(self.piece.is_empty() && !self.decoder.is_done())
    }

    /// The next piece of content that was read; empty where there is none.
    fn next_piece(&mut self, source: &mut impl Source) -> Result<Bytes, NoBody> {
        loop {
            let advance = self.decoder.advance(source.filled());
            let Advance {
                consumed,
                relay,
                is_trailer,
            } = advance.map_err(|_| NoBody)?;
            let mut piece = Bytes::new();
            if is_trailer {
                let lines = &source.filled()[relay];
                add_trailers(lines, &mut self.trailers).map_err(|_| NoBody)?;
            } else if !relay.is_empty() {
                piece = source.piece(relay);
            }
            source.consume(consumed);
            if !piece.is_empty() || consumed == 0 {
                return Ok(piece);
            }
        }
    }

    /// Whether nothing follows what is left of the piece.
    fn is_last(&self) -> bool {
        self.piece.is_empty() && self.ahead.is_empty() && self.decoder.is_done()
    }

    /// Sends of what is staged as much as the other side's windows let it, or behind the last piece the end.
    pub(crate) fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut SendStream<Bytes>,
    ) -> Poll<Result<Sent, Gone>> {
        if self.piece.is_empty() {
            return Poll::Ready(self.end(stream));
        }
        let wanted = self.piece.len();
        let length = ready!(poll_room(context, stream, wanted))?.min(wanted);
        let piece = self.piece.split_to(length);
        let ends = self.is_last() && self.trailers.is_empty();
        let sent = stream.send_data(piece, ends).map_err(|_| Gone);
        Poll::Ready(sent.map(|()| Sent {
            length,
            is_cut: length < wanted,
            ends,
        }))
    }

    fn end(&mut self, stream: &mut SendStream<Bytes>) -> Result<Sent, Gone> {
        let sent = if self.trailers.is_empty() {
            stream.send_data(Bytes::new(), true)
        } else {
            stream.send_trailers(std::mem::take(&mut self.trailers))
        };
        sent.map_err(|_| Gone).map(|()| Sent {
            length: 0,
            is_cut: false,
            ends: true,
        })
    }
}

impl Source for Bytes {
    fn filled(&self) -> &[u8] {
        self
    }

    fn piece(&self, part: Range<usize>) -> Bytes {
        self.slice(part)
    }

    fn consume(&mut self, count: usize) {
        self.advance(count);
    }
}

impl Source for Buffer {
    fn filled(&self) -> &[u8] {
        self.filled()
    }

    fn piece(&self, part: Range<usize>) -> Bytes {
        Bytes::copy_from_slice(&self.filled()[part])
    }

    fn consume(&mut self, count: usize) {
        self.consume(count);
    }
}

/// How much of so many bytes the other side's windows let be sent, at least one byte.
fn poll_room(
    context: &mut Context<'_>,
    stream: &mut SendStream<Bytes>,
    wanted: usize,
) -> Poll<Result<usize, Gone>> {
    stream.reserve_capacity(wanted);
    let mut room = stream.capacity();
    // It may be woken for nothing.
    while room == 0 {
        match ready!(stream.poll_capacity(context)) {
            Some(Ok(now)) => room = now,
            Some(Err(_)) | None => return Poll::Ready(Err(Gone)),
        }
    }
    Poll::Ready(Ok(room))
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
