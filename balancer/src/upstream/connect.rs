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
    let stream = {
        let mut connecting = pin!(TcpStream::connect(address));
        wait(&mut connecting, timer).await?
    };
    // Without it the kernel may hold back the end of a request; where it fails, that is all that happens.
    let _ = stream.set_nodelay(true);
    Ok(Connection {
        stream: Stream::Tcp(stream),
        place,
    })
}

async fn wait(
    connecting: &mut (impl Future<Output = io::Result<TcpStream>> + Unpin),
    timer: &Timer,
) -> Result<TcpStream, ConnectError> {
    let mut connecting = pin!(connecting);
    poll_fn(|context| {
        if let Poll::Ready(result) = connecting.as_mut().poll(context) {
            return Poll::Ready(result.map_err(|error| blame(&error)));
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
