//! A call to a server within TLS, on a connection that was just made, within its time.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::handshake::in_time;
use crate::buffers::Buffers;
use crate::stream::{HandshakeError, Tls};
use crate::timers::Timer;

pub(crate) use probe::Calling;

/// Makes the handshake with a server before the timer's deadline. Its last flight goes out with the request.
pub(crate) async fn call(
    calling: &Calling,
    server: SocketAddr,
    socket: TcpStream,
    timer: &Timer,
    buffers: &Buffers,
) -> Result<Tls, HandshakeError> {
    let tls = Tls::call(socket, calling, server)?;
    in_time(timer, |context| tls.poll_handshake(context, buffers)).await?;
    Ok(tls)
}
