//! The way of a request's body, as it comes, into the pipe. What the exchange has not taken, the client may not send more of.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;

use super::request::write_trailers;
use crate::http2::{Piece, Staged};
use crate::l7::codec::{Framing, LAST_CHUNK};
use crate::stream::Pipe;

/// The client has gone, or is no longer interested.
#[derive(Debug)]
pub(super) struct Gone;

/// A request on its way.
pub(super) struct Upload {
    body: RecvStream,
    framing: Framing,
    staged: Staged,
    /// There is no more of it than is staged.
    is_whole: bool,
}

impl Upload {
    /// What follows a head that was sent.
    pub(super) fn new(framing: Framing, body: RecvStream) -> Self {
        Self {
            body,
            framing,
            staged: Staged::default(),
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
            if ready!(self.staged.poll_flush(context, pipe, Some(&mut self.body))).is_err() {
                // An answer that did not wait for all of it.
                self.is_whole = true;
            }
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

    fn stage(&mut self, data: Bytes) {
        let ends = self.body.is_end_stream();
        // Trailers, or none, follow what is empty.
        self.is_whole = ends && !data.is_empty();
        self.staged.stage(
            data,
            match self.framing {
                Framing::Chunked => Piece::Chunk { last: ends },
                _ => Piece::Bare,
            },
        );
    }

    /// All content has come; trailers may follow. A body whose length was said has no place for them.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let trailers = ready!(self.body.poll_trailers(context)).map_err(|_| Gone)?;
        self.is_whole = true;
        if self.framing != Framing::Chunked {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(match trailers {
            // What cannot be written makes the whole of it one that cannot be trusted.
            Some(trailers) => write_trailers(&trailers, self.staged.out()).map_err(|_| Gone),
            None => {
                self.staged.out().extend_from_slice(LAST_CHUNK);
                Ok(())
            }
        })
    }
}
