//! Probes against real sockets, whose other end does what each test says.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::StatusRange;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn check() -> HealthCheck {
    HealthCheck {
        path: "/-/health?deep=1".into(),
        timeout: Duration::from_secs(5),
        ..HealthCheck::default()
    }
}

fn hurried() -> HealthCheck {
    HealthCheck {
        timeout: Duration::from_millis(100),
        ..check()
    }
}

/// Accepts connections and hands each, with its number, to `answer`, one task for each.
async fn server<F, Fut>(answer: F) -> SocketAddr
where
    F: Fn(TcpStream, usize) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, number));
            number += 1;
        }
    });
    address
}

/// Reads one request's head; nothing where the connection ends before it does.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return None,
        }
    }
    Some(String::from_utf8(head).expect("a head of ASCII"))
}

async fn write(stream: &mut TcpStream, text: &str) {
    // A prober that has gone is what some tests are about.
    let _ = stream.write_all(text.as_bytes()).await;
}

/// Closes with a reset rather than in order.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().expect("a socket option");
    drop(stream);
}

/// Answers every request on every connection with the same text.
pub(super) async fn answering(text: &'static str) -> SocketAddr {
    server(move |mut stream, _| async move {
        while read_head(&mut stream).await.is_some() {
            write(&mut stream, text).await;
        }
    })
    .await
}

async fn outcome(address: SocketAddr, check: &HealthCheck) -> Result<(), Failure> {
    Prober::new(address).probe(check, Protocol::Http1).await
}

#[tokio::test]
async fn an_expected_status_is_a_success() {
    assert_eq!(outcome(answering(OK).await, &check()).await, Ok(()));
}

#[tokio::test]
async fn another_status_fails_by_its_number() {
    let address = answering("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").await;
    let failure = outcome(address, &check()).await.expect_err("a failure");
    assert_eq!(failure.to_string(), "status 503");
}

#[tokio::test]
async fn a_redirect_is_judged_by_the_ranges_and_not_followed() {
    let address = answering(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    assert_eq!(outcome(address, &check()).await, Ok(()));
    let strict = HealthCheck {
        status: vec![StatusRange {
            first: 200,
            last: 299,
        }],
        ..check()
    };
    assert_eq!(outcome(address, &strict).await, Err(Failure::Status(302)));
}

#[tokio::test]
async fn the_request_names_path_and_host() {
    let (heads, mut received) = mpsc::channel(4);
    let address = server(move |mut stream, _| {
        let heads = heads.clone();
        async move {
            while let Some(head) = read_head(&mut stream).await {
                heads.send(head).await.expect("the test listens");
                write(&mut stream, OK).await;
            }
        }
    })
    .await;
    let named = HealthCheck {
        host: Some("app.example".into()),
        ..check()
    };
    assert_eq!(outcome(address, &check()).await, Ok(()));
    assert_eq!(outcome(address, &named).await, Ok(()));
    let by_address = received.recv().await.expect("a request");
    assert!(by_address.starts_with("GET /-/health?deep=1 HTTP/1.1\r\n"));
    assert!(by_address.contains(&format!("host: {address}\r\n")));
    let by_name = received.recv().await.expect("a request");
    assert!(by_name.contains("host: app.example\r\n"));
}

#[tokio::test]
async fn one_connection_serves_probe_after_probe() {
    let (accepted, mut connections) = mpsc::unbounded_channel();
    let address = server(move |mut stream, number| {
        accepted.send(number).expect("the test listens");
        async move {
            while read_head(&mut stream).await.is_some() {
                write(&mut stream, OK).await;
            }
        }
    })
    .await;
    let mut prober = Prober::new(address);
    for _ in 0..5 {
        assert_eq!(prober.probe(&check(), Protocol::Http1).await, Ok(()));
    }
    assert_eq!(connections.recv().await, Some(0));
    assert!(connections.try_recv().is_err(), "a second connection");
}

#[tokio::test]
async fn a_server_that_closes_between_probes_does_not_fail() {
    let address = server(|mut stream, _| async move {
        read_head(&mut stream).await;
        write(&mut stream, OK).await;
    })
    .await;
    let mut prober = Prober::new(address);
    for _ in 0..5 {
        assert_eq!(prober.probe(&check(), Protocol::Http1).await, Ok(()));
    }
}

#[tokio::test]
async fn a_server_that_closes_while_its_connection_rests_is_asked_again_at_once() {
    let signals = [Arc::new(Notify::new()), Arc::new(Notify::new())];
    let [close, closed] = signals.clone();
    let address = server(move |mut stream, number| {
        let [close, closed] = signals.clone();
        async move {
            while read_head(&mut stream).await.is_some() {
                write(&mut stream, OK).await;
                if number == 0 {
                    close.notified().await;
                    drop(stream);
                    closed.notify_one();
                    return;
                }
            }
        }
    })
    .await;
    let mut prober = Prober::new(address);
    assert_eq!(prober.probe(&check(), Protocol::Http1).await, Ok(()));
    assert!(prober.is_connected());
    close.notify_one();
    closed.notified().await;
    // After a whole exchange over another connection, it is known here that this one has ended.
    assert_eq!(outcome(address, &check()).await, Ok(()));
    assert_eq!(prober.probe(&check(), Protocol::Http1).await, Ok(()));
}

#[tokio::test]
async fn a_server_that_resets_the_kept_connection_under_the_second_probe_does_not_fail() {
    let address = server(|mut stream, _| async move {
        read_head(&mut stream).await;
        write(&mut stream, OK).await;
        read_head(&mut stream).await;
        reset(stream);
    })
    .await;
    let mut prober = Prober::new(address);
    for _ in 0..5 {
        assert_eq!(prober.probe(&check(), Protocol::Http1).await, Ok(()));
    }
}

#[tokio::test]
async fn a_server_that_says_it_closes_is_probed_on_a_fresh_connection() {
    let address =
        answering("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
    let mut prober = Prober::new(address);
    for _ in 0..3 {
        assert_eq!(prober.probe(&check(), Protocol::Http1).await, Ok(()));
        assert!(prober.kept.is_none());
    }
}

#[tokio::test]
async fn a_server_that_resets_every_request_fails_also_on_the_kept_connection() {
    let address = server(|mut stream, number| async move {
        read_head(&mut stream).await;
        if number == 0 {
            write(&mut stream, OK).await;
            read_head(&mut stream).await;
        }
        reset(stream);
    })
    .await;
    let mut prober = Prober::new(address);
    assert_eq!(prober.probe(&check(), Protocol::Http1).await, Ok(()));
    assert_eq!(
        prober.probe(&check(), Protocol::Http1).await,
        Err(Failure::Reset)
    );
}

#[tokio::test]
async fn a_refused_connection_is_said_in_those_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let tcp = HealthCheck {
        kind: CheckKind::Tcp,
        ..check()
    };
    for check in [check(), tcp] {
        let failure = outcome(address, &check).await.expect_err("a failure");
        assert_eq!(failure.to_string(), "connection refused");
    }
}

#[tokio::test]
async fn a_connection_that_closes_without_an_answer_fails() {
    let address = server(|mut stream, _| async move {
        read_head(&mut stream).await;
    })
    .await;
    assert_eq!(outcome(address, &check()).await, Err(Failure::Closed));
}

#[tokio::test]
async fn a_server_that_hangs_fails_at_the_timeout() {
    let address = server(|mut stream, _| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let begun = Instant::now();
    let failure = outcome(address, &hurried()).await.expect_err("a failure");
    assert_eq!(failure.to_string(), "timed out after 100ms");
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_head_that_trickles_in_does_not_outlast_the_timeout() {
    let address = server(|mut stream, _| async move {
        read_head(&mut stream).await;
        for byte in OK.bytes().cycle() {
            if stream.write_u8(byte).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let failure = outcome(address, &hurried()).await.expect_err("a failure");
    assert_eq!(failure.kind(), "timeout");
}

#[tokio::test]
async fn a_body_that_never_ends_in_silence_is_a_timeout() {
    let address = answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok").await;
    let failure = outcome(address, &hurried()).await.expect_err("a failure");
    assert_eq!(failure.kind(), "timeout");
}

#[tokio::test]
async fn an_endless_body_is_not_read_to_its_end() {
    let address = server(|mut stream, _| async move {
        read_head(&mut stream).await;
        write(&mut stream, "HTTP/1.1 200 OK\r\n\r\n").await;
        let chunk = [b'x'; 4096];
        while stream.write_all(&chunk).await.is_ok() {}
    })
    .await;
    let mut prober = Prober::new(address);
    assert_eq!(prober.probe(&check(), Protocol::Http1).await, Ok(()));
    assert!(prober.kept.is_none(), "kept within an answer");
}

#[tokio::test]
async fn what_is_not_http_is_called_so() {
    let address = answering("SSH-2.0-OpenSSH_9.6\r\n\r\n").await;
    let failure = outcome(address, &check()).await.expect_err("a failure");
    assert_eq!(failure.kind(), "protocol", "{failure}");
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let address = server(|mut stream, _| async move {
        read_head(&mut stream).await;
        write(&mut stream, "HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"x-more: and more\r\n").await.is_ok() {}
    })
    .await;
    let failure = outcome(address, &check()).await.expect_err("a failure");
    assert_eq!(failure.kind(), "protocol", "{failure}");
}

#[tokio::test]
async fn a_tcp_check_needs_a_connection_and_nothing_more() {
    let address = server(|stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let tcp = HealthCheck {
        kind: CheckKind::Tcp,
        ..check()
    };
    assert_eq!(outcome(address, &tcp).await, Ok(()));
}

#[tokio::test]
async fn a_check_that_cannot_be_written_fails_by_name() {
    let broken = HealthCheck {
        host: Some("a\r\nb".into()),
        ..check()
    };
    let failure = outcome(answering(OK).await, &broken)
        .await
        .expect_err("a failure");
    assert_eq!(failure.kind(), "request");
}
