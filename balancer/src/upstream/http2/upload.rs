//! The way of a request: read out of the pipe as HTTP/1.1, and sent as far as the server's windows let it.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::Request;
use http::uri::Scheme;

use super::download::Asked;
use super::request::request;
use crate::buffers::{Buffer, Buffers};
use crate::codec::{BodyDecoder, Carry, Limits, Method, Parse, RequestHead, parse_request};
use crate::http2::Content;
use crate::stream::Pipe;

/// What the exchange wrote ends in the middle.
#[derive(Debug)]
pub(super) struct BrokenOff;

/// Why there is no head.
#[derive(Debug)]
pub(super) enum NoHead {
    BrokenOff,
    /// It is longer than can be read, or more than HTTP/2 can say.
    Unfit,
}

/// A request's head.
pub(super) struct Head {
    pub(super) request: Request<()>,
    pub(super) asked: Asked,
    /// There is no body.
    pub(super) ends: bool,
}

/// A request on its way.
pub(super) struct Upload<'a> {
    buffers: &'a Buffers,
    scheme: Scheme,
    buffer: Buffer,
    head: RequestHead,
    /// The body, once the head was sent and as long as there is more of it.
    body: Option<Content>,
    /// Kept until the end, since letting go of it cancels the stream.
    stream: Option<SendStream<Bytes>>,
}

impl<'a> Upload<'a> {
    pub(super) fn new(buffers: &'a Buffers, scheme: Scheme) -> Self {
        Self {
            buffers,
            scheme,
            buffer: Buffer::default(),
            head: RequestHead::new(),
            body: None,
            stream: None,
        }
    }

    /// Reads the head.
    pub(super) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        pipe: &Pipe,
    ) -> Poll<Result<Head, NoHead>> {
        let limits = Limits::for_own_requests();
        loop {
            if !self.buffer.is_empty() {
                let parsed = parse_request(self.buffer.filled(), &limits, &mut self.head);
                if let Parse::Complete { head_length } = parsed.map_err(|_| NoHead::Unfit)? {
                    return Poll::Ready(self.take_head(head_length, &limits));
                }
            }
            if self.buffer.is_full() && !self.buffer.grow(self.buffers) {
                return Poll::Ready(Err(NoHead::Unfit));
            }
            ready!(self.poll_more(context, pipe)).map_err(|BrokenOff| NoHead::BrokenOff)?;
        }
    }

    fn take_head(&mut self, head_length: usize, limits: &Limits) -> Result<Head, NoHead> {
        let Self {
            buffer,
            head,
            scheme,
            ..
        } = self;
        let bytes = &buffer.filled()[..head_length];
        let request = request(bytes, head, scheme).map_err(|_| NoHead::Unfit)?;
        let asked = Asked {
            head_only: head.method == Method::Head,
            trailers: head.accepts_trailers(bytes),
        };
        buffer.consume(head_length);
        let decoder = BodyDecoder::new(head.framing, Carry::ContentAndTrailers, limits);
        let ends = decoder.is_done();
        self.body = (!ends).then(|| Content::new(decoder));
        Ok(Head {
            request,
            asked,
            ends,
        })
    }

    /// The head was sent, and the body goes out on this stream.
    pub(super) fn begin(&mut self, stream: SendStream<Bytes>) {
        self.stream = Some(stream);
    }

    /// Cancels the stream, where it is not over.
    pub(super) fn reset(&mut self, reason: Reason) {
        if let Some(stream) = &mut self.stream {
            stream.send_reset(reason);
        }
    }

    /// Moves the body on as far as it goes. Where the server takes no more of it, the answer says why.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, pipe: &Pipe) -> Result<(), BrokenOff> {
        while let (Some(body), Some(stream)) = (&mut self.body, &mut self.stream) {
            if body.stage(&mut self.buffer).map_err(|_| BrokenOff)? {
                match self.poll_more(context, pipe) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(result) => result?,
                }
                continue;
            }
            match body.poll_send(context, stream) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(sent)) if !sent.ends => {}
                // Where the stream is over, its answer says so.
                Poll::Ready(_) => self.end_body(),
            }
        }
        Ok(())
    }

    fn end_body(&mut self) {
        self.body = None;
        self.buffer.clear();
        self.buffer.rest(self.buffers);
    }

    fn poll_more(&mut self, context: &mut Context<'_>, pipe: &Pipe) -> Poll<Result<(), BrokenOff>> {
        let Self {
            buffer, buffers, ..
        } = self;
        if buffer.is_full() && !buffer.grow(buffers) {
            return Poll::Ready(Err(BrokenOff));
        }
        let Poll::Ready(read) = pipe.poll_fill(context, buffer, buffers) else {
            buffer.rest(buffers);
            return Poll::Pending;
        };
        Poll::Ready(match read {
            Ok(count) if count > 0 => Ok(()),
            _ => Err(BrokenOff),
        })
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        self.buffer.clear();
        self.buffer.rest(self.buffers);
    }
}
