//! The client's stream as `h2` reads and writes it, and the place where frames are looked at before it gets them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::shared::Shared;
use crate::buffers::Buffer;

/// A client's stream.
pub(super) struct Io {
    shared: Rc<Shared>,
    /// What was read, and is not taken yet.
    read: Buffer,
}

impl Io {
    /// `read` was read already, and not looked at.
    pub(super) fn new(shared: Rc<Shared>, mut read: Buffer) -> Self {
        if !shared.look(read.filled()) {
            read.clear();
        }
        Self { shared, read }
    }

    /// Reads more; false at the end.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Self { shared, read } = self;
        if shared.deaf.get() {
            return Poll::Pending;
        }
        let talk = &shared.talk;
        let buffers = &talk.spaces.buffers;
        let Poll::Ready(count) = talk.stream.poll_fill(context, read, buffers) else {
            read.rest(buffers);
            return Poll::Pending;
        };
        if count? == 0 {
            return Poll::Ready(Ok(false));
        }
        if shared.look(read.filled()) {
            return Poll::Ready(Ok(true));
        }
        // The connection ends without another word of the client's.
        read.clear();
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read.is_empty() && !ready!(this.poll_more(context))? {
            return Poll::Ready(Ok(()));
        }
        let filled = this.read.filled();
        let count = filled.len().min(room.remaining());
        room.put_slice(&filled[..count]);
        this.read.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut parts: [&[u8]; 3] = [b""; 3];
        let filled = slices.iter().filter(|slice| !slice.is_empty());
        for (part, slice) in parts.iter_mut().zip(filled) {
            *part = slice;
        }
        if parts[0].is_empty() {
            return Poll::Ready(Ok(0));
        }
        let shared = &self.shared;
        let written = shared.talk.stream.poll_write(context, parts);
        shared.note_stalled(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shared.talk.stream.end_writing())
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        self.read.clear();
        self.read.rest(&self.shared.talk.spaces.buffers);
    }
}
