//! An answer that is kept back while another server is tried. It goes to the client where that brings nothing better, or where its
//! server leaves and has no more time.

use std::mem::{replace, take};
use std::time::Duration;

use policy::InFlight;

use super::codec::{BodyDecoder, Carry, Limits, ResponseHead};
use super::exchange::{Exchange, Upload};
use super::talk::Talk;
use crate::buffers::{Buffer, Buffers};
use crate::upstream::Connection;

/// The head of an answer, what was read behind it, and the connection that it came on.
pub(super) struct Held {
    connection: Connection,
    flight: InFlight,
    buffer: Buffer,
    response: ResponseHead,
    head_length: usize,
    upload: Upload,
}

impl Exchange<'_> {
    /// Puts the answer aside that is in `space.response`.
    pub(super) fn hold(&mut self, connection: Connection, flight: InFlight) {
        let upload = match self.upload {
            Upload::Done => Upload::Done,
            // The rest of the request goes to another server now.
            Upload::Going | Upload::Refused => Upload::Refused,
        };
        self.held = Some(Box::new(Held {
            connection,
            flight,
            buffer: take(&mut self.space.server),
            response: replace(&mut self.space.response, ResponseHead::new()),
            head_length: self.head_length,
            upload,
        }));
    }

    /// The answer that is held, if one is, is in its place again, as if it had just come.
    pub(super) fn bring_back(&mut self) -> Option<(Connection, InFlight)> {
        let held = *self.held.take()?;
        self.space.server = held.buffer;
        self.space.response = held.response;
        self.head_length = held.head_length;
        self.upload = held.upload;
        Some((held.connection, held.flight))
    }

    /// The answer that is held, if one is, is not needed.
    pub(super) fn discard_held(&mut self) {
        if let Some(held) = self.held.take() {
            held.discard(self.talk);
        }
    }

    /// Whether the server of an answer that is held leaves, and the time for what that has in flight is over.
    pub(super) fn is_held_too_long(&self, now: Duration) -> bool {
        let held = self.held.as_deref();
        held.is_some_and(|held| held.is_overdue(now))
    }
}

impl Held {
    /// Whether its server leaves, and the time for what that has in flight is over.
    pub(super) fn is_overdue(&self, now: Duration) -> bool {
        self.flight.server().live().is_overdue(now)
    }

    /// Its connection serves on where all of the answer is there, and is closed where it is not.
    fn discard(mut self, talk: &Talk) {
        let worker = &talk.worker;
        let reusable = self.upload == Upload::Done && self.response.keep_alive;
        if reusable && self.is_read_up(&worker.settings.response_limits, &talk.spaces.buffers) {
            let live = self.flight.server().live();
            worker.idle.keep(live, self.connection, worker.clock.now());
        }
        self.buffer.clear();
        self.buffer.rest(&talk.spaces.buffers);
    }

    /// Reads what is there of the body without waiting; whether that is all of it, and nothing follows.
    fn is_read_up(&mut self, limits: &Limits, buffers: &Buffers) -> bool {
        let mut decoder = BodyDecoder::new(self.response.framing, Carry::Content, limits);
        self.buffer.consume(self.head_length);
        while !decoder.is_done() {
            match decoder.advance(self.buffer.filled()) {
                Ok(advance) if advance.consumed > 0 => self.buffer.consume(advance.consumed),
                Ok(_) if decoder.is_done() => {}
                Ok(_) if self.buffer.is_full() => return false,
                Ok(_) => match self.connection.stream.try_read(self.buffer.room(buffers)) {
                    Ok(count) if count > 0 => self.buffer.fill(count),
                    _ => return false,
                },
                Err(_) => return false,
            }
        }
        self.buffer.is_empty()
    }
}
