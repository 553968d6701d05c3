//! Buffers for what is read, and a pool of them per thread: an idle connection holds none.

use std::cell::RefCell;
use std::ops::Range;

/// What every exchange reads into: room for ordinary heads and short bodies.
const SMALL: usize = 16 << 10;

/// What a long head or a long body is read into.
const LARGE: usize = 64 << 10;

/// Large buffers kept for use again, per thread.
const KEPT_MAX: usize = 64;

/// The large buffers of one thread that nobody uses.
pub(crate) struct Buffers {
    large: RefCell<Vec<Box<[u8]>>>,
}

/// Bytes that were read and are not used up yet, in one piece, with room behind them.
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    /// The small one, while a large one takes its place.
    small: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self {
            large: RefCell::default(),
        }
    }

    fn take(&self) -> Box<[u8]> {
        let kept = self.large.borrow_mut().pop();
        kept.unwrap_or_else(|| vec![0; LARGE].into())
    }

    fn give(&self, bytes: Box<[u8]>) {
        let mut large = self.large.borrow_mut();
        if large.len() < KEPT_MAX {
            large.push(bytes);
        }
    }
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; SMALL].into(),
            small: None,
            start: 0,
            end: 0,
        }
    }

    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The bytes at a place that [`Buffer::place`] named; good until the next [`Buffer::room`].
    pub(crate) fn at(&self, place: &Range<usize>) -> &[u8] {
        &self.bytes[place.clone()]
    }

    /// Where a part of what is filled lies, so that it can be found once it is used up.
    pub(crate) fn place(&self, part: &Range<usize>) -> Range<usize> {
        self.start + part.start..self.start + part.end
    }

    /// The first `count` bytes are used up.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(
            self.start <= self.end,
            "nothing is used up that was not read"
        );
    }

    pub(crate) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Room for more; empty where the buffer is full. Moves what is filled to the front.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }

    /// So many bytes were read into the room.
    pub(crate) fn fill(&mut self, count: usize) {
        self.end += count;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.end - self.start == self.bytes.len()
    }

    /// Goes on in a large buffer; false where it is one already.
    pub(crate) fn grow(&mut self, buffers: &Buffers) -> bool {
        if self.small.is_some() {
            return false;
        }
        let mut large = buffers.take();
        let length = self.end - self.start;
        large[..length].copy_from_slice(self.filled());
        self.small = Some(std::mem::replace(&mut self.bytes, large));
        self.start = 0;
        self.end = length;
        true
    }

    /// Gives a large buffer back, where what is filled fits in a small one.
    pub(crate) fn shrink(&mut self, buffers: &Buffers) {
        let length = self.end - self.start;
        if length > SMALL {
            return;
        }
        let Some(mut small) = self.small.take() else {
            return;
        };
        small[..length].copy_from_slice(self.filled());
        buffers.give(std::mem::replace(&mut self.bytes, small));
        self.start = 0;
        self.end = length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_survives_growing_and_shrinking() {
        let buffers = Buffers::new();
        let mut buffer = Buffer::new();
        buffer.room()[..5].copy_from_slice(b"hello");
        buffer.fill(5);
        buffer.consume(1);
        assert!(buffer.grow(&buffers));
        assert!(!buffer.grow(&buffers));
        assert_eq!(buffer.filled(), b"ello");
        assert_eq!(buffer.room().len(), LARGE - 4);
        buffer.shrink(&buffers);
        assert_eq!(buffer.filled(), b"ello");
        assert_eq!(buffer.room().len(), SMALL - 4);
        assert_eq!(buffers.large.borrow().len(), 1);
    }
}
