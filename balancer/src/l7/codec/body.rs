//! A body's bytes: which of them belong to it, which may be forwarded as they are, and where it
//! ends.

use std::ops::Range;

use super::chunked::Chunked;
use super::framing::Framing;
use super::limits::Limits;
use super::refusal::BadBody;

/// The end of a body that is framed anew: see [`ChunkHead`].
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What is relayed of a chunked body; other framings are the same either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carry {
    /// The wire form, checked and cleaned: extensions and unfit trailer fields are left out. For a
    /// peer that speaks HTTP/1.1.
    #[default]
    Wire,
    /// The same without any trailer field, as RFC 9110, 6.5 allows: what `Connection` names ends
    /// here in a trailer too (7.6.1), and its names are not kept for as long as a body lasts.
    WireWithoutTrailers,
    /// The content alone.
    Content,
    /// The content, and behind it the lines of fit trailer fields, each by itself: for a peer that frames them in another way.
    ContentAndTrailers,
}

/// One step over a piece of input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advance {
    /// So many bytes of the input are used up; the next call begins after them.
    pub consumed: usize,
    /// The part of the input to write to the other side, as it is.
    pub relay: Range<usize>,
    /// Whether that part is whole lines of trailer fields, and no content.
    pub is_trailer: bool,
}

/// Follows a body over any pieces of input.
///
/// Call [`advance`](Self::advance) again with the rest while it consumes something. When it
/// consumes nothing and is not done, keep the rest and come back with more behind it: a trailer
/// line is only judged whole, so up to [`BodyDecoder::REST_MAX`] bytes stay, which a buffer
/// must be able to hold. What is relayed is at each moment the beginning of a well-formed body, so
/// that breaking off leaves it visibly cut short.
#[derive(Clone, Debug)]
pub struct BodyDecoder {
    state: State,
    carry: Carry,
}

#[derive(Clone, Debug)]
enum State {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Done,
}

impl BodyDecoder {
    /// The longest piece that the decoder may leave unconsumed.
    pub const REST_MAX: usize = super::trailer::LINE_MAX;

    /// A decoder for a body that has just begun. The limits' bound on bodies applies to a chunked
    /// one as it grows.
    pub fn new(framing: Framing, carry: Carry, limits: &Limits) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::new(limits.body)),
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, carry }
    }

    /// Reads on. Input may be empty.
    pub fn advance(&mut self, input: &[u8]) -> Result<Advance, BadBody> {
        let mut is_trailer = false;
        let (consumed, relay) = match &mut self.state {
            State::Done => (0, 0..0),
            State::UntilClose => (input.len(), 0..input.len()),
            State::Length(left) => {
                let taken =
                    usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= taken as u64;
                if *left == 0 {
                    self.state = State::Done;
                }
                (taken, 0..taken)
            }
            State::Chunked(chunked) => {
                let step = chunked.advance(input, self.carry)?;
                is_trailer = self.carry == Carry::ContentAndTrailers && chunked.is_behind_content();
                if chunked.is_done() {
                    self.state = State::Done;
                }
                step
            }
        };
        Ok(Advance {
            consumed,
            relay,
            is_trailer,
        })
    }

    /// Whether the body has ended, and what follows in the input is not of this message; true from
    /// the start where there is none.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The sender closed its side: the end of a body that lasts until then, a truncated body
    /// otherwise.
    pub fn end_of_input(&mut self) -> Result<(), BadBody> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Length(_) | State::Chunked(_) => Err(BadBody::Truncated),
        }
    }
}

/// The line before a chunk of a body that is framed anew ([`super::Relay::Framed`]): write this,
/// the data, then CRLF; at the end [`LAST_CHUNK`].
#[derive(Clone, Copy, Debug)]
pub struct ChunkHead {
    text: [u8; 18],
    start: u8,
}

impl ChunkHead {
    /// The line for so many bytes, which are not zero: that would be the last chunk's.
    pub fn of(length: usize) -> Self {
        debug_assert!(length > 0, "an empty chunk ends the body");
        let mut text = *b"................\r\n";
        let mut start = 16;
        let mut left = length;
        while left > 0 {
            start -= 1;
            text[start] = b"0123456789abcdef"[left & 0xf];
            left >>= 4;
        }
        let start = u8::try_from(start).expect("an index below 16");
        Self { text, start }
    }

    /// Its bytes, CRLF included.
    pub fn bytes(&self) -> &[u8] {
        &self.text[usize::from(self.start)..]
    }
}

#[cfg(test)]
mod tests;
