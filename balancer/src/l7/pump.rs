//! One direction of an exchange: a head, then a body that is followed by the codec and written on as it comes.
//!
//! It reads no more before everything read was written, so that a slow reader holds back a fast writer and memory stays bounded. While
//! an answer is awaited, what was sent can be kept and sent again on another connection.

use std::ops::Range;
use std::task::{Context, Poll, ready};

use super::codec::{
    Advance, BadBody, BodyDecoder, Carry, ChunkHead, Framing, LAST_CHUNK, Limits, Relay,
};
use crate::buffers::{Buffer, Buffers};
use crate::stream::Stream;

/// Pieces up to this size are copied behind what is written anyway, to go out in the same plain write.
const COPY_MAX: usize = 4 << 10;

/// Memory kept for use again by a pump that is at rest.
const KEPT_MAX: usize = 32 << 10;

/// Why a direction broke off.
#[derive(Debug)]
pub(super) enum Broken {
    /// The side that sends.
    Source,
    /// The side that receives.
    Sink,
    /// What is sent is not a well-formed body, or ends too early.
    Body(BadBody),
}

/// One direction.
pub(super) struct Pump {
    /// What is written first, from `out_at` on: the head, small pieces, chunk lines. While recording, everything so far.
    out: Vec<u8>,
    out_at: usize,
    /// A large piece, written from the source's buffer after `out`.
    piece: Range<usize>,
    /// Written after the piece.
    tail: &'static [u8],
    decoder: BodyDecoder,
    /// Each piece becomes a chunk of ours.
    framed: bool,
    /// The last chunk of ours is staged.
    closed: bool,
    recording: bool,
    /// What is kept is of no use once some of it was sent.
    only_until_sent: bool,
    /// Some of the body was read.
    has_body: bool,
    /// Where the head ends in `out`, while recording.
    head_length: usize,
    /// How many bytes of body are kept, beyond those that came with the head.
    record_max: usize,
    /// Bytes written since the last rewind.
    written: u64,
}

/// A source with the bytes that were read of it.
pub(super) struct Source<'a> {
    pub(super) stream: &'a Stream,
    pub(super) buffer: &'a mut Buffer,
    pub(super) buffers: &'a Buffers,
}

impl Pump {
    pub(super) fn new() -> Self {
        Self {
            out: Vec::new(),
            out_at: 0,
            piece: 0..0,
            tail: b"",
            decoder: BodyDecoder::new(Framing::None, Carry::Wire, &Limits::default()),
            framed: false,
            closed: false,
            recording: false,
            only_until_sent: false,
            has_body: false,
            head_length: 0,
            record_max: 0,
            written: 0,
        }
    }

    /// Begins anew, with nothing.
    pub(super) fn begin(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        if out.capacity() > KEPT_MAX {
            out = Vec::new();
        }
        *self = Self { out, ..Self::new() };
    }

    /// Where more can be written behind what is staged.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Whether everything staged was written: what is missing is the source's to send.
    pub(super) fn is_flushed(&self) -> bool {
        self.out_at == self.out.len() && self.piece.is_empty() && self.tail.is_empty()
    }

    /// Whether some of what is staged was written, and some was not.
    pub(super) fn is_halfway(&self) -> bool {
        self.out_at > 0 && !self.is_flushed()
    }

    /// A request's body follows the head: what is there of it is checked and staged before anything is sent. It is kept until an answer
    /// comes; where the request may not be `repeatable`, only until some of it was sent.
    pub(super) fn record_body(
        &mut self,
        decoder: BodyDecoder,
        record_max: usize,
        repeatable: bool,
        buffer: &mut Buffer,
    ) -> Result<(), BadBody> {
        self.decoder = decoder;
        self.recording = true;
        self.only_until_sent = !repeatable;
        self.head_length = self.out.len();
        self.record_max = usize::MAX;
        while !self.decoder.is_done() && self.stage(buffer)? {}
        self.record_max = record_max;
        Ok(())
    }

    /// A response's body follows the head. What is there of it is staged, to go out with the head in one write.
    pub(super) fn relay_body(
        &mut self,
        framing: Framing,
        relay: Relay,
        limits: &Limits,
        buffer: &mut Buffer,
    ) -> Result<(), BadBody> {
        let framing = match relay {
            Relay::Nothing => Framing::None,
            Relay::Tunnel => Framing::UntilClose,
            Relay::Plain(_) | Relay::Framed => framing,
        };
        self.decoder = BodyDecoder::new(framing, relay.carry(), limits);
        self.framed = relay == Relay::Framed;
        if !self.decoder.is_done() {
            self.stage(buffer)?;
        }
        Ok(())
    }

    /// From now on bytes go through as they are.
    pub(super) fn tunnel(&mut self, limits: &Limits) {
        self.decoder = BodyDecoder::new(Framing::UntilClose, Carry::Content, limits);
    }

    /// Whether all of the body was read.
    pub(super) fn is_read(&self) -> bool {
        self.decoder.is_done()
    }

    /// Whether some of the body was read.
    pub(super) fn has_body(&self) -> bool {
        self.has_body
    }

    /// Whether everything that was sent can be sent again.
    pub(super) fn is_whole(&self) -> bool {
        self.recording
    }

    /// Whether everything can be sent again, and is no longer than what the pool lets be repeated.
    pub(super) fn is_repeatable(&self) -> bool {
        self.recording && self.recorded() <= self.record_max
    }

    /// What was sent is not needed again.
    pub(super) fn stop_recording(&mut self) {
        self.recording = false;
    }

    /// Everything is to be sent again.
    pub(super) fn rewind(&mut self) {
        debug_assert!(self.recording, "what was not kept cannot be sent again");
        self.out_at = 0;
        self.written = 0;
    }

    /// Bytes written since the last rewind.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Moves the direction on as far as it goes; ready when all of it was written.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        source: &mut Source<'_>,
        sink: &Stream,
    ) -> Poll<Result<(), Broken>> {
        loop {
            ready!(self.poll_flush(context, source.buffer, sink))?;
            if self.decoder.is_done() {
                if !self.framed || self.closed {
                    return Poll::Ready(Ok(()));
                }
                self.closed = true;
                self.out.extend_from_slice(LAST_CHUNK);
            } else if !self.stage(source.buffer).map_err(Broken::Body)? {
                ready!(self.poll_more(context, source))?;
            }
        }
    }

    /// Writes what is staged.
    pub(super) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        buffer: &Buffer,
        sink: &Stream,
    ) -> Poll<Result<(), Broken>> {
        loop {
            let parts = [&self.out[self.out_at..], buffer.at(&self.piece), self.tail];
            if parts.iter().all(|part| part.is_empty()) {
                break;
            }
            let written = ready!(sink.poll_write(context, parts));
            self.account(written.map_err(|_| Broken::Sink)?);
        }
        ready!(sink.poll_flush(context)).map_err(|_| Broken::Sink)?;
        if !self.recording {
            self.out.clear();
            self.out_at = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// How much of the body is kept.
    fn recorded(&self) -> usize {
        self.out.len() - self.head_length
    }

    fn account(&mut self, written: usize) {
        self.written += written as u64;
        self.recording &= !self.only_until_sent;
        let of_out = written.min(self.out.len() - self.out_at);
        self.out_at += of_out;
        let of_piece = (written - of_out).min(self.piece.len());
        self.piece.start += of_piece;
        if self.piece.is_empty() {
            self.piece = 0..0;
        }
        self.tail = &self.tail[written - of_out - of_piece..];
    }

    /// Follows the body over what is there. False where more must be read first.
    fn stage(&mut self, buffer: &mut Buffer) -> Result<bool, BadBody> {
        let Advance {
            consumed, relay, ..
        } = self.decoder.advance(buffer.filled())?;
        let place = buffer.place(&relay);
        buffer.consume(consumed);
        if !place.is_empty() {
            self.stage_piece(place, buffer);
        }
        Ok(consumed > 0 || self.decoder.is_done())
    }

    fn stage_piece(&mut self, place: Range<usize>, buffer: &Buffer) {
        self.has_body = true;
        if self.framed {
            self.out
                .extend_from_slice(ChunkHead::of(place.len()).bytes());
            self.tail = b"\r\n";
        }
        if self.recording && self.recorded() + place.len() > self.record_max {
            self.recording = false;
            self.out.clear();
            self.out_at = 0;
        }
        if self.recording || place.len() <= COPY_MAX {
            self.out.extend_from_slice(buffer.at(&place));
            self.out.extend_from_slice(std::mem::take(&mut self.tail));
        } else {
            self.piece = place;
        }
    }

    fn poll_more(
        &mut self,
        context: &mut Context<'_>,
        source: &mut Source<'_>,
    ) -> Poll<Result<(), Broken>> {
        if source.buffer.is_full() && !source.buffer.grow(source.buffers) {
            return Poll::Ready(Err(Broken::Body(BadBody::TooLong)));
        }
        let Source {
            stream,
            buffer,
            buffers,
        } = source;
        let Poll::Ready(read) = stream.poll_fill(context, buffer, buffers) else {
            buffer.rest(buffers);
            return Poll::Pending;
        };
        let count = read.map_err(|_| Broken::Source)?;
        if buffer.is_full() {
            // There is more than fits: read on in larger pieces.
            buffer.grow(buffers);
        }
        if count == 0 {
            self.decoder.end_of_input().map_err(Broken::Body)?;
        }
        Poll::Ready(Ok(()))
    }
}
