//! What TLS has of a connection: what was decrypted and not read, what was encrypted and not sent, and how it ended.

use std::io::{self, BufRead, IoSlice, Read, Write};
use std::task::{Context, Poll, ready};

use rustls::{Connection, ProtocolVersion};
use tokio::net::TcpStream;

use super::tcp;
use crate::buffers::{Buffer, Buffers};

/// Where there is room for less, it is received as TLS asks for it: a record is decrypted as a whole.
const RECEIVED_MIN: usize = 4 << 10;

pub(super) struct Session {
    pub(super) connection: Connection,
    /// The kernel has not taken all that was encrypted.
    blocked: bool,
    /// It broke off, and why: what had been decrypted before can still be read.
    failed: Option<rustls::Error>,
    /// It is not to look as if it ended in order.
    pub(super) resets: bool,
    /// Its end has been said.
    ended: bool,
}

/// Where TLS reads from.
struct Source<T>(T);

/// Where TLS writes to.
pub(super) struct Sink<'a>(pub(super) &'a TcpStream);

impl Session {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            blocked: false,
            failed: None,
            resets: false,
            ended: false,
        }
    }

    /// Whether the other side goes on only once it has the last flight of the handshake.
    pub(super) fn is_awaited(&self) -> bool {
        let version = self.connection.protocol_version();
        let is_server = matches!(self.connection, Connection::Server(_));
        is_server && version == Some(ProtocolVersion::TLSv1_2)
    }

    /// Whether reading brings something without asking the socket.
    pub(super) fn has_something(&mut self) -> bool {
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
    pub(super) fn fill(&mut self, buffer: &mut Buffer, buffers: &Buffers) -> io::Result<usize> {
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
    pub(super) fn read(
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
    pub(super) fn receive_into(
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
    pub(super) fn decrypt(
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

    /// Encrypts as much as goes of three parts in a row, and writes what the kernel takes of it.
    pub(super) fn write(&mut self, socket: &TcpStream, parts: [&[u8]; 3]) -> io::Result<usize> {
        let mut writer = self.connection.writer();
        let taken = match parts {
            [one, [], []] | [[], one, []] | [[], [], one] => writer.write(one),
            _ => writer.write_vectored(&parts.map(IoSlice::new)),
        }?;
        match self.send_some(socket) {
            // Nobody has got anything of it.
            (0, Err(error)) => Err(error),
            // What was written counts, and what is wrong is found at the next look.
            (_, sent) => {
                self.blocked |= sent.is_err();
                Ok(taken)
            }
        }
    }

    /// Writes what is encrypted, as far as the kernel takes it.
    pub(super) fn send(&mut self, socket: &TcpStream) -> io::Result<()> {
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
    pub(super) fn poll_flush(
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
    pub(super) fn say_end(&mut self, socket: &TcpStream) {
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
