//! The way of an answer: read out of the pipe as HTTP/1.1, and sent as far as the client's windows let it.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::HeaderMap;

use super::backlog::Share;
use super::response::{add_trailers, response};
use super::shared::Shared;
use crate::l7::codec::{Asked, BodyDecoder, Carry, Limits, Parse, parse_response};
use crate::l7::space::Space;
use crate::stream::Pipe;
use crate::timers::Timer;

/// A piece that a client's window has cut down to less than this earns that client nothing.
const SMALL_CUT: usize = 256;

/// Why an answer broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// It is no whole answer.
    Source,
    /// The client is no longer interested.
    Gone,
    /// The client took nothing for too long.
    Stalled,
}

/// An answer on its way.
pub(super) struct Download {
    respond: SendResponse<Bytes>,
    asked: Asked,
    /// Where the head is read.
    space: Box<Space>,
    /// What was read, and is not used up.
    read: Bytes,
    /// What was read, and is not written.
    share: Share,
    /// The body, once the head is sent.
    body: Option<Body>,
    is_complete: bool,
    stalled: Option<Timer>,
}

struct Body {
    send: SendStream<Bytes>,
    decoder: BodyDecoder,
    piece: Bytes,
    /// What follows the piece, looked at so that the last one is known.
    ahead: Bytes,
    trailers: HeaderMap,
}

impl Download {
    pub(super) fn new(shared: &Shared, respond: SendResponse<Bytes>, asked: Asked) -> Self {
        let mut space = shared.talk.spaces.take();
        space.response.reset();
        Self {
            respond,
            asked,
            space,
            read: Bytes::new(),
            share: shared.backlog.share(),
            body: None,
            is_complete: false,
            stalled: None,
        }
    }

    /// Whether the answer may have no body.
    pub(super) fn is_bare(&self) -> bool {
        self.asked.head_only
    }

    /// Whether the client has reset the stream.
    pub(super) fn is_reset(&mut self, context: &mut Context<'_>) -> bool {
        let reset = match &mut self.body {
            Some(body) => body.send.poll_reset(context),
            None => self.respond.poll_reset(context),
        };
        reset.is_ready()
    }

    /// Ends the stream in the middle.
    pub(super) fn reset(&mut self, reason: Reason) {
        match &mut self.body {
            Some(body) => body.send.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }

    /// Gives back what it worked in.
    pub(super) fn end(self, shared: &Shared) {
        shared.talk.spaces.give(self.space);
    }

    /// Moves it on as far as it goes; ready when all of it was sent.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        pipe: &Pipe,
        shared: &Shared,
    ) -> Poll<Result<(), Broken>> {
        while !self.is_complete {
            let needs_more = match &mut self.body {
                None => !self.send_head()?,
                Some(body) => body.stage(&mut self.read)?,
            };
            if needs_more {
                ready!(self.poll_more(context, pipe, shared))?;
            } else if self.body.is_some() {
                ready!(self.poll_send(context, shared))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends a head, where all of it is there.
    fn send_head(&mut self) -> Result<bool, Broken> {
        if self.read.is_empty() {
            return Ok(false);
        }
        let head = &mut self.space.response;
        let limits = Limits::for_own_answers();
        let parsed = parse_response(&self.read, self.asked, &limits, head);
        let Parse::Complete { head_length } = parsed.map_err(|_| Broken::Source)? else {
            return Ok(false);
        };
        // Its values stay in the connection's table of fields, where they are not to hold the body's memory.
        let bytes = Bytes::copy_from_slice(&self.read[..head_length]);
        let answer = response(&bytes, head).map_err(|_| Broken::Source)?;
        self.read.advance(head_length);
        if head.is_interim() {
            head.reset();
            let sent = self.respond.send_informational(answer);
            return sent.map(|()| true).map_err(|_| Broken::Gone);
        }
        let decoder = BodyDecoder::new(head.framing, Carry::ContentAndTrailers, &limits);
        self.is_complete = decoder.is_done();
        let sent = self.respond.send_response(answer, self.is_complete);
        self.body = Some(Body {
            send: sent.map_err(|_| Broken::Gone)?,
            decoder,
            piece: Bytes::new(),
            ahead: Bytes::new(),
            trailers: HeaderMap::new(),
        });
        Ok(true)
    }

    fn poll_more(
        &mut self,
        context: &mut Context<'_>,
        pipe: &Pipe,
        shared: &Shared,
    ) -> Poll<Result<(), Broken>> {
        // It is the beginning of a head or of a line, if anything. What else was in its memory is the client's to take.
        self.read = Bytes::copy_from_slice(&self.read);
        if shared.backlog.poll_room(&self.share, context).is_pending() {
            return poll_stalled(&mut self.stalled, context, shared);
        }
        self.stalled = None;
        let taken = ready!(pipe.poll_take(context));
        let more = taken.map_err(|_| Broken::Source)?;
        if more.is_empty() {
            // No body of the balancer's writing lasts until its end.
            return Poll::Ready(Err(Broken::Source));
        }
        self.read = self.share.take_over(if self.read.is_empty() {
            more
        } else {
            [&self.read[..], &more].concat()
        });
        Poll::Ready(Ok(()))
    }

    /// Sends what is staged, as far as the client's windows let it.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        shared: &Shared,
    ) -> Poll<Result<(), Broken>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(Ok(()));
        };
        while !body.piece.is_empty() {
            let Poll::Ready(room) = body.poll_room(context) else {
                return poll_stalled(&mut self.stalled, context, shared);
            };
            self.stalled = None;
            let room = room?;
            let cut = room < body.piece.len();
            let piece = body.piece.split_to(room.min(body.piece.len()));
            if !cut || piece.len() >= SMALL_CUT {
                shared.note_sent(piece.len());
            }
            let ends = body.is_last() && body.trailers.is_empty();
            let sent = body.send.send_data(piece, ends);
            sent.map_err(|_| Broken::Gone)?;
            self.is_complete = ends;
        }
        if body.is_last() && !self.is_complete {
            body.end().map_err(|_| Broken::Gone)?;
            self.is_complete = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl Body {
    /// Takes pieces out of what was read. Whether more must be read before anything can be sent.
    fn stage(&mut self, read: &mut Bytes) -> Result<bool, Broken> {
        if self.piece.is_empty() {
            self.piece = std::mem::take(&mut self.ahead);
        }
        if self.piece.is_empty() {
            self.piece = self.next_piece(read)?;
        }
        if !self.piece.is_empty() && self.ahead.is_empty() {
            self.ahead = self.next_piece(read)?;
        }
        Ok(self.piece.is_empty() && !self.decoder.is_done())
    }

    /// The next piece of content that was read; empty where there is none.
    fn next_piece(&mut self, read: &mut Bytes) -> Result<Bytes, Broken> {
        loop {
            let advance = self.decoder.advance(read).map_err(|_| Broken::Source)?;
            let part = read.slice(advance.relay);
            read.advance(advance.consumed);
            if advance.is_trailer {
                add_trailers(&part, &mut self.trailers).map_err(|_| Broken::Source)?;
            } else if !part.is_empty() {
                return Ok(part);
            }
            if advance.consumed == 0 {
                return Ok(Bytes::new());
            }
        }
    }

    /// Whether nothing follows what is left of the piece.
    fn is_last(&self) -> bool {
        self.piece.is_empty() && self.ahead.is_empty() && self.decoder.is_done()
    }

    /// How much of the piece may be sent.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        self.send.reserve_capacity(self.piece.len());
        let room = self.send.capacity();
        if room > 0 {
            return Poll::Ready(Ok(room));
        }
        Poll::Ready(match ready!(self.send.poll_capacity(context)) {
            Some(Ok(room)) => Ok(room),
            Some(Err(_)) | None => Err(Broken::Gone),
        })
    }

    /// Ends the stream behind what was sent.
    fn end(&mut self) -> Result<(), h2::Error> {
        if self.trailers.is_empty() {
            self.send.send_data(Bytes::new(), true)
        } else {
            self.send.send_trailers(std::mem::take(&mut self.trailers))
        }
    }
}

/// The client gives no room. It has as long as for a pause of its own in a request.
fn poll_stalled(
    stalled: &mut Option<Timer>,
    context: &mut Context<'_>,
    shared: &Shared,
) -> Poll<Result<(), Broken>> {
    let worker = &shared.talk.worker;
    let timer = stalled.get_or_insert_with(|| {
        let timer = worker.timers.timer();
        timer.set(shared.talk.after(worker.settings.body_within));
        timer
    });
    timer.poll_expired(context).map(|()| Err(Broken::Stalled))
}
