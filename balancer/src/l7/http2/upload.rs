//! The way of a request: its head, and its body as it comes, into the pipe. What the exchange has not taken, the client may not send more of.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::RecvStream;

use super::request::write_trailers;
use crate::l7::codec::{ChunkHead, Framing, LAST_CHUNK};
use crate::stream::Pipe;

/// The end of a chunk behind which nothing follows.
const LAST: &[u8] = b"\r\n0\r\n\r\n";

/// The client has gone, or is no longer interested.
#[derive(Debug)]
pub(super) struct Gone;

/// A request on its way.
pub(super) struct Upload {
    body: RecvStream,
    framing: Framing,
    /// What is written first: the head, or a chunk's line.
    out: Vec<u8>,
    out_at: usize,
    piece: Bytes,
    /// How much of the window the piece takes until it is written.
    held: usize,
    tail: &'static [u8],
    /// There is no more of it than is staged.
    is_whole: bool,
}

impl Upload {
    /// With a head, which is sent in any case.
    pub(super) fn new(head: Vec<u8>, framing: Framing, body: RecvStream) -> Self {
        Self {
            body,
            framing,
            out: head,
            out_at: 0,
            piece: Bytes::new(),
            held: 0,
            tail: b"",
            is_whole: matches!(framing, Framing::None | Framing::Length(0)),
        }
    }

    /// Moves it on as far as it goes; ready when nobody needs any more of it.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        pipe: &Pipe,
    ) -> Poll<Result<(), Gone>> {
        loop {
            ready!(self.poll_flush(context, pipe));
            if self.is_whole {
                return Poll::Ready(Ok(()));
            }
            match ready!(self.body.poll_data(context)) {
                Some(Ok(data)) => self.stage(data),
                Some(Err(_)) => return Poll::Ready(Err(Gone)),
                None => ready!(self.poll_end(context))?,
            }
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>, pipe: &Pipe) -> Poll<()> {
        loop {
            let parts = [&self.out[self.out_at..], &self.piece, self.tail];
            if parts.iter().all(|part| part.is_empty()) {
                break;
            }
            match ready!(pipe.poll_write(context, parts)) {
                Ok(count) => self.account(count),
                Err(_) => {
                    // An answer that did not wait for all of it.
                    self.is_whole = true;
                    return Poll::Ready(());
                }
            }
        }
        let held = std::mem::take(&mut self.held);
        if held > 0 {
            // Where the stream has ended meanwhile, nobody waits for it.
            let _ = self.body.flow_control().release_capacity(held);
        }
        Poll::Ready(())
    }

    fn account(&mut self, written: usize) {
        let of_out = written.min(self.out.len() - self.out_at);
        self.out_at += of_out;
        let of_piece = (written - of_out).min(self.piece.len());
        self.piece.advance(of_piece);
        self.tail = &self.tail[written - of_out - of_piece..];
    }

    fn stage(&mut self, data: Bytes) {
        self.held = data.len();
        self.out.clear();
        self.out_at = 0;
        if data.is_empty() {
            // As a chunk it would be the last one.
            return;
        }
        let ends = self.body.is_end_stream();
        if self.framing == Framing::Chunked {
            self.out
                .extend_from_slice(ChunkHead::of(data.len()).bytes());
            self.tail = if ends { LAST } else { &LAST[..2] };
        }
        self.is_whole = ends;
        self.piece = data;
    }

    /// All content has come; trailers may follow. A body whose length was said has no place for them.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let trailers = ready!(self.body.poll_trailers(context)).map_err(|_| Gone)?;
        self.is_whole = true;
        if self.framing != Framing::Chunked {
            return Poll::Ready(Ok(()));
        }
        self.out.clear();
        self.out_at = 0;
        Poll::Ready(match trailers {
            // What cannot be written makes the whole of it one that cannot be trusted.
            Some(trailers) => write_trailers(&trailers, &mut self.out).map_err(|_| Gone),
            None => {
                self.out.extend_from_slice(LAST_CHUNK);
                Ok(())
            }
        })
    }
}
