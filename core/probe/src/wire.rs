//! A connection to a server, within TLS or without.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use model::Protocol;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{Calling, Failure};

/// That TLS broke off behind the handshake, as an alert of the server's does. Whoever speaks on top passes on an error's kind and text and
/// nothing else, and no socket that is read or written fails by this kind.
pub(crate) const TLS_BROKE: io::ErrorKind = io::ErrorKind::ConnectionAborted;

/// One end of it.
#[derive(Debug)]
pub(crate) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// Connects, and makes the handshake of TLS where the server is called within it, to speak this protocol.
    pub(crate) async fn connect(
        address: SocketAddr,
        calling: Option<&Calling>,
        protocol: Protocol,
    ) -> Result<Self, Failure> {
        let socket = TcpStream::connect(address).await;
        let socket = socket.map_err(|error| Failure::connecting(&error))?;
        // A refusal only means that small packets may wait for each other.
        let _ = socket.set_nodelay(true);
        let Some(calling) = calling else {
            return Ok(Self::Plain(socket));
        };
        let connector = TlsConnector::from(Arc::clone(calling.config_of(protocol)));
        let tls = connector.connect(calling.name_of(address), socket).await;
        let tls = tls.map_err(|error| Failure::securing(&error))?;
        Ok(Self::Tls(Box::new(tls)))
    }
}

fn blame_tls(error: io::Error) -> io::Error {
    match error.get_ref() {
        Some(inner) if inner.is::<rustls::Error>() => io::Error::new(TLS_BROKE, inner.to_string()),
        _ => error,
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(context, buffer).map_err(blame_tls),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(context, bytes).map_err(blame_tls),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls).poll_flush(context).map_err(blame_tls),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}
