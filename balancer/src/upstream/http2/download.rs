//! The way of an answer: written into the pipe as HTTP/1.1. What the exchange has not taken, the server may not send more of.

use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use h2::RecvStream;
use h2::client::ResponseFuture;

use super::broken::{LOST, is_in_order, meaning};
use super::response::{Ending, write_head};
use crate::codec::LAST_CHUNK;
use crate::http2::{Piece, Staged, write_trailers};
use crate::stream::Pipe;

/// What of the request the answer's form depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    /// The answer has no body, whatever its head says.
    pub(super) head_only: bool,
    /// The client takes trailers, so that they may matter more than a length that is known.
    pub(super) trailers: bool,
}

/// An answer on its way.
pub(super) struct Download {
    asked: Asked,
    stage: Stage,
    staged: Staged,
    /// What came while the piece could not be written.
    ahead: Vec<u8>,
    /// That nothing follows it, or why not.
    ended: Option<Option<h2::Error>>,
}

enum Stage {
    Awaiting(ResponseFuture),
    Body { stream: RecvStream, chunked: bool },
    Staged,
}

impl Download {
    pub(super) fn new(response: ResponseFuture, asked: Asked) -> Self {
        Self {
            asked,
            stage: Stage::Awaiting(response),
            staged: Staged::default(),
            ahead: Vec::new(),
            ended: None,
        }
    }

    /// Moves it on as far as it goes; ready when all of it was written, or why there is no more.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        pipe: &Pipe,
    ) -> Poll<Result<(), ErrorKind>> {
        loop {
            if self.poll_flush(context, pipe)?.is_pending() {
                self.read_ahead(context);
                return Poll::Pending;
            }
            match &mut self.stage {
                Stage::Awaiting(_) => ready!(self.poll_head(context))?,
                Stage::Body { .. } => ready!(self.poll_body(context))?,
                Stage::Staged => return Poll::Ready(Ok(())),
            }
        }
    }

    /// The next head, interim or final.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        let Stage::Awaiting(response) = &mut self.stage else {
            return Poll::Ready(Ok(()));
        };
        if let Some(interim) = ready!(response.poll_informational(context)) {
            let interim = interim.map_err(|error| meaning(&error))?;
            write_head(&interim, Ending::None, self.staged.out());
            return Poll::Ready(Ok(()));
        }
        let response = ready!(Pin::new(response).poll(context)).map_err(|error| meaning(&error))?;
        let ending = Ending::of(&response, self.asked);
        write_head(&response, ending, self.staged.out());
        let stream = response.into_body();
        self.stage = match ending {
            Ending::None | Ending::Empty => Stage::Staged,
            Ending::Declared | Ending::Chunked => Stage::Body {
                stream,
                chunked: ending == Ending::Chunked,
            },
        };
        Poll::Ready(Ok(()))
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        let Stage::Body { stream, chunked } = &mut self.stage else {
            return Poll::Ready(Ok(()));
        };
        let next = match std::mem::take(&mut self.ahead) {
            ahead if !ahead.is_empty() => Some(Ok(ahead.into())),
            _ => match self.ended.take() {
                Some(end) => end.map(Err),
                None => ready!(stream.poll_data(context)),
            },
        };
        let trailers = match next {
            Some(Ok(data)) => {
                let piece = match chunked {
                    true => Piece::Chunk { last: false },
                    false => Piece::Bare,
                };
                self.staged.stage(data, piece);
                return Poll::Ready(Ok(()));
            }
            Some(Err(error)) if is_in_order(&error) => None,
            Some(Err(_)) => return Poll::Ready(Err(LOST)),
            None => ready!(stream.poll_trailers(context)).map_err(|_| LOST)?,
        };
        match trailers {
            _ if !*chunked => {}
            Some(trailers) => write_trailers(&trailers, self.staged.out()),
            None => self.staged.out().extend_from_slice(LAST_CHUNK),
        }
        self.stage = Stage::Staged;
        Poll::Ready(Ok(()))
    }

    /// Takes over what comes while the exchange takes nothing: no more than the stream's window lets come. Frames that wait within `h2` are
    /// bounded by their number, for all streams together, and a connection that exceeds that is ended.
    fn read_ahead(&mut self, context: &mut Context<'_>) {
        let Stage::Body { stream, .. } = &mut self.stage else {
            return;
        };
        while self.ended.is_none() {
            match stream.poll_data(context) {
                Poll::Ready(Some(Ok(data))) => self.ahead.extend_from_slice(&data),
                Poll::Ready(Some(Err(error))) => self.ended = Some(Some(error)),
                Poll::Ready(None) => self.ended = Some(None),
                Poll::Pending => return,
            }
        }
    }

    fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        pipe: &Pipe,
    ) -> Poll<Result<(), ErrorKind>> {
        let stream = match &mut self.stage {
            Stage::Body { stream, .. } => Some(stream),
            Stage::Awaiting(_) | Stage::Staged => None,
        };
        let flushed = self.staged.poll_flush(context, pipe, stream);
        flushed.map_err(|error| error.kind())
    }
}
