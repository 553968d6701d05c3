//! What whoever runs a process asks of it: does it live, is it ready, what has it counted.

use std::borrow::Cow;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::routing::get;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Connection, Limits, Metrics, serve};

/// What `/livez` says, with 200.
pub const LIVE: &str = "live\n";

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Few ask, each for a moment.
const LIMITS: Limits = Limits {
    connections: 256,
    head_time: Duration::from_secs(30),
    grace: Duration::from_secs(2),
};

/// `/livez`, `/readyz` and `/metrics`. `ready` says why not, in a few words; it is asked at each request.
pub fn ops_router(
    metrics: Metrics,
    ready: impl Fn() -> Result<(), String> + Clone + Send + Sync + 'static,
) -> Router {
    Router::new()
        .route("/livez", get(async || LIVE))
        .route("/readyz", get(async move || readiness(ready())))
        .route(
            "/metrics",
            get(async move || ([(CONTENT_TYPE, METRICS_TYPE)], metrics.encode())),
        )
}

/// What `/readyz` says of a process that is ready, or is not for this reason.
pub fn readiness(ready: Result<(), String>) -> (StatusCode, Cow<'static, str>) {
    match ready {
        Ok(()) => (StatusCode::OK, "ready\n".into()),
        Err(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {reason}\n").into(),
        ),
    }
}

/// Serves until `stop`, then lets answers under way end, for two seconds at most.
pub async fn serve_ops(listener: TcpListener, router: Router, stop: CancellationToken) {
    let converse = |connection: Connection| {
        let service = TowerToHyperService::new(router.clone());
        // How a connection ended is its client's affair.
        async move { drop(connection.converse(service).await) }
    };
    serve(listener, LIMITS, stop, converse).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::bind;

    async fn get(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: ops\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_process_is_live_before_it_is_ready_and_says_what_it_waits_for() {
        let ready = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&ready);
        let router = ops_router(Metrics::new(), move || match asked.load(Ordering::SeqCst) {
            true => Ok(()),
            false => Err("no table yet".into()),
        });
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve_ops(listener, router, stop.clone()));

        assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200 "));
        let answer = get(address, "/readyz").await;
        assert!(
            answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("not ready: no table yet\n")
        );
        ready.store(true, Ordering::SeqCst);
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200 "));
        assert!(get(address, "/metrics").await.ends_with("# EOF\n"));

        stop.cancel();
        served.await.unwrap();
    }
}
