//! What is written into a pipe next: a body of HTTP/2 as HTTP/1.1 has it, piece by piece.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::RecvStream;

use crate::codec::ChunkHead;
use crate::stream::Pipe;

/// The end of a chunk behind which nothing follows.
const LAST: &[u8] = b"\r\n0\r\n\r\n";

/// The end of any other chunk.
const END: &[u8] = b"\r\n";

/// How a piece is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// As it is.
    Bare,
    /// As a chunk; whether it is the last one of the body, without trailers.
    Chunk { last: bool },
}

/// A head, a piece of content, the end.
#[derive(Default)]
pub(crate) struct Staged {
    /// What is written first: heads, a chunk's line, trailers.
    out: Vec<u8>,
    out_at: usize,
    piece: Bytes,
    /// How much of the window the piece takes until it is written.
    held: usize,
    tail: &'static [u8],
}

impl Staged {
    /// Where more can be written, once all is flushed.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// A piece of content, once all is flushed.
    pub(crate) fn stage(&mut self, data: Bytes, piece: Piece) {
        if data.is_empty() {
            // As a chunk it would be the last one.
            return;
        }
        self.held = data.len();
        if let Piece::Chunk { last } = piece {
            self.out
                .extend_from_slice(ChunkHead::of(data.len()).bytes());
            self.tail = if last { LAST } else { END };
        }
        self.piece = data;
    }

    /// Ready when all was written, for which the other side may send as much again of the stream.
    pub(crate) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        pipe: &Pipe,
        stream: Option<&mut RecvStream>,
    ) -> Poll<io::Result<()>> {
        loop {
            let parts = [&self.out[self.out_at..], &self.piece, self.tail];
            if parts.iter().all(|part| part.is_empty()) {
                break;
            }
            let written = ready!(pipe.poll_write(context, parts))?;
            self.account(written);
        }
        self.out.clear();
        self.out_at = 0;
        let held = std::mem::take(&mut self.held);
        if let Some(stream) = stream
            && held > 0
        {
            // Where the stream has ended meanwhile, nobody waits for it.
            let _ = stream.flow_control().release_capacity(held);
        }
        Poll::Ready(Ok(()))
    }

    fn account(&mut self, written: usize) {
        let of_out = written.min(self.out.len() - self.out_at);
        self.out_at += of_out;
        let of_piece = (written - of_out).min(self.piece.len());
        self.piece.advance(of_piece);
        self.tail = &self.tail[written - of_out - of_piece..];
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::stream::pipe;

    /// What comes of it at the other end, where no more than what a pipe holds goes at once.
    fn written(staged: &mut Staged) -> Vec<u8> {
        let mut context = Context::from_waker(Waker::noop());
        let (near, far) = pipe();
        let mut seen = Vec::new();
        loop {
            let flushed = staged.poll_flush(&mut context, &near, None);
            if let Poll::Ready(Ok(more)) = far.poll_take(&mut context) {
                seen.extend(more);
            }
            if flushed.is_ready() {
                return seen;
            }
        }
    }

    #[test]
    fn pieces_are_written_behind_their_lines_whatever_the_pipe_takes_at_once() {
        let mut staged = Staged::default();
        staged.out().extend_from_slice(b"HEAD\r\n\r\n");
        let long = Bytes::from(vec![b'x'; 200_000]);
        staged.stage(long.clone(), Piece::Chunk { last: false });
        let whole = [b"HEAD\r\n\r\n30d40\r\n", &long[..], b"\r\n"].concat();
        assert!(written(&mut staged) == whole);
        staged.stage(Bytes::new(), Piece::Chunk { last: false });
        assert_eq!(written(&mut staged), b"");
        staged.stage("ab".into(), Piece::Bare);
        assert_eq!(written(&mut staged), b"ab");
        staged.stage("ab".into(), Piece::Chunk { last: true });
        assert_eq!(written(&mut staged), b"2\r\nab\r\n0\r\n\r\n");
    }
}
