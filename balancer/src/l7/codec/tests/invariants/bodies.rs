//! Chunked bodies: one reading however they are cut, a clean one for the other side, and hyper's
//! opinion of what they hold and where they end.

use super::super::checker;
use super::super::hyper_reading;
use super::{agree, cuts};
use crate::l7::codec::{BadBody, BodyDecoder, Carry, Framing, Limits};

/// A chunked request's head.
const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// What may follow it.
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/// The tight bound on content that bodies are also read under.
const BOUND: u64 = 40;

/// How a decoder fared.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// What it relayed.
    pub(crate) relayed: Vec<u8>,
    /// How much of the input it used up.
    pub(crate) used: usize,
    /// Whether the body had ended, unless it was bad.
    pub(crate) ended: Result<bool, BadBody>,
}

/// Decodes what comes in pieces.
pub(crate) fn decode(mut decoder: BodyDecoder, pieces: &[&[u8]]) -> Decoded {
    let mut decoded = Decoded {
        relayed: Vec::new(),
        used: 0,
        ended: Ok(decoder.is_done()),
    };
    let mut buf = Vec::new();
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            let step = match decoder.advance(&buf) {
                Ok(step) => step,
                Err(bad) => {
                    decoded.ended = Err(bad);
                    return decoded;
                }
            };
            decoded.relayed.extend_from_slice(&buf[step.relay]);
            buf.drain(..step.consumed);
            decoded.used += step.consumed;
            decoded.ended = Ok(decoder.is_done());
            if step.consumed == 0 || decoder.is_done() {
                break;
            }
        }
    }
    decoded
}

/// What holds of the bytes of a chunked body, and whatever follows it.
pub(crate) fn bodies(wire: &[u8]) {
    let plenty = Limits::default();
    let tight = Limits::new(1 << 10, 1 << 10, 10, BOUND);
    for limits in [plenty, tight] {
        for carry in [Carry::Wire, Carry::WireWithoutTrailers, Carry::Content] {
            same_however_cut(wire, carry, &limits);
        }
    }
    let bounded = chunked(Carry::Content, &tight, &[wire]);
    assert!(bounded.relayed.len() as u64 <= BOUND);
    let clean = chunked(Carry::Wire, &plenty, &[wire]);
    let content = chunked(Carry::Content, &plenty, &[wire]);
    assert_eq!(clean.ended, content.ended);
    stays_clean(&clean, &content.relayed);
    hyper_agrees(wire, &content);
}

fn chunked(carry: Carry, limits: &Limits, pieces: &[&[u8]]) -> Decoded {
    decode(BodyDecoder::new(Framing::Chunked, carry, limits), pieces)
}

fn same_however_cut(wire: &[u8], carry: Carry, limits: &Limits) {
    let whole = chunked(carry, limits, &[wire]);
    for pieces in cuts(wire) {
        let cut = chunked(carry, limits, &pieces);
        assert!(agree(&cut.relayed, &whole.relayed));
        if whole.ended.is_ok() {
            assert_eq!(cut, whole);
        } else {
            assert_eq!(cut.ended, whole.ended);
        }
    }
}

/// What is relayed is the beginning of a well-formed body, and a whole one only at its end.
fn stays_clean(clean: &Decoded, content: &[u8]) {
    let message = [HEAD, &clean.relayed].concat();
    let (message, rest) = checker::read(&message, false);
    assert_eq!(message.whole, clean.ended == Ok(true));
    assert!(rest.is_empty());
    if message.whole {
        assert_eq!(message.body, content);
        let again = chunked(Carry::Wire, &Limits::default(), &[&clean.relayed]);
        assert_eq!(again.relayed, clean.relayed);
    } else {
        assert!(agree(&message.body, content));
    }
}

/// Hyper takes the same content and finds the next message at the same place, or sees no end
/// either. What we refuse it may take: its line ends and trailers are less strict.
fn hyper_agrees(wire: &[u8], content: &Decoded) {
    match content.ended {
        Ok(true) => {
            let message = [HEAD, &wire[..content.used], NEXT].concat();
            let read = hyper_reading::requests(&message);
            assert_eq!(read.len(), 2, "{read:?}");
            assert_eq!(read[0].body, content.relayed);
            assert_eq!(read[1].start, "GET /next");
        }
        Ok(false) => assert_eq!(hyper_reading::requests(&[HEAD, wire].concat()), []),
        Err(_) => {}
    }
}
