//! The steady load: a client that sends at a fixed rate, whether or not it was answered, and records every request.

use std::time::Duration;

use hyper::{Method, StatusCode};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::shared::http::Http;

/// A request without an answer within this time has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of one request.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Which balancer it went to, by its place.
    pub(crate) balancer: usize,
    /// Whether on a connection that had served others before, or on a new one.
    pub(crate) kept: bool,
    /// When it was to be sent.
    pub(crate) due: Instant,
    pub(crate) sent: Instant,
    /// When it was answered, or had failed.
    pub(crate) ended: Instant,
    /// The status, or why there is none.
    pub(crate) outcome: Result<StatusCode, String>,
}

impl Exchange {
    pub(crate) fn failed(&self) -> bool {
        self.outcome != Ok(StatusCode::OK)
    }

    /// From when it was to be sent, so that a client that was held up hides nothing.
    pub(crate) fn latency(&self) -> Duration {
        self.ended - self.due
    }
}

/// A load that goes on until it is told to end.
pub(crate) struct Load {
    stop: CancellationToken,
    sending: JoinHandle<Vec<Exchange>>,
}

impl Load {
    /// So many GETs a second, to all balancers in turn, by turns on kept and on new connections.
    pub(crate) fn start(urls: Vec<String>, rate: u32) -> Self {
        let stop = CancellationToken::new();
        let sending = tokio::spawn(send(urls, rate, stop.clone()));
        Self { stop, sending }
    }

    /// Sends no more, and returns what became of all requests.
    pub(crate) async fn end(self) -> Vec<Exchange> {
        self.stop.cancel();
        self.sending.await.expect("the client does not panic")
    }
}

async fn send(urls: Vec<String>, rate: u32, stop: CancellationToken) -> Vec<Exchange> {
    let clients = [Http::new(), Http::without_keeping()];
    let began = Instant::now();
    let mut under_way = JoinSet::new();
    let mut exchanges = Vec::new();
    for number in 0_usize.. {
        let due = began + Duration::from_secs(1).mul_f64(number as f64 / f64::from(rate));
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep_until(due) => {}
        }
        let balancer = number % urls.len();
        let kept = (number / urls.len()).is_multiple_of(2);
        let client = clients[usize::from(!kept)].clone();
        let url = urls[balancer].clone();
        under_way.spawn(exchange(client, url, balancer, kept, due));
        while let Some(ended) = under_way.try_join_next() {
            exchanges.push(ended.expect("a request does not panic"));
        }
    }
    exchanges.extend(under_way.join_all().await);
    exchanges
}

async fn exchange(
    client: Http,
    url: String,
    balancer: usize,
    kept: bool,
    due: Instant,
) -> Exchange {
    let sent = Instant::now();
    let answer = timeout(PATIENCE, client.send(Method::GET, &url, "")).await;
    let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
    Exchange {
        balancer,
        kept,
        due,
        sent,
        ended: Instant::now(),
        outcome: answer.map(|answer| answer.status),
    }
}
