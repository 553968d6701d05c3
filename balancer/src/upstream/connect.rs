//! A new connection to a server, in time.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use tokio::net::TcpStream;

use policy::Place;

use super::Connection;
use crate::exhaustion::is_exhaustion;
use crate::stream::Stream;
use crate::timers::Timer;

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

/// Connects before the timer's deadline. The place is given back where that fails, after the socket was closed.
pub(crate) async fn connect(
    address: SocketAddr,
    timer: &Timer,
    place: Place,
) -> Result<Connection, ConnectError> {
    let stream = dial(address, timer).await?;
    Ok(Connection { stream, place })
}

/// The same without a place.
pub(super) async fn dial(address: SocketAddr, timer: &Timer) -> Result<Stream, ConnectError> {
    let connecting = async {
        let connected = TcpStream::connect(address).await;
        connected.map_err(|error| blame(&error))
    };
    let stream = in_time(connecting, timer).await?;
    // Without it the kernel may hold back the end of a request; where it fails, that is all that happens.
    let _ = stream.set_nodelay(true);
    Ok(Stream::Tcp(stream))
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
