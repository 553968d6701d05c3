//! A new connection to a server, in time.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use tokio::net::TcpStream;

use crate::timers::Timer;

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectError {
    Refused,
    /// The timer's deadline came.
    TimedOut,
}

/// Connects before the timer's deadline.
pub(crate) async fn connect(address: SocketAddr, timer: &Timer) -> Result<TcpStream, ConnectError> {
    let mut connecting = pin!(TcpStream::connect(address));
    poll_fn(|context| {
        if let Poll::Ready(result) = connecting.as_mut().poll(context) {
            return Poll::Ready(result.map_err(|_| ConnectError::Refused));
        }
        timer
            .poll_expired(context)
            .map(|()| Err(ConnectError::TimedOut))
    })
    .await
    .inspect(|stream| {
        // Without it the kernel may hold back the end of a request; where it fails, that is all that happens.
        let _ = stream.set_nodelay(true);
    })
}
