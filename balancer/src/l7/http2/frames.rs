//! Frames as they pass: their heads alone (RFC 9113, 4.1), found in bytes that come in pieces of any length.
//!
//! One of them is made to mean nothing: the client's acknowledgement of the first settings. `h2` keeps to its limits from there on,
//! and a client that never acknowledged them would be bound by none. So it hears of an acknowledgement at once ([`ACKNOWLEDGED`]),
//! and not of the real one. That is sound, since no setting here takes back what a client may assume before it has heard of them.

/// What a client's connection begins with (RFC 9113, 3.4).
pub(in crate::l7) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a frame's head.
const HEAD: usize = 9;

/// An acknowledgement of settings.
pub(super) const ACKNOWLEDGED: &[u8] = &[0, 0, 0, 4, ACK, 0, 0, 0, 0];

/// A type of frames that nobody knows, which are ignored (RFC 9113, 5.5).
const UNKNOWN: u8 = 0xff;

const ACK: u8 = 0x1;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;

/// A frame's type, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Priority,
    Reset,
    Settings,
    Ping,
    WindowUpdate,
    Continuation,
    /// One that clients seldom or never send.
    Other,
}

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) flags: u8,
    /// Bytes of the payload.
    pub(super) length: usize,
}

/// Follows a client's bytes from the preface on.
#[derive(Debug)]
pub(super) struct Scanner {
    /// Bytes of the preface, or of a payload, that are still to come.
    skip: usize,
    /// The payload that is passing is one of a field section.
    is_section: bool,
    /// A field section has begun, and its last frame has not.
    unfinished: bool,
    /// The client has acknowledged the first settings.
    acknowledged: bool,
}

impl Frame {
    fn read(head: &[u8; HEAD]) -> Self {
        let [one, two, three, kind, flags, ..] = *head;
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::Headers,
            2 => Kind::Priority,
            3 => Kind::Reset,
            4 => Kind::Settings,
            6 => Kind::Ping,
            8 => Kind::WindowUpdate,
            9 => Kind::Continuation,
            _ => Kind::Other,
        };
        Self {
            kind,
            flags,
            length: usize::from(one) << 16 | usize::from(two) << 8 | usize::from(three),
        }
    }

    /// Whether the frame carries fields.
    fn is_section(self) -> bool {
        matches!(self.kind, Kind::Headers | Kind::Continuation)
    }

    /// Whether it acknowledges settings; one with content, or on a stream, is an error, and nobody else's than `h2`'s.
    fn acknowledges(self) -> bool {
        self.kind == Kind::Settings && self.has(ACK) && self.length == 0
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

impl Scanner {
    pub(super) fn new() -> Self {
        Self {
            skip: PREFACE.len(),
            is_section: false,
            unfinished: false,
            acknowledged: false,
        }
    }

    /// Goes on over what has come, and shows each head to `meet`. So many bytes may pass; what is left is the beginning of a head, to come
    /// again with more behind it.
    pub(super) fn scan(&mut self, bytes: &mut [u8], mut meet: impl FnMut(Frame)) -> usize {
        let mut at = 0;
        loop {
            let skipped = self.skip.min(bytes.len() - at);
            self.skip -= skipped;
            at += skipped;
            let Some(head) = bytes[at..].first_chunk_mut::<HEAD>() else {
                return at;
            };
            let frame = Frame::read(head);
            at += HEAD;
            self.skip = frame.length;
            self.is_section = frame.is_section();
            if self.is_section {
                self.unfinished = !frame.has(END_HEADERS);
            }
            if !self.acknowledged && frame.acknowledges() && head[5..] == [0; 4] {
                self.acknowledged = true;
                head[3] = UNKNOWN;
            }
            meet(frame);
        }
    }

    /// Whether a field section has begun and not ended.
    pub(super) fn is_in_section(&self) -> bool {
        self.unfinished || (self.is_section && self.skip > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        let mut bytes = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        bytes.extend_from_slice(payload);
        bytes
    }

    /// The heads that are found in pieces of this length, and the bytes that pass.
    fn scanned(bytes: &[u8], piece: usize) -> (Vec<Frame>, Vec<u8>) {
        let mut scanner = Scanner::new();
        let (mut frames, mut passed, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for bytes in bytes.chunks(piece) {
            held.extend_from_slice(bytes);
            let count = scanner.scan(&mut held, |frame| frames.push(frame));
            passed.extend(held.drain(..count));
        }
        (frames, passed)
    }

    /// What is held back of these bytes.
    fn goes_on(scanner: &mut Scanner, bytes: &[u8]) -> usize {
        bytes.len() - scanner.scan(&mut bytes.to_vec(), |_| {})
    }

    #[test]
    fn heads_are_found_however_the_bytes_are_cut() {
        let bytes = [
            PREFACE,
            &frame(4, 0, b""),
            &frame(1, END_HEADERS, b"fields"),
            &frame(0, END_STREAM, &[7; 200]),
            &frame(0xfe, 0, b"x"),
        ]
        .concat();
        let kinds = [Kind::Settings, Kind::Headers, Kind::Data, Kind::Other];
        let lengths = [0, 6, 200, 1];
        for piece in 1..bytes.len() {
            let (frames, passed) = scanned(&bytes, piece);
            assert!(passed == bytes, "in pieces of {piece}");
            let found: Vec<_> = frames.iter().map(|frame| frame.kind).collect();
            assert_eq!(found, kinds, "in pieces of {piece}");
            let found: Vec<_> = frames.iter().map(|frame| frame.length).collect();
            assert_eq!(found, lengths, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_field_section_lasts_until_the_last_byte_of_its_last_frame() {
        let mut scanner = Scanner::new();
        goes_on(&mut scanner, PREFACE);
        let first = frame(1, 0, b"abc");
        assert_eq!(goes_on(&mut scanner, &first[..8]), 8);
        assert!(!scanner.is_in_section());
        assert_eq!(goes_on(&mut scanner, &first), 0);
        assert!(scanner.is_in_section());
        let last = frame(9, END_HEADERS, b"def");
        goes_on(&mut scanner, &last[..last.len() - 1]);
        assert!(scanner.is_in_section());
        goes_on(&mut scanner, &last[last.len() - 1..]);
        assert!(!scanner.is_in_section());
        goes_on(&mut scanner, &frame(0, 0, b"abc")[..10]);
        assert!(!scanner.is_in_section());
    }

    #[test]
    fn the_first_acknowledgement_comes_to_mean_nothing() {
        let others = [
            frame(4, 0, b"abcdef"),
            frame(6, ACK, &[0; 8]),
            frame(4, ACK, b"abcdef"),
            frame(4, ACK, b""),
        ]
        .concat();
        let bytes = [PREFACE, &others, ACKNOWLEDGED, &others, ACKNOWLEDGED].concat();
        let unknown = [0, 0, 0, UNKNOWN, ACK, 0, 0, 0, 0];
        let wanted = [PREFACE, &others, &unknown, &others, ACKNOWLEDGED].concat();
        for piece in 1..bytes.len() {
            assert!(scanned(&bytes, piece).1 == wanted, "in pieces of {piece}");
        }
    }
}
