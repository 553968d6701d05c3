//! Reading and writing sockets without waiting.
//!
//! A single piece is read and written by `rustix`, not through libc: there each call of a process with several threads is a point at which a
//! thread may be cancelled, which costs a few hundredths of all that a request takes.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::buffers::{Buffer, Buffers};

pub(super) fn would_block<T>(result: &io::Result<T>) -> bool {
    result
        .as_ref()
        .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Reads what is there into the room of `buffer`, which is not full, and says how much; zero at the end of the stream.
pub(super) fn poll_fill(
    stream: &TcpStream,
    context: &mut Context<'_>,
    buffer: &mut Buffer,
    buffers: &Buffers,
) -> Poll<io::Result<usize>> {
    loop {
        // No memory before there is something to read.
        ready!(stream.poll_read_ready(context))?;
        let result = try_receive(stream, buffer.room(buffers));
        if !would_block(&result) {
            let count = result?;
            buffer.fill(count);
            return Poll::Ready(Ok(count));
        }
    }
}

/// Reads what is there into a room that is not empty; fails with `WouldBlock` where that is nothing.
pub(super) fn try_receive(stream: &TcpStream, room: &mut [u8]) -> io::Result<usize> {
    let count = stream.try_io(Interest::READABLE, || receive(stream, room))?;
    if count < room.len() {
        note_empty(stream);
    }
    Ok(count)
}

/// The same, asking the kernel whatever the runtime knows.
pub(super) fn receive(stream: &TcpStream, room: &mut [u8]) -> io::Result<usize> {
    let read = rustix::net::recv(stream, room, RecvFlags::empty());
    read.map(|(count, _)| count).map_err(Errno::into)
}

/// Notes that a read took all there was, so that the next one waits for news instead of asking the kernel in vain. Nothing can have been
/// heard since: news comes to this thread only, between two turns of its loop.
fn note_empty(stream: &TcpStream) {
    let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
    // It fails as it is told to.
    let _ = stream.try_io(Interest::READABLE, nothing);
}

/// Writes as much as goes of three parts in a row, of which at least one is not empty.
pub(super) fn poll_write(
    stream: &TcpStream,
    context: &mut Context<'_>,
    parts: [&[u8]; 3],
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(context))?;
        let result = match parts {
            [one, [], []] | [[], one, []] | [[], [], one] => try_send(stream, one),
            _ => stream.try_write_vectored(&parts.map(IoSlice::new)),
        };
        if !would_block(&result) {
            return Poll::Ready(match result {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                other => other,
            });
        }
    }
}

/// Writes as much of one piece as goes; fails with `WouldBlock` where that is nothing.
pub(super) fn try_send(stream: &TcpStream, piece: &[u8]) -> io::Result<usize> {
    stream.try_io(Interest::WRITABLE, || {
        rustix::net::send(stream, piece, SendFlags::NOSIGNAL).map_err(Errno::into)
    })
}

/// Says that nothing more will be written.
pub(super) fn end_writing(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).shutdown(Shutdown::Write)
}

/// Whether the connection closes by a reset, whoever closes it: this thread, too, when it ends in the middle.
pub(super) fn reset_on_close(stream: &TcpStream, resets: bool) {
    // Where it fails, the other side sees an ordinary close.
    let _ = SockRef::from(stream).set_linger(resets.then_some(Duration::ZERO));
}

/// The same, watched by the runtime of the thread that calls this from now on; nothing where it is broken.
pub(super) fn taken_over(stream: TcpStream) -> Option<TcpStream> {
    TcpStream::from_std(stream.into_std().ok()?).ok()
}

/// Whether the kernel has anything to say of the connection.
pub(super) fn has_news(stream: &TcpStream) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    let peeked = SockRef::from(stream).peek(&mut byte);
    !would_block(&peeked)
}
