//! A connection within a thread: two ends, each of which reads what the other writes. It holds back a writer whose reader is slow, ends
//! each direction by itself, and breaks like a connection that is reset.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::buffers::{Buffer, Buffers};

/// Bytes that may be under way in each direction.
const UNDER_WAY_MAX: usize = 64 << 10;

/// The same in a direction that is narrow.
const NARROW_MAX: usize = 16 << 10;

/// One end.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// Both directions.
    lanes: Rc<[RefCell<Lane>; 2]>,
    /// Which of them this end reads.
    incoming: usize,
    resets: Cell<bool>,
}

/// One direction.
#[derive(Debug, Default)]
struct Lane {
    /// What was written; what of it was read already lies before `read`.
    bytes: Vec<u8>,
    read: usize,
    state: State,
    narrow: bool,
    /// Nobody reads any more.
    unread: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Whether more can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Open,
    /// The writer has said that it is at its end.
    Ended,
    /// The writer went away in the middle, and what that is called.
    Broken(io::ErrorKind),
}

/// A new connection.
pub(crate) fn pipe() -> (Pipe, Pipe) {
    let lanes = Rc::<[RefCell<Lane>; 2]>::default();
    let end = |incoming| Pipe {
        lanes: Rc::clone(&lanes),
        incoming,
        resets: Cell::new(false),
    };
    (end(0), end(1))
}

impl Pipe {
    fn incoming(&self) -> &RefCell<Lane> {
        &self.lanes[self.incoming]
    }

    fn outgoing(&self) -> &RefCell<Lane> {
        &self.lanes[1 - self.incoming]
    }

    /// Writes the first bytes, in the memory that they are in, and however many they are.
    pub(crate) fn begin_with(&self, bytes: Vec<u8>) {
        let mut lane = self.outgoing().borrow_mut();
        debug_assert!(lane.bytes.is_empty(), "nothing was written before");
        lane.bytes = bytes;
        wake(&mut lane.reader);
    }

    /// As [`super::Stream::poll_read_ready`].
    pub(crate) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut lane = self.incoming().borrow_mut();
        if lane.has_news() {
            return Poll::Ready(Ok(()));
        }
        note(&mut lane.reader, context);
        Poll::Pending
    }

    /// As [`super::Stream::poll_fill`].
    pub(crate) fn poll_fill(
        &self,
        context: &mut Context<'_>,
        buffer: &mut Buffer,
        buffers: &Buffers,
    ) -> Poll<io::Result<usize>> {
        if self.poll_read_ready(context).is_pending() {
            return Poll::Pending;
        }
        let result = self.try_read(buffer.room(buffers));
        if let Ok(count) = result {
            buffer.fill(count);
        }
        Poll::Ready(result)
    }

    /// As [`super::Stream::try_read`].
    pub(crate) fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        self.incoming().borrow_mut().read(room)
    }

    /// Takes all that is there, in the memory that it is in; nothing at the end of the stream.
    pub(crate) fn poll_take(&self, context: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        let mut lane = self.incoming().borrow_mut();
        if lane.has_news() {
            return Poll::Ready(lane.take());
        }
        note(&mut lane.reader, context);
        Poll::Pending
    }

    /// Whether the other end may write little at a time alone. What it has written stays.
    pub(crate) fn narrow(&self, narrow: bool) {
        let mut lane = self.incoming().borrow_mut();
        if std::mem::replace(&mut lane.narrow, narrow) && !narrow {
            wake(&mut lane.writer);
        }
    }

    /// As [`super::Stream::poll_write`].
    pub(crate) fn poll_write(
        &self,
        context: &mut Context<'_>,
        parts: [&[u8]; 3],
    ) -> Poll<io::Result<usize>> {
        let mut lane = self.outgoing().borrow_mut();
        match lane.write(parts) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                note(&mut lane.writer, context);
                Poll::Pending
            }
            result => Poll::Ready(result),
        }
    }

    /// Waits until the other end reads no more.
    pub(crate) fn poll_unread(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut lane = self.outgoing().borrow_mut();
        if lane.unread {
            return Poll::Ready(());
        }
        note(&mut lane.writer, context);
        Poll::Pending
    }

    /// As [`super::Stream::end_writing`].
    pub(crate) fn end_writing(&self) -> io::Result<()> {
        self.outgoing().borrow_mut().end(State::Ended);
        Ok(())
    }

    /// Ends writing in the middle: who reads finds this error behind what was written.
    pub(crate) fn break_off(&self, kind: io::ErrorKind) {
        self.outgoing().borrow_mut().end(State::Broken(kind));
    }

    /// As [`super::Stream::reset_on_close`].
    pub(crate) fn reset_on_close(&self, resets: bool) {
        self.resets.set(resets);
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let end = if self.resets.get() {
            State::Broken(io::ErrorKind::ConnectionReset)
        } else {
            State::Ended
        };
        self.outgoing().borrow_mut().end(end);
        self.incoming().borrow_mut().abandon();
    }
}

impl Lane {
    fn unread(&self) -> usize {
        self.bytes.len() - self.read
    }

    fn has_news(&self) -> bool {
        self.unread() > 0 || self.state != State::Open
    }

    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let count = self.unread().min(room.len());
        if count == 0 {
            return self.end_of_input().map(|()| 0);
        }
        room[..count].copy_from_slice(&self.bytes[self.read..][..count]);
        self.read += count;
        if self.unread() == 0 {
            // One that rests holds no memory.
            self.bytes = Vec::new();
            self.read = 0;
        }
        wake(&mut self.writer);
        Ok(count)
    }

    fn take(&mut self) -> io::Result<Vec<u8>> {
        if self.unread() == 0 {
            return self.end_of_input().map(|()| Vec::new());
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.drain(..std::mem::take(&mut self.read));
        wake(&mut self.writer);
        Ok(bytes)
    }

    /// What it means that there is nothing to read.
    fn end_of_input(&self) -> io::Result<()> {
        match self.state {
            State::Open => Err(io::ErrorKind::WouldBlock.into()),
            State::Ended => Ok(()),
            State::Broken(kind) => Err(kind.into()),
        }
    }

    fn write(&mut self, parts: [&[u8]; 3]) -> io::Result<usize> {
        if self.unread || self.state != State::Open {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let most = if self.narrow {
            NARROW_MAX
        } else {
            UNDER_WAY_MAX
        };
        let mut left = most.saturating_sub(self.unread());
        if left == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.read > 0 {
            self.bytes.drain(..self.read);
            self.read = 0;
        }
        let before = self.bytes.len();
        for part in parts {
            let fits = &part[..part.len().min(left)];
            self.bytes.extend_from_slice(fits);
            left -= fits.len();
        }
        wake(&mut self.reader);
        Ok(self.bytes.len() - before)
    }

    fn end(&mut self, state: State) {
        // What has ended in order stays so.
        if self.state == State::Open {
            self.state = state;
            wake(&mut self.reader);
        }
    }

    fn abandon(&mut self) {
        self.unread = true;
        self.bytes = Vec::new();
        self.read = 0;
        wake(&mut self.writer);
    }
}

/// Remembers whom to wake.
fn note(waker: &mut Option<Waker>, context: &Context<'_>) {
    match waker {
        Some(known) => known.clone_from(context.waker()),
        None => *waker = Some(context.waker().clone()),
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn write(pipe: &Pipe, context: &mut Context<'_>, text: &[u8]) -> Poll<io::Result<usize>> {
        pipe.poll_write(context, [text, b"", b""])
    }

    fn read(pipe: &Pipe) -> Result<String, io::ErrorKind> {
        let mut room = [0; 64];
        let count = pipe.try_read(&mut room).map_err(|error| error.kind())?;
        Ok(String::from_utf8_lossy(&room[..count]).into_owned())
    }

    #[test]
    fn each_end_reads_what_the_other_writes() {
        let mut context = Context::from_waker(Waker::noop());
        let (client, server) = pipe();
        assert_eq!(read(&server), Err(io::ErrorKind::WouldBlock));
        let written = client.poll_write(&mut context, [b"one", b" two", b" three"]);
        assert!(matches!(written, Poll::Ready(Ok(13))));
        assert_eq!(read(&server).as_deref(), Ok("one two three"));
        assert!(matches!(
            write(&server, &mut context, b"four"),
            Poll::Ready(Ok(4))
        ));
        assert_eq!(read(&client).as_deref(), Ok("four"));
    }

    #[test]
    fn all_that_is_there_can_be_taken_at_once() {
        let mut context = Context::from_waker(Waker::noop());
        let (client, server) = pipe();
        assert!(server.poll_take(&mut context).is_pending());
        assert!(write(&client, &mut context, b"one two").is_ready());
        assert!(matches!(server.try_read(&mut [0; 4]), Ok(4)));
        let taken = server.poll_take(&mut context);
        assert!(matches!(taken, Poll::Ready(Ok(bytes)) if bytes == b"two"));
        client.reset_on_close(true);
        drop(client);
        assert!(matches!(
            server.poll_take(&mut context),
            Poll::Ready(Err(_))
        ));
    }

    #[test]
    fn what_it_begins_with_may_be_longer_than_what_follows() {
        let mut context = Context::from_waker(Waker::noop());
        let (client, server) = pipe();
        let much = vec![b'x'; UNDER_WAY_MAX + 1];
        client.begin_with(much.clone());
        assert!(write(&client, &mut context, b"more").is_pending());
        let taken = server.poll_take(&mut context);
        assert!(matches!(taken, Poll::Ready(Ok(bytes)) if bytes == much));
        assert!(write(&client, &mut context, b"more").is_ready());
    }

    #[test]
    fn a_direction_ends_by_itself() {
        let mut context = Context::from_waker(Waker::noop());
        let (client, server) = pipe();
        assert!(write(&client, &mut context, b"last").is_ready());
        client.end_writing().unwrap();
        assert_eq!(read(&server).as_deref(), Ok("last"));
        assert_eq!(read(&server).as_deref(), Ok(""));
        assert!(write(&server, &mut context, b"answer").is_ready());
        assert_eq!(read(&client).as_deref(), Ok("answer"));
    }

    #[test]
    fn one_that_is_dropped_ends_in_order_or_as_it_was_told() {
        let (client, server) = pipe();
        drop(client);
        assert_eq!(read(&server).as_deref(), Ok(""));
        let (client, server) = pipe();
        client.reset_on_close(true);
        drop(client);
        assert_eq!(read(&server), Err(io::ErrorKind::ConnectionReset));
        let (client, server) = pipe();
        client.break_off(io::ErrorKind::ConnectionRefused);
        drop(client);
        assert_eq!(read(&server), Err(io::ErrorKind::ConnectionRefused));
    }

    #[test]
    fn a_narrow_direction_takes_little() {
        let woken = Arc::new(Woken::default());
        let waker = Arc::clone(&woken).into();
        let mut context = Context::from_waker(&waker);
        let (client, server) = pipe();
        let much = vec![b'x'; UNDER_WAY_MAX];
        server.narrow(true);
        let written = write(&client, &mut context, &much);
        assert!(matches!(written, Poll::Ready(Ok(NARROW_MAX))));
        assert!(write(&client, &mut context, b"more").is_pending());
        server.narrow(false);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(matches!(
            write(&client, &mut context, &much),
            Poll::Ready(Ok(count)) if count == UNDER_WAY_MAX - NARROW_MAX
        ));
        // What is there already is more than would be taken now.
        server.narrow(true);
        assert!(write(&client, &mut context, b"more").is_pending());
        let taken = server.poll_take(&mut context);
        assert!(matches!(taken, Poll::Ready(Ok(bytes)) if bytes == much));
    }

    #[test]
    fn a_writer_waits_for_its_reader_and_hears_that_it_has_gone() {
        let woken = Arc::new(Woken::default());
        let waker = Arc::clone(&woken).into();
        let mut context = Context::from_waker(&waker);
        let (client, server) = pipe();
        let much = vec![b'x'; UNDER_WAY_MAX + 1];
        assert!(matches!(
            write(&client, &mut context, &much),
            Poll::Ready(Ok(UNDER_WAY_MAX))
        ));
        assert!(write(&client, &mut context, b"more").is_pending());
        assert!(client.poll_unread(&mut context).is_pending());
        assert_eq!(read(&server).map(|text| text.len()), Ok(64));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(matches!(
            write(&client, &mut context, &much),
            Poll::Ready(Ok(64))
        ));
        assert!(write(&client, &mut context, b"more").is_pending());
        drop(server);
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        assert!(matches!(
            write(&client, &mut context, b"more"),
            Poll::Ready(Err(_))
        ));
        assert!(client.poll_unread(&mut context).is_ready());
    }
}
