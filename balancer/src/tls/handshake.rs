//! A client's handshake, within its time, and what is known of the client afterwards.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::{CertificateError, Connection, HandshakeKind, ProtocolVersion};
use tokio::net::TcpStream;

use super::Serving;
use super::serving::H2;
use super::showcase::Shown;
use crate::buffers::Buffers;
use crate::stream::{Greeting, HandshakeError, Tls};
use crate::timers::Timer;

/// What a handshake has brought.
#[derive(Debug)]
pub(crate) struct Secured {
    /// What the client was shown, where it was asked for its own.
    shown: Option<Arc<Shown>>,
    /// The subject (RFC 4514) of the client's certificate, which was verified.
    subject: Option<Box<str>>,
    /// Whether HTTP/2 was agreed upon.
    speaks_http2: bool,
}

/// A handshake that was made, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Made {
    pub(crate) version: &'static str,
    pub(crate) resumed: bool,
}

/// Makes the handshake before the timer's deadline.
pub(crate) async fn handshake(
    serving: &Arc<Serving>,
    socket: TcpStream,
    timer: &Timer,
    buffers: &Buffers,
) -> Result<(Tls, Secured), HandshakeError> {
    let mut greeting = Greeting::new(socket);
    let heard = in_time(timer, |context| greeting.poll(context, buffers)).await?;
    let greeted = greeting.greeted(heard);
    let Some(shown) = serving.shown_to(&greeted.hello()).cloned() else {
        return Err(greeted.turn_away());
    };
    let shown = serving.asks.then_some(shown);
    let tls = greeted.go_on(Arc::clone(&serving.config))?;
    in_time(timer, |context| tls.poll_handshake(context, buffers)).await?;
    let subject = tls.look(subject)?;
    let secured = Secured {
        shown,
        subject,
        speaks_http2: tls.look(|connection| connection.alpn_protocol() == Some(H2)),
    };
    Ok((tls, secured))
}

/// Polls until it is done or the timer's deadline comes.
pub(crate) async fn in_time<T>(
    timer: &Timer,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<Result<T, HandshakeError>>,
) -> Result<T, HandshakeError> {
    poll_fn(|context| match poll(context) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending => {
            let expired = timer.poll_expired(context);
            expired.map(|()| Err(HandshakeError::TimedOut))
        }
    })
    .await
}

impl Secured {
    pub(crate) fn speaks_http2(&self) -> bool {
        self.speaks_http2
    }

    /// The subject of the client's certificate, if it has shown one.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Whether a host may be asked for on this connection (RFC 9110, 15.5.20). Where clients need a certificate, what they have proved
    /// was proved to one host, and counts for those that share its certificate.
    pub(crate) fn is_for(&self, authority: &[u8]) -> bool {
        let shown = self.shown.as_ref();
        shown.is_none_or(|shown| shown.names.cover(authority))
    }
}

/// The subject of the client's certificate, if it has shown one.
fn subject(connection: &Connection) -> Result<Option<Box<str>>, HandshakeError> {
    let own = connection.peer_certificates().and_then(<[_]>::first);
    let subject = own.map(certificates::subject_of).transpose();
    // One that was verified can be read, unless the two readers differ.
    let unread = |_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding);
    Ok(subject.map_err(unread)?.map(Into::into))
}

impl From<&Connection> for Made {
    fn from(connection: &Connection) -> Self {
        Self {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "1.2",
                _ => "1.3",
            },
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}
