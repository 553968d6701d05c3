//! Serving the router, each request with the other end of its connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::service::service_fn;
use runtime::{Connection, Limits};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const LIMITS: Limits = Limits {
    connections: 1024,
    head_time: Duration::from_secs(30),
    grace: Duration::from_secs(5),
};

/// The other end of a request's connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Serves until `stop`, then lets answers under way end.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let converse = |connection: Connection| {
        let (router, peer) = (router.clone(), Peer(connection.peer()));
        let service = service_fn(move |request| answer(router.clone(), request, peer));
        // How a connection ended is its client's affair.
        async move { drop(connection.converse(service).await) }
    };
    runtime::serve(listener, LIMITS, stop, converse).await;
}

async fn answer(
    router: Router,
    mut request: hyper::Request<Incoming>,
    peer: Peer,
) -> Result<axum::response::Response, Infallible> {
    request.extensions_mut().insert(peer);
    router.oneshot(request.map(axum::body::Body::new)).await
}
