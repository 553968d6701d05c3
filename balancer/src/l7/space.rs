//! What one exchange works in: buffers, heads and both directions. Kept per thread; a connection that waits for a request has none.

use std::cell::RefCell;
use std::rc::Rc;

use super::codec::{RequestHead, ResponseHead};
use super::limits::LimitFields;
use super::pump::Pump;
use crate::buffers::{Buffer, Buffers};
use crate::request_id::RequestId;

/// Spaces kept for use again, per thread.
const KEPT_MAX: usize = 1024;

/// One exchange's memory.
pub(crate) struct Space {
    /// Bytes from the client.
    pub(super) client: Buffer,
    /// Bytes from the server.
    pub(super) server: Buffer,
    pub(super) request: RequestHead,
    pub(super) request_id: RequestId,
    /// The path that the server gets in place of the client's; empty where it gets that.
    pub(super) path: Vec<u8>,
    /// What its limits say of the request.
    pub(super) limits: LimitFields,
    pub(super) response: ResponseHead,
    pub(super) upload: Pump,
    pub(super) download: Pump,
}

/// The spaces of one thread that nobody uses.
pub(crate) struct Spaces {
    #[expect(
        clippy::vec_box,
        reason = "a space is large, and moves with every request"
    )]
    spaces: RefCell<Vec<Box<Space>>>,
    pub(crate) buffers: Rc<Buffers>,
}

impl Space {
    fn new() -> Self {
        Self {
            client: Buffer::default(),
            server: Buffer::default(),
            request: RequestHead::new(),
            request_id: RequestId::new(),
            path: Vec::new(),
            limits: LimitFields::default(),
            response: ResponseHead::new(),
            upload: Pump::new(),
            download: Pump::new(),
        }
    }
}

impl Spaces {
    pub(crate) fn new() -> Self {
        Self {
            spaces: RefCell::default(),
            buffers: Rc::new(Buffers::new()),
        }
    }

    pub(super) fn take(&self) -> Box<Space> {
        let kept = self.spaces.borrow_mut().pop();
        kept.unwrap_or_else(|| Box::new(Space::new()))
    }

    pub(super) fn give(&self, mut space: Box<Space>) {
        space.client.clear();
        space.server.clear();
        space.client.rest(&self.buffers);
        space.server.rest(&self.buffers);
        if !space.download.is_flushed() {
            // Its client went in the middle of an answer, which the next one has no part in.
            space.download.begin();
        }
        let mut spaces = self.spaces.borrow_mut();
        if spaces.len() < KEPT_MAX {
            spaces.push(space);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_did_not_take_is_no_part_of_the_next_ones_answer() {
        let spaces = Spaces::new();
        let mut space = spaces.take();
        space.download.out().extend_from_slice(b"HTTP/1.1 200 OK");
        spaces.give(space);
        assert!(spaces.take().download.is_flushed());
    }
}
