//! TLS over a socket, from its handshake to its end.
//!
//! A connection that waits holds no plaintext and no memory of the thread's: what is received goes through memory that is lent for the
//! moment. What is encrypted goes to the kernel in one call with whatever was said by TLS itself meanwhile, and what the kernel does not
//! take is written before anything else is encrypted, so that it stays bounded.

mod handshake_error;
mod hello;

use std::cell::RefCell;
use std::fmt;
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::{ClientConfig, ClientConnection, Connection, ProtocolVersion};
use tokio::net::TcpStream;

use super::tcp;
use crate::buffers::{Buffer, Buffers};
use crate::tls::Calling;

pub(crate) use handshake_error::HandshakeError;
pub(crate) use hello::Greeting;

/// Where there is room for less, it is received as TLS asks for it: a record is decrypted as a whole.
const RECEIVED_MIN: usize = 4 << 10;

/// What is received at once during a handshake. More would be data, of which TLS takes no more than a record in advance.
const HANDSHAKE_READS: usize = 16 << 10;

/// One end of a connection.
pub(crate) struct Tls {
    /// Absent only in one that has been taken over.
    socket: Option<TcpStream>,
    /// What a server was called with.
    called: Option<Arc<ClientConfig>>,
    session: RefCell<Session>,
}

struct Session {
    connection: Connection,
    /// The kernel has not taken all that was encrypted.
    blocked: bool,
    /// It broke off, and why: what had been decrypted before can still be read.
    failed: Option<rustls::Error>,
    /// It is not to look as if it ended in order.
    resets: bool,
    /// Its end has been said.
    ended: bool,
}

/// Where TLS reads from.
struct Source<T>(T);

/// Where TLS writes to.
struct Sink<'a>(&'a TcpStream);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// A connection whose handshake is still to be made, or to be gone on with.
    pub(crate) fn new(socket: TcpStream, connection: Connection) -> Self {
        Self {
            socket: Some(socket),
            called: None,
            session: RefCell::new(Session {
                connection,
                blocked: false,
                failed: None,
                resets: false,
                ended: false,
            }),
        }
    }

    /// A connection to a server.
    pub(crate) fn call(
        socket: TcpStream,
        calling: &Calling,
        server: SocketAddr,
    ) -> Result<Self, rustls::Error> {
        let config = calling.config();
        let connection = ClientConnection::new(Arc::clone(config), calling.name_of(server))?;
        let mut tls = Self::new(socket, Connection::Client(connection));
        tls.called = Some(Arc::clone(config));
        Ok(tls)
    }

    /// As [`super::Stream::is_called_by`].
    pub(crate) fn is_called_by(&self, calling: &Calling) -> bool {
        let called = self.called.as_ref();
        called.is_some_and(|called| Arc::ptr_eq(called, calling.config()))
    }

    fn socket(&self) -> &TcpStream {
        let socket = self.socket.as_ref();
        socket.expect("nobody has what has been taken over")
    }

    /// Looks at what the handshake has brought.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Connection) -> T) -> T {
        look(&self.session.borrow().connection)
    }

    /// Takes in what was received of it elsewhere.
    pub(crate) fn take_in(&self, records: &[u8]) -> Result<(), rustls::Error> {
        let mut session = self.session.borrow_mut();
        session.decrypt(self.socket(), records, |_| {})
    }

    /// Makes the handshake. The last flight of it goes out with the first data, where the other side does not wait for it.
    pub(crate) fn poll_handshake(
        &self,
        context: &mut Context<'_>,
        buffers: &Buffers,
    ) -> Poll<Result<(), HandshakeError>> {
        let mut session = self.session.borrow_mut();
        let socket = self.socket();
        loop {
            if session.connection.is_handshaking() || session.is_awaited() {
                session.send(socket)?;
                ready!(session.poll_flush(socket, context))?;
            }
            if !session.connection.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(socket.poll_read_ready(context))?;
            buffers.lend(|room| {
                let room = &mut room[..HANDSHAKE_READS];
                match tcp::try_receive(socket, room) {
                    Ok(0) => Err(HandshakeError::Closed),
                    Ok(count) => {
                        session.decrypt(socket, &room[..count], |_| {})?;
                        Ok(())
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
                    Err(error) => Err(error.into()),
                }
            })?;
        }
    }

    /// As [`super::Stream::poll_read_ready`].
    pub(crate) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.session.borrow_mut().has_something() {
            return Poll::Ready(Ok(()));
        }
        self.socket().poll_read_ready(context)
    }

    /// As [`super::Stream::poll_fill`].
    pub(crate) fn poll_fill(
        &self,
        context: &mut Context<'_>,
        buffer: &mut Buffer,
        buffers: &Buffers,
    ) -> Poll<io::Result<usize>> {
        let mut session = self.session.borrow_mut();
        let socket = self.socket();
        loop {
            let filled = session.fill(buffer, buffers);
            if !tcp::would_block(&filled) {
                return Poll::Ready(filled);
            }
            ready!(socket.poll_read_ready(context))?;
            let received = session.receive_into(socket, buffer, buffers);
            if !tcp::would_block(&received) && !matches!(received, Ok(0)) {
                return Poll::Ready(received);
            }
        }
    }

    /// As [`super::Stream::try_read`].
    pub(crate) fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        let receive = |piece: &mut [u8]| tcp::try_receive(self.socket(), piece);
        self.session.borrow_mut().read(self.socket(), room, receive)
    }

    /// As [`super::Stream::has_news`]. What TLS says for itself is none.
    pub(crate) fn has_news(&self) -> bool {
        let receive = |piece: &mut [u8]| tcp::receive(self.socket(), piece);
        let mut session = self.session.borrow_mut();
        // Nothing was asked, so that a byte of an answer is a reason not to read on.
        !tcp::would_block(&session.read(self.socket(), &mut [0], receive))
    }

    /// As [`super::Stream::poll_write`].
    pub(crate) fn poll_write(
        &self,
        context: &mut Context<'_>,
        parts: [&[u8]; 3],
    ) -> Poll<io::Result<usize>> {
        let mut session = self.session.borrow_mut();
        ready!(session.poll_flush(self.socket(), context))?;
        let mut writer = session.connection.writer();
        let taken = match parts {
            [one, [], []] | [[], one, []] | [[], [], one] => writer.write(one),
            _ => writer.write_vectored(&parts.map(IoSlice::new)),
        }?;
        match session.send_some(self.socket()) {
            // Nobody has got anything of it.
            (0, Err(error)) => Poll::Ready(Err(error)),
            // What was written counts, and what is wrong is found at the next look.
            (_, sent) => {
                session.blocked |= sent.is_err();
                Poll::Ready(Ok(taken))
            }
        }
    }

    /// As [`super::Stream::poll_flush`].
    pub(crate) fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut session = self.session.borrow_mut();
        session.poll_flush(self.socket(), context)
    }

    /// As [`super::Stream::end_writing`]: the other side is told by TLS first (RFC 8446, 6.1).
    pub(crate) fn end_writing(&self) -> io::Result<()> {
        self.session.borrow_mut().say_end(self.socket());
        tcp::end_writing(self.socket())
    }

    /// As [`super::Stream::reset_on_close`]. Without a word of its end it looks cut off, whatever the socket does.
    pub(crate) fn reset_on_close(&self, resets: bool) {
        self.session.borrow_mut().resets = resets;
        tcp::reset_on_close(self.socket(), resets);
    }

    /// As [`super::Stream::taken_over`].
    pub(crate) fn taken_over(mut self: Box<Self>) -> Option<Box<Self>> {
        self.socket = Some(tcp::taken_over(self.socket.take()?)?);
        Some(self)
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        if let Some(socket) = &self.socket {
            self.session.get_mut().say_end(socket);
        }
    }
}

impl Session {
    /// Whether the other side goes on only once it has the last flight of the handshake.
    fn is_awaited(&self) -> bool {
        let version = self.connection.protocol_version();
        let is_server = matches!(self.connection, Connection::Server(_));
        is_server && version == Some(ProtocolVersion::TLSv1_2)
    }

    /// Whether reading brings something without asking the socket.
    fn has_something(&mut self) -> bool {
        self.failed.is_some() || !tcp::would_block(&self.connection.reader().fill_buf())
    }

    /// What reading brings without asking the socket: data, the end, or a failure. `WouldBlock` where there is nothing.
    fn take<T>(&mut self, take: impl FnOnce(&mut dyn Read) -> io::Result<T>) -> io::Result<T> {
        let result = take(&mut self.connection.reader());
        match &self.failed {
            Some(failure) if tcp::would_block(&result) => {
                Err(io::Error::new(io::ErrorKind::InvalidData, failure.clone()))
            }
            _ => result,
        }
    }

    /// The same into the room of `buffer`, which takes no memory before there is something.
    fn fill(&mut self, buffer: &mut Buffer, buffers: &Buffers) -> io::Result<usize> {
        if !self.has_something() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.take(|reader| reader.read(buffer.room(buffers)));
        let count = self.judge_end(count)?;
        buffer.fill(count);
        Ok(count)
    }

    /// A client may end its side without a word of TLS, as many do: its requests say by themselves whether they are whole. Of a server
    /// it may be an attacker who ends what has no length (RFC 9112, 9.8).
    fn judge_end(&self, read: io::Result<usize>) -> io::Result<usize> {
        let is_client = matches!(self.connection, Connection::Server(_));
        match read {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && is_client => Ok(0),
            read => read,
        }
    }

    /// Reads a little, by `receive`, which asks the socket.
    fn read(
        &mut self,
        socket: &TcpStream,
        room: &mut [u8],
        receive: impl Fn(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            let read = self.take(|reader| reader.read(room));
            let read = self.judge_end(read);
            if !tcp::would_block(&read) {
                return read;
            }
            self.pull(socket, &receive)?;
        }
    }

    /// Receives once, by `receive`, and decrypts. Nothing decrypted may be waiting: TLS takes in nothing more where that is longer than a
    /// record, and by itself it receives no more than makes one full record and some of the next.
    fn pull(
        &mut self,
        socket: &TcpStream,
        receive: impl Fn(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        self.connection.read_tls(&mut Source(receive))?;
        // What fails is found at the next look, behind what was decrypted before.
        let _ = self.process(socket);
        Ok(())
    }

    /// Receives once, as much as there is room for, and decrypts it into `buffer`. Says how much that was: it may be nothing.
    fn receive_into(
        &mut self,
        socket: &TcpStream,
        buffer: &mut Buffer,
        buffers: &Buffers,
    ) -> io::Result<usize> {
        let room = buffer.room(buffers).len();
        if room < RECEIVED_MIN {
            self.pull(socket, |piece| tcp::try_receive(socket, piece))?;
            return Ok(self.drain_into(buffer, buffers));
        }
        buffers.lend(|piece| {
            // No more than there is room for: besides that only what was there of one record can be left over.
            let most = room.min(piece.len());
            let count = tcp::try_receive(socket, &mut piece[..most])?;
            let mut filled = 0;
            let drained = |session: &mut Self| filled += session.drain_into(buffer, buffers);
            let _ = self.take_in(socket, &piece[..count], drained);
            Ok(filled)
        })
    }

    /// Passes on what was decrypted, as far as there is room, and says how much that was.
    fn drain_into(&mut self, buffer: &mut Buffer, buffers: &Buffers) -> usize {
        if buffer.is_full() || !self.has_something() {
            return 0;
        }
        let read = self.take(|reader| reader.read(buffer.room(buffers)));
        let count = read.unwrap_or(0);
        buffer.fill(count);
        count
    }

    /// Takes in what was received; nothing is the end.
    fn take_in(
        &mut self,
        socket: &TcpStream,
        records: &[u8],
        decrypted: impl FnMut(&mut Self),
    ) -> Result<(), rustls::Error> {
        if records.is_empty() {
            // It cannot fail to read nothing.
            let _ = self.connection.read_tls(&mut io::empty());
            return Ok(());
        }
        self.decrypt(socket, records, decrypted)
    }

    /// Takes in records, and calls `decrypted` as often as data may have come of them.
    fn decrypt(
        &mut self,
        socket: &TcpStream,
        mut records: &[u8],
        mut decrypted: impl FnMut(&mut Self),
    ) -> Result<(), rustls::Error> {
        while !records.is_empty() {
            let taken = self.connection.read_tls(&mut records);
            // Behind its end the other side says nothing.
            if matches!(taken, Ok(0)) {
                break;
            }
            match taken {
                Ok(_) => self.process(socket)?,
                Err(error) => {
                    let error = rustls::Error::General(error.to_string());
                    return Err(self.fail(socket, error));
                }
            }
            decrypted(self);
        }
        Ok(())
    }

    /// Decrypts what was taken in.
    fn process(&mut self, socket: &TcpStream) -> Result<(), rustls::Error> {
        let processed = self.connection.process_new_packets();
        processed
            .map(drop)
            .map_err(|error| self.fail(socket, error))
    }

    /// Breaks off.
    fn fail(&mut self, socket: &TcpStream, error: rustls::Error) -> rustls::Error {
        self.failed = Some(error.clone());
        // The other side is told why, if it takes that now.
        let _ = self.send(socket);
        error
    }

    /// Writes what is encrypted, as far as the kernel takes it.
    fn send(&mut self, socket: &TcpStream) -> io::Result<()> {
        self.send_some(socket).1
    }

    /// The same; says too how much was written, also where it failed in the end.
    fn send_some(&mut self, socket: &TcpStream) -> (usize, io::Result<()>) {
        let mut sent = 0;
        self.blocked = false;
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Sink(socket)) {
                Ok(0) => return (sent, Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    break;
                }
                Err(error) => return (sent, Err(error)),
            }
        }
        (sent, Ok(()))
    }

    /// Waits until the kernel has taken what it did not take at once.
    fn poll_flush(
        &mut self,
        socket: &TcpStream,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.blocked {
            ready!(socket.poll_write_ready(context))?;
            self.send(socket)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Says that nothing more will be written, once, and if the kernel takes it at once.
    fn say_end(&mut self, socket: &TcpStream) {
        if self.ended || self.resets || self.failed.is_some() {
            return;
        }
        self.ended = true;
        self.connection.send_close_notify();
        let _ = self.send(socket);
    }
}

impl<T: Fn(&mut [u8]) -> io::Result<usize>> Read for Source<T> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let Self(receive) = self;
        receive(piece)
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        tcp::try_send(self.0, piece)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match pieces {
            [one] => tcp::try_send(self.0, one),
            _ => self.0.try_write_vectored(pieces),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
