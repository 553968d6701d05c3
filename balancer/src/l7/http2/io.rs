//! The client's stream as `h2` reads and writes it, and the place where frames are looked at before it gets them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{ACKNOWLEDGED, PREFACE};
use super::shared::Shared;
use crate::buffers::Buffer;

/// A client's stream.
pub(super) struct Io {
    shared: Rc<Shared>,
    /// What was read, and is not taken yet.
    read: Buffer,
    /// How much of it may pass.
    passing: usize,
    /// How much of the preface is still to pass.
    preface: usize,
    /// What is told behind it.
    told: &'static [u8],
}

impl Io {
    /// `read` was read already, and not looked at. Even where it is too much, the preface in it is needed for saying so.
    pub(super) fn new(shared: Rc<Shared>, mut read: Buffer) -> Self {
        let passing = shared.look(read.filled_mut());
        Self {
            passing: passing.unwrap_or(PREFACE.len()),
            shared,
            read,
            preface: PREFACE.len(),
            told: ACKNOWLEDGED,
        }
    }

    /// Reads until something may pass; false at the end.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Self { shared, read, .. } = self;
        while self.passing == 0 {
            if shared.deaf.get() {
                return Poll::Pending;
            }
            if !shared.may_read() {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let talk = &shared.talk;
            let buffers = &talk.spaces.buffers;
            let Poll::Ready(count) = talk.stream.poll_fill(context, read, buffers) else {
                read.rest(buffers);
                return Poll::Pending;
            };
            let count = count?;
            if count == 0 {
                return Poll::Ready(Ok(false));
            }
            shared.note_read(count);
            let Some(passing) = shared.look(read.filled_mut()) else {
                // The connection ends without another word of the client's.
                read.clear();
                context.waker().wake_by_ref();
                return Poll::Pending;
            };
            self.passing = passing;
        }
        Poll::Ready(Ok(true))
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.preface == 0 && !this.told.is_empty() {
            let (now, later) = this.told.split_at(this.told.len().min(room.remaining()));
            room.put_slice(now);
            this.told = later;
            return Poll::Ready(Ok(()));
        }
        if !ready!(this.poll_more(context))? {
            return Poll::Ready(Ok(()));
        }
        let mut count = this.passing.min(room.remaining());
        if this.preface > 0 {
            count = count.min(this.preface);
            this.preface -= count;
        }
        room.put_slice(&this.read.filled()[..count]);
        this.read.consume(count);
        this.passing -= count;
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
        let shared = &self.shared;
        let written = shared.talk.stream.poll_write_slices(context, slices);
        shared.note_stalled(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &self.shared;
        let flushed = shared.talk.stream.poll_flush(context);
        if flushed.is_pending() {
            shared.note_stalled(true);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        Poll::Ready(self.shared.talk.stream.end_writing())
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        self.read.clear();
        self.read.rest(&self.shared.talk.spaces.buffers);
    }
}
