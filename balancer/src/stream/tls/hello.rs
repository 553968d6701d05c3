//! A client's first word, by which it is known what it asks for.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::server::{Accepted, AcceptedAlert, Acceptor, ClientHello};
use rustls::{Connection, ServerConfig};
use tokio::net::TcpStream;

use super::session::Sink;
use super::{HANDSHAKE_READS, HandshakeError, Tls, tcp};
use crate::buffers::Buffers;

/// The alert `unrecognized_name` (RFC 6066, 3), fatal, before anything is encrypted.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// A client that says hello.
pub(crate) struct Greeting {
    socket: TcpStream,
    acceptor: Acceptor,
}

/// One that has.
pub(crate) struct Greeted {
    socket: TcpStream,
    accepted: Accepted,
    /// What was received behind it.
    ahead: Vec<u8>,
}

impl Greeting {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            acceptor: Acceptor::default(),
        }
    }

    /// Reads the hello; ready with what [`Greeting::greeted`] takes.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        buffers: &Buffers,
    ) -> Poll<Result<(Accepted, Vec<u8>), HandshakeError>> {
        loop {
            ready!(self.socket.poll_read_ready(context))?;
            let heard = buffers.lend(|room| self.hear(&mut room[..HANDSHAKE_READS]))?;
            if let Some(heard) = heard {
                return Poll::Ready(Ok(heard));
            }
        }
    }

    fn hear(&mut self, room: &mut [u8]) -> Result<Option<(Accepted, Vec<u8>)>, HandshakeError> {
        let received = tcp::try_receive(&self.socket, room);
        if tcp::would_block(&received) {
            return Ok(None);
        }
        let mut records = match received? {
            0 => return Err(HandshakeError::Closed),
            count => &room[..count],
        };
        while !records.is_empty() {
            self.acceptor.read_tls(&mut records)?;
            match self.acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => return Ok(Some((accepted, records.to_vec()))),
                Err((error, alert)) => return Err(refuse(&self.socket, error, alert)),
            }
        }
        Ok(None)
    }

    pub(crate) fn greeted(self, (accepted, ahead): (Accepted, Vec<u8>)) -> Greeted {
        Greeted {
            socket: self.socket,
            accepted,
            ahead,
        }
    }
}

impl Greeted {
    pub(crate) fn hello(&self) -> ClientHello<'_> {
        self.accepted.client_hello()
    }

    /// Goes on with the handshake under these settings.
    pub(crate) fn go_on(self, config: Arc<ServerConfig>) -> Result<Tls, HandshakeError> {
        let Self {
            socket,
            accepted,
            ahead,
        } = self;
        match accepted.into_connection(config) {
            Ok(connection) => {
                let tls = Tls::new(socket, Connection::Server(connection));
                tls.take_in(&ahead)?;
                Ok(tls)
            }
            Err((error, alert)) => Err(refuse(&socket, error, alert)),
        }
    }

    /// There is nothing under the name that it asks for.
    pub(crate) fn turn_away(self) -> HandshakeError {
        // It goes into a new socket, or the client sees an end without a reason.
        let _ = tcp::try_send(&self.socket, &UNRECOGNIZED_NAME);
        HandshakeError::NoCertificate
    }
}

/// Tells the client why, if it takes that now.
fn refuse(socket: &TcpStream, error: rustls::Error, mut alert: AcceptedAlert) -> HandshakeError {
    let _: io::Result<()> = alert.write_all(&mut Sink(socket));
    error.into()
}
