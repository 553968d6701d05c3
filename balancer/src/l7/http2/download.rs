//! The way of an answer: read out of the pipe as HTTP/1.1, and sent as far as the client's windows let it.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, SendStream};

use super::backlog::Share;
use super::response::response;
use super::shared::Shared;
use crate::http2::{Content, Gone, NoBody};
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
    /// Where the head is read, from its first byte to its last.
    space: Option<Box<Space>>,
    /// What was read, and is not used up.
    read: Bytes,
    /// What was read, and is not written; nothing before the first of it.
    share: Option<Share>,
    /// The body and where it goes, once the head is sent.
    body: Option<(Content, SendStream<Bytes>)>,
    is_complete: bool,
    stalled: Option<Timer>,
}

impl From<NoBody> for Broken {
    fn from(_: NoBody) -> Self {
        Self::Source
    }
}

impl From<Gone> for Broken {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl Download {
    pub(super) fn new(respond: SendResponse<Bytes>, asked: Asked) -> Self {
        Self {
            respond,
            asked,
            space: None,
            read: Bytes::new(),
            share: None,
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
            Some((_, stream)) => stream.poll_reset(context),
            None => self.respond.poll_reset(context),
        };
        reset.is_ready()
    }

    /// Ends the stream in the middle.
    pub(super) fn reset(&mut self, reason: Reason) {
        match &mut self.body {
            Some((_, stream)) => stream.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }

    /// Gives back what it reads heads in.
    pub(super) fn rest(&mut self, shared: &Shared) {
        if let Some(space) = self.space.take() {
            shared.talk.spaces.give(space);
        }
    }

    /// Moves it on as far as it goes; ready when all of it was sent.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        pipe: &Pipe,
        shared: &Shared,
    ) -> Poll<Result<(), Broken>> {
        while !self.is_complete {
            let (is_staged, needs_more) = match &mut self.body {
                None => (false, !self.send_head(shared)?),
                Some((body, _)) => (true, body.stage(&mut self.read)?),
            };
            if needs_more {
                ready!(self.poll_more(context, pipe, shared))?;
            } else if is_staged {
                ready!(self.poll_send(context, shared))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends a head, where all of it is there.
    fn send_head(&mut self, shared: &Shared) -> Result<bool, Broken> {
        if self.read.is_empty() {
            return Ok(false);
        }
        let space = self.space.get_or_insert_with(|| {
            let mut space = shared.talk.spaces.take();
            space.response.reset();
            space
        });
        let head = &mut space.response;
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
        self.body = Some((Content::new(decoder), sent.map_err(|_| Broken::Gone)?));
        self.rest(shared);
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
        if let Some(share) = &self.share
            && shared.backlog.poll_room(share, context).is_pending()
        {
            return poll_stalled(&mut self.stalled, context, shared);
        }
        self.stalled = None;
        let taken = ready!(pipe.poll_take(context));
        let more = taken.map_err(|_| Broken::Source)?;
        if more.is_empty() {
            // No body of the balancer's writing lasts until its end.
            return Poll::Ready(Err(Broken::Source));
        }
        let share = self.share.get_or_insert_with(|| shared.backlog.share());
        self.read = share.take_over(if self.read.is_empty() {
            more
        } else {
            [&self.read[..], &more].concat()
        });
        Poll::Ready(Ok(()))
    }

    /// Sends of what is staged as much as the client's windows let it.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        shared: &Shared,
    ) -> Poll<Result<(), Broken>> {
        let Some((body, stream)) = &mut self.body else {
            return Poll::Ready(Ok(()));
        };
        let Poll::Ready(sent) = body.poll_send(context, stream) else {
            return poll_stalled(&mut self.stalled, context, shared);
        };
        self.stalled = None;
        let sent = sent?;
        if sent.length > 0 && (!sent.is_cut || sent.length >= SMALL_CUT) {
            shared.note_sent(sent.length);
        }
        self.is_complete = sent.ends;
        Poll::Ready(Ok(()))
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
