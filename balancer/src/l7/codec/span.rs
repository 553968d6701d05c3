//! A place in a head: 16-bit offsets instead of a borrow, so that a head and its buffer can live
//! side by side and be reused.

/// A range of bytes, counted from the start of the buffer that was given to the parser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u16,
    end: u16,
}

impl Span {
    /// The span from `start` to `end`, which lie within a head's limit.
    pub(super) fn new(start: usize, end: usize) -> Self {
        let narrow = |offset| u16::try_from(offset).expect("heads are shorter than 64 KiB");
        Self {
            start: narrow(start),
            end: narrow(end),
        }
    }

    /// Where `part`, a slice of `buf`, lies within it.
    pub(super) fn locate(buf: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr() as usize - buf.as_ptr() as usize;
        Self::new(start, start + part.len())
    }

    /// The bytes that the span names in the buffer that was parsed.
    pub fn of(self, buf: &[u8]) -> &[u8] {
        &buf[usize::from(self.start)..usize::from(self.end)]
    }

    /// The offset of the first byte.
    pub fn start(self) -> usize {
        usize::from(self.start)
    }

    /// The offset after the last byte.
    pub fn end(self) -> usize {
        usize::from(self.end)
    }

    /// How many bytes it holds.
    pub fn len(self) -> usize {
        usize::from(self.end - self.start)
    }

    /// Whether the span holds nothing.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}
