use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::bind;

/// How long anything may take before a test gives up.
const SOON: Duration = Duration::from_secs(10);

const LIMITS: Limits = Limits {
    connections: 1,
    head_time: SOON,
    grace: SOON,
};

/// A server that answers its requests' paths; `/wait` only when it is let go.
struct Echo {
    address: SocketAddr,
    let_go: Arc<Notify>,
    accepted: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Echo {
    async fn start(limits: Limits) -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (let_go, asked) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let stop = CancellationToken::new();
        let (gate, count) = (Arc::clone(&let_go), Arc::clone(&asked));
        let accepted = Arc::new(AtomicUsize::new(0));
        let come = Arc::clone(&accepted);
        let converse = move |connection: Connection| {
            come.fetch_add(1, Ordering::SeqCst);
            let (gate, count) = (Arc::clone(&gate), Arc::clone(&count));
            async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let (gate, count) = (Arc::clone(&gate), Arc::clone(&count));
                    async move {
                        count.fetch_add(1, Ordering::SeqCst);
                        let path = request.uri().path().to_owned();
                        if path == "/wait" {
                            gate.notified().await;
                        }
                        Ok::<_, Infallible>(Response::new(path))
                    }
                });
                let _ = connection.converse(service).await;
            }
        };
        let served = tokio::spawn(serve(listener, limits, stop.clone(), converse));
        Self {
            address,
            let_go,
            accepted,
            asked,
            stop,
            served,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Waits until a number of requests have come.
    async fn asked(&self, requests: usize) {
        reaches(&self.asked, requests).await;
    }

    async fn ends(self) {
        self.stop.cancel();
        let served = timeout(SOON, self.served).await;
        served.expect("it ends in time").unwrap();
    }
}

async fn reaches(count: &AtomicUsize, goal: usize) {
    let come = async {
        while count.load(Ordering::SeqCst) < goal {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, come).await.expect("they come");
}

async fn ask(stream: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: echo\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// Reads until a path that was asked for has come back.
async fn answered(stream: &mut TcpStream, path: &str) {
    let mut answer = Vec::new();
    while !answer.ends_with(path.as_bytes()) {
        let read = timeout(SOON, stream.read_buf(&mut answer)).await;
        assert!(
            read.expect("in time").unwrap() > 0,
            "it ended before {path}"
        );
    }
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_held_once_another_ends() {
    let echo = Echo::start(LIMITS).await;
    let mut first = echo.connect().await;
    ask(&mut first, "/first").await;
    answered(&mut first, "/first").await;
    let mut second = echo.connect().await;
    ask(&mut second, "/second").await;
    for _ in 0..100 {
        ask(&mut first, "/first").await;
        answered(&mut first, "/first").await;
    }
    assert_eq!(echo.asked.load(Ordering::SeqCst), 101);
    drop(first);
    answered(&mut second, "/second").await;
    echo.ends().await;
}

#[tokio::test]
async fn a_head_that_does_not_come_costs_the_connection() {
    let head_time = Duration::from_millis(20);
    let echo = Echo::start(Limits {
        head_time,
        ..LIMITS
    })
    .await;
    let mut slow = echo.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
    let mut rest = Vec::new();
    let read = timeout(SOON, slow.read_to_end(&mut rest)).await;
    read.expect("it is closed").unwrap();
    assert_eq!(echo.asked.load(Ordering::SeqCst), 0);
    echo.ends().await;
}

#[tokio::test]
async fn an_answer_under_way_is_finished_after_the_stop() {
    let echo = Echo::start(LIMITS).await;
    let mut client = echo.connect().await;
    ask(&mut client, "/wait").await;
    echo.asked(1).await;
    echo.stop.cancel();
    echo.let_go.notify_one();
    answered(&mut client, "/wait").await;
    echo.ends().await;
}

#[tokio::test]
async fn a_client_that_had_just_come_at_the_stop_is_answered() {
    let echo = Echo::start(LIMITS).await;
    let mut client = echo.connect().await;
    reaches(&echo.accepted, 1).await;
    echo.stop.cancel();
    // It sees the stop before the request.
    tokio::task::yield_now().await;
    ask(&mut client, "/first").await;
    answered(&mut client, "/first").await;
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    echo.ends().await;
}

#[tokio::test]
async fn what_is_not_finished_in_time_is_cut_off_also_where_every_place_is_taken() {
    let grace = Duration::from_millis(20);
    let echo = Echo::start(Limits { grace, ..LIMITS }).await;
    let mut client = echo.connect().await;
    ask(&mut client, "/wait").await;
    echo.asked(1).await;
    echo.ends().await;
    let mut rest = Vec::new();
    let read = timeout(SOON, client.read_to_end(&mut rest)).await;
    let _ = read.expect("it is closed");
    assert!(rest.is_empty());
}
