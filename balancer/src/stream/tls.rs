//! TLS over a socket, from its handshake to its end.
//!
//! A connection that waits holds no plaintext and no memory of the thread's: what is received goes through memory that is lent for the
//! moment. What is encrypted goes to the kernel in one call with whatever was said by TLS itself meanwhile, and what the kernel does not
//! take is written before anything else is encrypted, so that it stays bounded.

mod handshake_error;
mod hello;
mod session;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use probe::Calling;
use rustls::{ClientConnection, Connection};
use tokio::net::TcpStream;

use super::tcp;
use crate::buffers::{Buffer, Buffers};

pub(crate) use handshake_error::HandshakeError;
pub(crate) use hello::Greeting;

use session::Session;

/// What is received at once during a handshake. More would be data, of which TLS takes no more than a record in advance.
const HANDSHAKE_READS: usize = 16 << 10;

/// One end of a connection.
pub(crate) struct Tls {
    /// Absent only in one that has been taken over.
    socket: Option<TcpStream>,
    /// What a server was called with.
    called: Option<Calling>,
    session: RefCell<Session>,
}

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
            session: RefCell::new(Session::new(connection)),
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
        tls.called = Some(calling.clone());
        Ok(tls)
    }

    /// As [`super::Stream::is_called_by`].
    pub(crate) fn is_called_by(&self, calling: &Calling) -> bool {
        let called = self.called.as_ref();
        called.is_some_and(|called| called.is_same(calling))
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
        Poll::Ready(session.write(self.socket(), parts))
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

#[cfg(test)]
mod tests;
