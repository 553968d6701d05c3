//! Serving HTTP beside the data plane: a bounded number of connections, heads in bounded time, an end in order.
//!
//! The admin API, the ops endpoints and the demo servers all accept here; what a connection is answered is
//! theirs. The balancer has its own way, made for many more connections.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The pause after an accept that failed, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client that has just come may take to ask once the listener is to stop.
const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(1);

/// What the clients of one listener may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many connections are open at once; others wait in the kernel's queue.
    pub connections: usize,
    /// How long a request's head may take to arrive, which is also how long a connection may rest.
    pub head_time: Duration,
    /// What an answer under way may still take after the stop.
    pub grace: Duration,
}

/// A connection that was accepted.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    head_time: Duration,
    stop: CancellationToken,
}

/// A connection that did not end well: its client broke it off, or an answer failed.
#[derive(Debug)]
pub struct Broken {
    pub error: hyper::Error,
    /// What is left of it, for those who want to end it in their own way.
    pub stream: TcpStream,
}

/// Accepts until `stop`, and holds each connection as `converse` says; then lets answers under way end.
pub async fn serve<F>(
    listener: TcpListener,
    limits: Limits,
    stop: CancellationToken,
    converse: impl Fn(Connection) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let connections = TaskTracker::new();
    let cut_off = CancellationToken::new();
    let places = Arc::new(Semaphore::new(limits.connections));
    while let Some((place, stream, peer)) =
        stop.run_until_cancelled(accept(&listener, &places)).await
    {
        let conversation = converse(Connection {
            stream,
            peer,
            head_time: limits.head_time,
            stop: stop.clone(),
        });
        let conversation = cut_off.clone().run_until_cancelled_owned(conversation);
        connections.spawn(async move {
            conversation.await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    if timeout(limits.grace, connections.wait()).await.is_err() {
        tracing::warn!(left = connections.len(), "ended with answers under way");
        cut_off.cancel();
        connections.wait().await;
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (OwnedSemaphorePermit, TcpStream, SocketAddr) {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.expect("places are never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (place, stream, peer),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Connection {
    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// This end.
    ///
    /// # Errors
    /// Where the connection is gone already.
    pub fn local(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Answers requests until the client leaves, or until the stop: then what runs is finished.
    ///
    /// # Errors
    /// How the connection broke, which is mostly its client's affair.
    pub async fn converse<S, B>(self, service: S) -> Result<(), Broken>
    where
        S: Service<Request<Incoming>, Response = Response<B>>,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        B: Body + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        // A refusal only means that small packets may wait for each other.
        let _ = self.stream.set_nodelay(true);
        let asked = CancellationToken::new();
        let begun = asked.clone();
        let service = service_fn(move |request| {
            begun.cancel();
            service.call(request)
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_time)
            .serve_connection(TokioIo::new(self.stream), service);
        let ending = async {
            self.stop.cancelled().await;
            // One that has never asked may be about to.
            let _ = timeout(FIRST_REQUEST_WITHIN, asked.cancelled()).await;
        };
        let ended = tokio::select! {
            outcome = &mut connection => Some(outcome),
            () = ending => None,
        };
        let outcome = match ended {
            Some(outcome) => outcome,
            None => {
                Pin::new(&mut connection).graceful_shutdown();
                (&mut connection).await
            }
        };
        outcome.map_err(|error| Broken {
            error,
            stream: connection.into_parts().io.into_inner(),
        })
    }
}

#[cfg(test)]
mod tests;
