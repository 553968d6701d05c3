//! Frames as they pass: their heads alone (RFC 9113, 4.1), found in bytes that come in pieces of any length.

/// What a client's connection begins with (RFC 9113, 3.4).
pub(in crate::l7) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a frame's head.
const HEAD: usize = 9;

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
    head: [u8; HEAD],
    /// How many bytes of the next head have come.
    head_length: usize,
    /// The payload that is passing is one of a field section.
    is_section: bool,
    /// A field section has begun, and its last frame has not.
    unfinished: bool,
}

impl Frame {
    fn read(head: [u8; HEAD]) -> Self {
        let [one, two, three, kind, flags, ..] = head;
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

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

impl Scanner {
    pub(super) fn new() -> Self {
        Self {
            skip: PREFACE.len(),
            head: [0; HEAD],
            head_length: 0,
            is_section: false,
            unfinished: false,
        }
    }

    /// Goes on over what has come, and shows each head to `meet`.
    pub(super) fn scan(&mut self, mut bytes: &[u8], mut meet: impl FnMut(Frame)) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if self.skip > 0 || bytes.is_empty() {
                return;
            }
            let taken = (HEAD - self.head_length).min(bytes.len());
            self.head[self.head_length..][..taken].copy_from_slice(&bytes[..taken]);
            self.head_length += taken;
            bytes = &bytes[taken..];
            if self.head_length < HEAD {
                return;
            }
            self.head_length = 0;
            let frame = Frame::read(self.head);
            self.skip = frame.length;
            self.is_section = frame.is_section();
            if self.is_section {
                self.unfinished = !frame.has(END_HEADERS);
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

    fn scanned(bytes: &[u8], piece: usize) -> Vec<Frame> {
        let mut scanner = Scanner::new();
        let mut frames = Vec::new();
        for bytes in bytes.chunks(piece) {
            scanner.scan(bytes, |frame| frames.push(frame));
        }
        frames
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
            let frames = scanned(&bytes, piece);
            let found: Vec<_> = frames.iter().map(|frame| frame.kind).collect();
            assert_eq!(found, kinds, "in pieces of {piece}");
            let found: Vec<_> = frames.iter().map(|frame| frame.length).collect();
            assert_eq!(found, lengths, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_field_section_lasts_until_the_last_byte_of_its_last_frame() {
        let mut scanner = Scanner::new();
        scanner.scan(PREFACE, |_| {});
        let first = frame(1, 0, b"abc");
        scanner.scan(&first[..8], |_| {});
        assert!(!scanner.is_in_section());
        scanner.scan(&first[8..], |_| {});
        assert!(scanner.is_in_section());
        let last = frame(9, END_HEADERS, b"def");
        scanner.scan(&last[..last.len() - 1], |_| {});
        assert!(scanner.is_in_section());
        scanner.scan(&last[last.len() - 1..], |_| {});
        assert!(!scanner.is_in_section());
        scanner.scan(&frame(0, 0, b"abc")[..10], |_| {});
        assert!(!scanner.is_in_section());
    }
}
