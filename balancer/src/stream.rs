//! What the bytes of a conversation come and go on, whatever is beneath it. Everything is done without waiting, and through a shared
//! reference, since both directions of an exchange are under way at once.

mod pipe;
mod tcp;

use std::io;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use crate::buffers::{Buffer, Buffers};

pub(crate) use pipe::{Pipe, pipe};

/// One end of a connection: the whole of what stages know of a client or of a server.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    /// To a part of this thread that speaks another protocol at its other side.
    Pipe(Pipe),
}

/// One that threads may pass on to each other.
#[derive(Debug)]
pub(crate) enum Portable {
    Tcp(TcpStream),
}

impl From<Portable> for Stream {
    fn from(stream: Portable) -> Self {
        match stream {
            Portable::Tcp(stream) => Self::Tcp(stream),
        }
    }
}

impl Stream {
    /// Waits until there is something to read, or the other side has ended, without any memory for it.
    pub(crate) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
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
            Self::Pipe(pipe) => pipe.poll_fill(context, buffer, buffers),
        }
    }

    /// Reads what is there, which may be nothing: then it fails with `WouldBlock`.
    pub(crate) fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(room),
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
            Self::Pipe(pipe) => pipe.poll_write(context, parts),
        }
    }

    /// Says that nothing more will be written.
    pub(crate) fn end_writing(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => tcp::end_writing(stream),
            Self::Pipe(pipe) => pipe.end_writing(),
        }
    }

    /// Whether closing it looks like an accident to the other side, which without that would take it for an orderly end.
    pub(crate) fn reset_on_close(&self, resets: bool) {
        match self {
            Self::Tcp(stream) => tcp::reset_on_close(stream, resets),
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
            Self::Pipe(_) => !self.is_quiet(),
        }
    }

    /// Whether it can wait for another exchange. What a pipe leads to keeps its own connections.
    pub(crate) fn can_rest(&self) -> bool {
        match self {
            Self::Tcp(_) => true,
            Self::Pipe(_) => false,
        }
    }

    /// The same, to be passed on to any thread; nothing where it is one thread's alone.
    pub(crate) fn portable(self) -> Option<Portable> {
        match self {
            Self::Tcp(stream) => Some(Portable::Tcp(stream)),
            Self::Pipe(_) => None,
        }
    }

    /// The same, watched by the runtime of the thread that calls this from now on; nothing where it is broken, or another thread's alone.
    pub(crate) fn taken_over(self) -> Option<Self> {
        match self {
            Self::Tcp(stream) => {
                let stream = TcpStream::from_std(stream.into_std().ok()?).ok()?;
                Some(Self::Tcp(stream))
            }
            Self::Pipe(_) => None,
        }
    }
}
