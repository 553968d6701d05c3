//! What the bytes of a conversation come and go on, whatever is beneath it. Everything is done without waiting, and through a shared
//! reference, since both directions of an exchange are under way at once.

mod pipe;
mod tcp;
mod tls;

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use probe::Calling;
use tokio::net::TcpStream;

use crate::buffers::{Buffer, Buffers};

pub(crate) use pipe::{Pipe, pipe};
pub(crate) use tls::{Greeting, HandshakeError, Tls};

/// One end of a connection: the whole of what stages know of a client or of a server.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<Tls>),
    /// To a part of this thread that speaks another protocol at its other side.
    Pipe(Pipe),
}

/// One that threads may pass on to each other.
#[derive(Debug)]
pub(crate) enum Portable {
    Tcp(TcpStream),
    Tls(Box<Tls>),
}

impl From<Portable> for Stream {
    fn from(stream: Portable) -> Self {
        match stream {
            Portable::Tcp(stream) => Self::Tcp(stream),
            Portable::Tls(tls) => Self::Tls(tls),
        }
    }
}

impl Stream {
    /// Waits until there is something to read, or the other side has ended, without any memory for it.
    pub(crate) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
            Self::Tls(tls) => tls.poll_read_ready(context),
            Self::Pipe(pipe) => pipe.poll_read_ready(context),
        }
    }

    /// Reads what is there into the room of `buffer`, which is not full, and says how much; zero at the end of the stream.
    pub(crate) fn poll_fill(
        &self,
        context: &mut Context<'_>,
        buffer: &mut Buffer,
        buffers: &Buffers,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => tcp::poll_fill(stream, context, buffer, buffers),
            Self::Tls(tls) => tls.poll_fill(context, buffer, buffers),
            Self::Pipe(pipe) => pipe.poll_fill(context, buffer, buffers),
        }
    }

    /// Reads what is there, which may be nothing: then it fails with `WouldBlock`.
    pub(crate) fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(room),
            Self::Tls(tls) => tls.try_read(room),
            Self::Pipe(pipe) => pipe.try_read(room),
        }
    }

    /// Writes as much as goes of three parts in a row, of which at least one is not empty.
    pub(crate) fn poll_write(
        &self,
        context: &mut Context<'_>,
        parts: [&[u8]; 3],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => tcp::poll_write(stream, context, parts),
            Self::Tls(tls) => tls.poll_write(context, parts),
            Self::Pipe(pipe) => pipe.poll_write(context, parts),
        }
    }

    /// The same of the first three slices that are not empty; where there are none, nothing is written.
    pub(crate) fn poll_write_slices(
        &self,
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
        self.poll_write(context, parts)
    }

    /// Waits until all that was taken by [`Stream::poll_write`] is in the kernel's hands.
    pub(crate) fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) | Self::Pipe(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => tls.poll_flush(context),
        }
    }

    /// Says that nothing more will be written.
    pub(crate) fn end_writing(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => tcp::end_writing(stream),
            Self::Tls(tls) => tls.end_writing(),
            Self::Pipe(pipe) => pipe.end_writing(),
        }
    }

    /// Whether closing it looks like an accident to the other side, which without that would take it for an orderly end.
    pub(crate) fn reset_on_close(&self, resets: bool) {
        match self {
            Self::Tcp(stream) => tcp::reset_on_close(stream, resets),
            Self::Tls(tls) => tls.reset_on_close(resets),
            Self::Pipe(pipe) => pipe.reset_on_close(resets),
        }
    }

    /// Whether the other side has neither closed the connection nor said anything unasked, as far as is known: it costs a system call
    /// only where something happened.
    pub(crate) fn is_quiet(&self) -> bool {
        self.try_read(&mut [0])
            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether there is anything of the other side, asked for without regard to cost.
    pub(crate) fn has_news(&self) -> bool {
        match self {
            Self::Tcp(stream) => tcp::has_news(stream),
            Self::Tls(tls) => tls.has_news(),
            Self::Pipe(_) => !self.is_quiet(),
        }
    }

    /// Whether it was made as a server is to be called now.
    pub(crate) fn is_called_by(&self, calling: Option<&Calling>) -> bool {
        match self {
            Self::Tcp(_) | Self::Pipe(_) => calling.is_none(),
            Self::Tls(tls) => calling.is_some_and(|calling| tls.is_called_by(calling)),
        }
    }

    /// Whether it can wait for another exchange. What a pipe leads to keeps its own connections.
    pub(crate) fn can_rest(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Tls(_) => true,
            Self::Pipe(_) => false,
        }
    }

    /// The same, to be passed on to any thread; nothing where it is one thread's alone.
    pub(crate) fn portable(self) -> Option<Portable> {
        match self {
            Self::Tcp(stream) => Some(Portable::Tcp(stream)),
            Self::Tls(tls) => Some(Portable::Tls(tls)),
            Self::Pipe(_) => None,
        }
    }

    /// The same, watched by the runtime of the thread that calls this from now on; nothing where it is broken, or another thread's alone.
    pub(crate) fn taken_over(self) -> Option<Self> {
        match self {
            Self::Tcp(stream) => tcp::taken_over(stream).map(Self::Tcp),
            Self::Tls(tls) => tls.taken_over().map(Self::Tls),
            Self::Pipe(_) => None,
        }
    }
}
