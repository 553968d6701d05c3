//! Clients that come by TLS: first the handshake, then whatever was agreed upon in it.

use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::Visitor;
use crate::l7::{Spaces, serve};
use crate::stream::{HandshakeError, Stream, Tls};
use crate::tls::{Secured, Serving, handshake};
use crate::worker::{Presence, Worker};

/// Makes the handshake, and serves the client. It keeps to the certificates and rules that were in force when it came.
pub(super) async fn serve_secured(
    worker: Rc<Worker>,
    spaces: Rc<Spaces>,
    socket: TcpStream,
    mut visitor: Visitor,
    presence: Presence,
) {
    let serving = worker.tls().serving().cloned();
    match shake(&worker, &spaces, socket, serving).await {
        Ok((tls, secured)) => {
            visitor.secured = Some(Rc::new(secured));
            let stream = Stream::Tls(Box::new(tls));
            serve(worker, spaces, stream, visitor, presence).await;
        }
        Err(error) => worker.counters.handshake_failed(error.kind()),
    }
}

async fn shake(
    worker: &Rc<Worker>,
    spaces: &Spaces,
    socket: TcpStream,
    serving: Option<Arc<Serving>>,
) -> Result<(Tls, Secured), HandshakeError> {
    let serving = serving.ok_or(HandshakeError::NoCertificate)?;
    let timer = worker.timers.timer();
    timer.set(worker.clock.now().after(worker.settings.head_within));
    let (tls, secured) = handshake(&serving, socket, &timer, &spaces.buffers).await?;
    worker.counters.handshake_made(tls.look(|made| made.into()));
    Ok((tls, secured))
}
