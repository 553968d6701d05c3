//! A new connection to a server, in time.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use tokio::net::TcpStream;

use policy::Place;
use probe::Calling;

use super::Connection;
use crate::buffers::Buffers;
use crate::exhaustion::is_exhaustion;
use crate::metrics::Counters;
use crate::stream::{HandshakeError, Stream};
use crate::timers::Timer;
use crate::tls::call;

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectError {
    Refused,
    /// There is no file or memory left for it here.
    NoFile,
    /// This host has no port left towards that address.
    NoPort,
    /// The timer's deadline came.
    TimedOut,
}

/// Which server is called, and what with.
#[derive(Clone, Copy)]
pub(crate) struct Dial<'a> {
    pub(crate) address: SocketAddr,
    /// Nothing where it is called without TLS.
    pub(crate) calling: Option<&'a Calling>,
    pub(crate) buffers: &'a Buffers,
    pub(crate) counters: &'a Counters,
}

/// Connects before the timer's deadline. The place is given back where that fails, after the socket was closed.
pub(crate) async fn connect(
    server: Dial<'_>,
    timer: &Timer,
    place: Place,
) -> Result<Connection, ConnectError> {
    let stream = dial(server, timer).await?;
    Ok(Connection { stream, place })
}

/// The same without a place.
pub(super) async fn dial(server: Dial<'_>, timer: &Timer) -> Result<Stream, ConnectError> {
    let connecting = async {
        let connected = TcpStream::connect(server.address).await;
        connected.map_err(|error| blame(&error))
    };
    let socket = in_time(connecting, timer).await?;
    // Without it the kernel may hold back the end of a request; where it fails, that is all that happens.
    let _ = socket.set_nodelay(true);
    match server.calling {
        None => Ok(Stream::Tcp(socket)),
        // Boxed, so that who calls without it does not hold its memory.
        Some(calling) => Box::pin(secure(server, calling, socket, timer)).await,
    }
}

/// Makes the handshake of TLS. A server that cannot prove who it is is as good as none.
async fn secure(
    server: Dial<'_>,
    calling: &Calling,
    socket: TcpStream,
    timer: &Timer,
) -> Result<Stream, ConnectError> {
    match call(calling, server.address, socket, timer, server.buffers).await {
        Ok(tls) => {
            server.counters.call_made(tls.look(|made| made.into()));
            Ok(Stream::Tls(Box::new(tls)))
        }
        Err(error) => {
            server.counters.call_failed(error.kind());
            Err(match error {
                HandshakeError::TimedOut => ConnectError::TimedOut,
                _ => ConnectError::Refused,
            })
        }
    }
}

/// What comes before the timer's deadline, which is set already.
pub(super) async fn in_time<T>(
    coming: impl Future<Output = Result<T, ConnectError>>,
    timer: &Timer,
) -> Result<T, ConnectError> {
    let mut coming = pin!(coming);
    poll_fn(|context| {
        if let Poll::Ready(result) = coming.as_mut().poll(context) {
            return Poll::Ready(result);
        }
        timer
            .poll_expired(context)
            .map(|()| Err(ConnectError::TimedOut))
    })
    .await
}

fn blame(error: &io::Error) -> ConnectError {
    match error.kind() {
        _ if is_exhaustion(error) => ConnectError::NoFile,
        io::ErrorKind::AddrNotAvailable => ConnectError::NoPort,
        _ => ConnectError::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_not_blamed_for_what_is_missing_here() {
        for (code, error) in [
            (libc::EMFILE, ConnectError::NoFile),
            (libc::EADDRNOTAVAIL, ConnectError::NoPort),
            (libc::ECONNREFUSED, ConnectError::Refused),
            (libc::EHOSTUNREACH, ConnectError::Refused),
        ] {
            assert_eq!(blame(&io::Error::from_raw_os_error(code)), error, "{code}");
        }
    }
}
