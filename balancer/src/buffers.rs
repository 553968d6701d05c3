//! Buffers for what is read, and a pool of them per thread: an idle connection holds none.

use std::cell::RefCell;
use std::ops::Range;

/// What heads and short bodies are read into.
const SMALL: usize = 16 << 10;

/// What a long head or a long body is read into.
const LARGE: usize = 64 << 10;

/// Bytes of each length that are kept for use again, per thread.
const KEPT_MAX: usize = 4 << 20;

/// The memory of one thread that nobody uses. What was used last is used next, since the processor's caches still hold it.
pub(crate) struct Buffers {
    small: Shelf,
    large: Shelf,
}

/// Pieces of one length.
struct Shelf {
    length: usize,
    kept: RefCell<Vec<Box<[u8]>>>,
}

/// Bytes that were read and are not used up yet, in one piece, with room behind them. It has no memory until there is something to
/// read: what waits for a server or a client, as most requests do for most of their time, holds none.
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        let shelf = |length| Shelf {
            length,
            kept: RefCell::default(),
        };
        Self {
            small: shelf(SMALL),
            large: shelf(LARGE),
        }
    }

    /// Lends a large piece of memory for a moment. What is in it is of no meaning.
    pub(crate) fn lend<T>(&self, borrow: impl FnOnce(&mut [u8]) -> T) -> T {
        let mut bytes = self.large.take();
        let result = borrow(&mut bytes);
        self.large.give(bytes);
        result
    }

    fn give(&self, bytes: Box<[u8]>) {
        match bytes.len() {
            SMALL => self.small.give(bytes),
            LARGE => self.large.give(bytes),
            _ => debug_assert!(bytes.is_empty(), "there are two lengths"),
        }
    }
}

impl Shelf {
    fn take(&self) -> Box<[u8]> {
        let kept = self.kept.borrow_mut().pop();
        kept.unwrap_or_else(|| vec![0; self.length].into())
    }

    fn give(&self, bytes: Box<[u8]>) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() * self.length < KEPT_MAX {
            kept.push(bytes);
        }
    }
}

impl Buffer {
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The bytes at a place that [`Buffer::place`] named; good until the next [`Buffer::room`] or [`Buffer::rest`].
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
    pub(crate) fn room(&mut self, buffers: &Buffers) -> &mut [u8] {
        if self.bytes.is_empty() {
            self.bytes = buffers.small.take();
        }
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
        !self.bytes.is_empty() && self.end - self.start == self.bytes.len()
    }

    /// Goes on in a large piece of memory; false where it has one already.
    pub(crate) fn grow(&mut self, buffers: &Buffers) -> bool {
        if self.bytes.len() == LARGE {
            return false;
        }
        let mut large = buffers.large.take();
        let length = self.end - self.start;
        large[..length].copy_from_slice(self.filled());
        buffers.give(std::mem::replace(&mut self.bytes, large));
        self.start = 0;
        self.end = length;
        true
    }

    /// Gives the memory back, where nothing is in it.
    pub(crate) fn rest(&mut self, buffers: &Buffers) {
        if self.is_empty() {
            self.clear();
            buffers.give(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(buffer: &mut Buffer, buffers: &Buffers, text: &[u8]) {
        buffer.room(buffers)[..text.len()].copy_from_slice(text);
        buffer.fill(text.len());
    }

    #[test]
    fn what_is_filled_survives_growing() {
        let buffers = Buffers::new();
        let mut buffer = Buffer::default();
        fill(&mut buffer, &buffers, b"hello");
        buffer.consume(1);
        assert!(buffer.grow(&buffers));
        assert!(!buffer.grow(&buffers));
        assert_eq!(buffer.filled(), b"ello");
        assert_eq!(buffer.room(&buffers).len(), LARGE - 4);
        assert_eq!(buffers.small.kept.borrow().len(), 1);
    }

    #[test]
    fn a_buffer_holds_memory_only_while_there_is_something_in_it() {
        let buffers = Buffers::new();
        let mut buffer = Buffer::default();
        assert!(!buffer.is_full() && buffer.bytes.is_empty());
        fill(&mut buffer, &buffers, b"hello");
        buffer.consume(4);
        buffer.rest(&buffers);
        assert_eq!(buffer.filled(), b"o");
        buffer.consume(1);
        buffer.rest(&buffers);
        assert!(buffer.bytes.is_empty());
        assert_eq!(buffers.small.kept.borrow().len(), 1);
        fill(&mut buffer, &buffers, b"again");
        assert_eq!(buffer.filled(), b"again");
        assert!(buffers.small.kept.borrow().is_empty());
    }

    #[test]
    fn what_is_kept_for_use_again_is_bounded() {
        let buffers = Buffers::new();
        let mut many: Vec<_> = (0..2 * KEPT_MAX / SMALL)
            .map(|_| Buffer::default())
            .collect();
        for buffer in &mut many {
            buffer.room(&buffers);
        }
        for buffer in &mut many {
            buffer.rest(&buffers);
        }
        assert_eq!(buffers.small.kept.borrow().len(), KEPT_MAX / SMALL);
    }
}
