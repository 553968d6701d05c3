//! Bodies in both directions, of every framing, and what holds them back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use model::Pool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::client;
use crate::fleet::{Fleet, pool};
use crate::upstream::{Link, Upstream};
use crate::wire::{LIMIT, Wire, eventually, field};

/// More than the kernel's buffers of both connections hold together.
const HUGE: usize = 48 << 20;

/// A byte that depends on its place, so that a lost or doubled piece shows.
fn byte_at(place: usize) -> u8 {
    u8::try_from(place % 251).expect("below 251")
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(byte_at).collect()
}

fn is_pattern(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .enumerate()
        .all(|(place, byte)| *byte == byte_at(place))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_read_holds_the_client_back() {
    let start = Arc::new(tokio::sync::Notify::new());
    let started = Arc::clone(&start);
    let slow = Upstream::start(move |mut link: Link| {
        let start = Arc::clone(&started);
        async move {
            let head = link.head().await.expect("a head");
            let length: usize = field(&head, "content-length")
                .expect("a length")
                .parse()
                .expect("a number");
            start.notified().await;
            let body = link.wire.bytes(length).await.expect("the body");
            let verdict = if is_pattern(&body) { "whole" } else { "broken" };
            link.wire
                .send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{verdict}",
                    verdict.len()
                ))
                .await;
        }
    })
    .await;
    let fleet = Fleet::of(&[&slow]).await;
    let mut client = fleet.client().await;
    client
        .send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {HUGE}\r\n\r\n"
        ))
        .await;
    let body = pattern(HUGE);
    let sent = send_until_stalled(&mut client.stream, &body).await;
    assert!(
        sent < HUGE / 2,
        "{sent} bytes went somewhere although nobody reads"
    );
    start.notify_one();
    client.send(&body[sent..]).await;
    assert_eq!(
        client.message(false).await.expect("an answer").text(),
        "whole"
    );
}

/// Writes until nothing more is taken for a while.
async fn send_until_stalled(stream: &mut tokio::net::TcpStream, body: &[u8]) -> usize {
    let mut sent = 0;
    while let Ok(count) = timeout(Duration::from_millis(300), stream.write(&body[sent..])).await {
        sent += count.expect("written");
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_holds_the_server_back() {
    let written = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&written);
    let fast = Upstream::start(move |mut link: Link| {
        let written = Arc::clone(&counted);
        async move {
            let request = link.request().await.expect("a request");
            let is_unread = request.head.starts_with("GET /unread ");
            link.wire
                .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {HUGE}\r\n\r\n"))
                .await;
            for piece in pattern(HUGE).chunks(64 << 10) {
                link.wire.stream.write_all(piece).await.expect("written");
                if is_unread {
                    written.fetch_add(piece.len(), Ordering::SeqCst);
                }
            }
        }
    })
    .await;
    let fleet = Fleet::of(&[&fast]).await;
    let mut client = fleet.client().await;
    client.send("GET /unread HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the server writes", || written.load(Ordering::SeqCst) > 0).await;
    // As much again passes all the way beside it, several times, as the unread one could have meanwhile.
    for _ in 0..3 {
        let other = client::get(fleet.address(), "/read").await;
        assert_eq!(other.body.len(), HUGE);
    }
    let unread = written.load(Ordering::SeqCst);
    assert!(
        unread < HUGE / 2,
        "{unread} bytes went somewhere although nobody reads"
    );
    let answer = client.message(false).await.expect("an answer");
    assert!(answer.body.len() == HUGE && is_pattern(&answer.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_go_both_ways_at_once() {
    const LENGTH: usize = 20 << 20;
    let echo = Upstream::start(async |mut link: Link| {
        link.head().await;
        link.wire
            .send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"
            ))
            .await;
        let read = std::mem::take(&mut link.wire.read);
        link.wire.send(read).await;
        let (mut reader, mut writer) = link.wire.stream.split();
        // Ends when the client does.
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    })
    .await;
    let fleet = Fleet::of(&[&echo]).await;
    let client = fleet.client().await;
    let (mut reader, mut writer) = client.stream.into_split();
    let sending = tokio::spawn(async move {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n");
        writer.write_all(head.as_bytes()).await.expect("written");
        writer.write_all(&pattern(LENGTH)).await.expect("written");
        writer
    });
    let mut answer = Vec::new();
    while answer.len() < LENGTH {
        let count = timeout(LIMIT, reader.read_buf(&mut answer))
            .await
            .expect("in time")
            .expect("read");
        assert!(count > 0, "cut short at {} bytes", answer.len());
    }
    let start = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a head")
        + 4;
    while answer.len() < start + LENGTH {
        let count = timeout(LIMIT, reader.read_buf(&mut answer))
            .await
            .expect("in time")
            .expect("read");
        assert!(count > 0, "cut short at {} bytes", answer.len());
    }
    assert!(is_pattern(&answer[start..]));
    sending.await.expect("sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_stream_through_in_both_directions() {
    let echo = Upstream::start(async |mut link: Link| {
        link.head().await;
        link.wire
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        while let Some(line) = link.wire.line().await {
            let size = usize::from_str_radix(&line, 16).expect("a size");
            let data = link.wire.bytes(size + 2).await.expect("a chunk");
            link.wire
                .send([format!("{line}\r\n").as_bytes(), &data].concat())
                .await;
        }
    })
    .await;
    let fleet = Fleet::of(&[&echo]).await;
    let mut client = fleet.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let head = client
        .head()
        .await
        .expect("the head comes before the body has been sent");
    assert_eq!(field(&head, "transfer-encoding"), Some("chunked".into()));
    for text in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{text}\r\n", text.len())).await;
        assert_eq!(client.line().await, Some(format!("{:x}", text.len())));
        assert_eq!(client.line().await.as_deref(), Some(text));
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.line().await.as_deref(), Some("0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_chunk_reaches_no_server() {
    let server = Upstream::named("1").await;
    let fleet = Fleet::of(&[&server]).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    let mut client = fleet.client().await;
    let answer = client.ask(request).await.expect("an answer");
    assert_eq!(answer.verdict(), (400, "bad-chunk-size".into()));
    assert!(client.is_ended().await);
    assert_eq!(server.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_leave_the_connection_in_step() {
    let bare = Upstream::start(async |mut link: Link| {
        while let Some(head) = link.head().await {
            let answer = match head.split(' ').nth(1).expect("a path") {
                "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n",
                "/head" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            };
            link.wire.send(answer).await;
        }
    })
    .await;
    let fleet = Fleet::of(&[&bare]).await;
    let mut client = fleet.client().await;
    let mut bare_request = async |request: &str| {
        client
            .send(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let answer = client.message(true).await.expect("an answer");
        assert_eq!(client.get("/full").await.text(), "hello");
        answer
    };
    assert_eq!(bare_request("GET /204").await.status(), 204);
    let unchanged = bare_request("GET /304").await;
    assert_eq!(
        (unchanged.status(), unchanged.field("etag")),
        (304, Some("\"x\"".into()))
    );
    let head = bare_request("HEAD /head").await;
    assert_eq!(
        (head.status(), head.field("content-length")),
        (200, Some("5".into()))
    );
    assert_eq!(bare.connections(), 1, "every connection stayed in step");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_ends_with_the_connection_is_framed_for_the_client() {
    let closing = Upstream::start(async |mut link: Link| {
        link.request().await;
        link.wire.send("HTTP/1.1 200 OK\r\n\r\nuntil ").await;
        link.wire.send("the end").await;
    })
    .await;
    let fleet = Fleet::of(&[&closing]).await;
    let mut client = fleet.client().await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.text(), "until the end");
    }
    let mut old = fleet.client().await;
    old.send("GET / HTTP/1.0\r\n\r\n").await;
    let head = old.head().await.expect("a head");
    assert_eq!(field(&head, "transfer-encoding"), None);
    assert_eq!(old.rest().await, b"until the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_first_is_told_to_go_on_by_the_server() {
    let asking = Upstream::start(async |mut link: Link| {
        while let Some(head) = link.head().await {
            assert_eq!(field(&head, "expect").as_deref(), Some("100-continue"));
            assert!(link.wire.read.is_empty(), "the body waits");
            link.wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            let body = link.wire.bytes(5).await.expect("the body");
            let text = String::from_utf8(body).expect("text");
            link.wire
                .send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{text}"
                ))
                .await;
        }
    })
    .await;
    let fleet = Fleet::of(&[&asking]).await;
    let mut client = fleet.client().await;
    for _ in 0..2 {
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            .await;
        let head = client.head().await.expect("an interim answer");
        assert!(head.starts_with("HTTP/1.1 100 "), "{head}");
        client.send("hello").await;
        assert_eq!(
            client.message(false).await.expect("an answer").text(),
            "hello"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_first_is_not_blamed_for_a_server_that_says_nothing() {
    let hung = Upstream::silent().await;
    let fleet = Fleet::with(impatient(), &[&hung]).await;
    for method in ["POST", "PUT"] {
        let began = Instant::now();
        let answer = fleet.client().await.ask(asking_first(method)).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.verdict(), (504, "server-timeout".into()));
        assert!(began.elapsed() >= impatient().timeouts.response, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_first_and_then_sends_unasked_has_all_the_time_of_one_that_does_not_ask()
{
    let server = Upstream::named("taken").await;
    let fleet = Fleet::with(impatient(), &[&server]).await;
    let mut client = fleet.client().await;
    client.send(asking_first("POST")).await;
    eventually("the head is on its way", || server.open() == 1).await;
    client.send("he").await;
    tokio::time::sleep(2 * impatient().timeouts.response).await;
    let answer = client.ask("llo").await.expect("an answer");
    assert_eq!((answer.status(), answer.text()), (200, "taken".into()));
}

/// A request for which the client sends a body of five bytes when it is told to.
fn asking_first(method: &str) -> String {
    format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
}

/// A pool in which an answer is awaited for a moment only.
fn impatient() -> Pool {
    let mut pool = pool();
    pool.timeouts.per_try = Duration::from_millis(100);
    pool.timeouts.response = Duration::from_millis(300);
    pool
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_comes_while_the_body_still_does() {
    let refusing = Upstream::start(async |mut link: Link| {
        link.head().await;
        link.wire
            .send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno\n")
            .await;
        link.wire.rest().await;
    })
    .await;
    let fleet = Fleet::of(&[&refusing]).await;
    let mut client = fleet.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nthe beginning")
        .await;
    let answer = client.message(false).await.expect("an answer");
    assert_eq!((answer.status(), answer.text()), (413, "no\n".into()));
    assert_eq!(answer.field("connection").as_deref(), Some("close"));
    assert!(client.is_ended().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_are_relayed_to_those_who_know_them() {
    let hinting = Upstream::start(async |mut link: Link| {
        while let Some(request) = link.request().await {
            link.wire
                .send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
                .await;
            link.answer(&request, "done").await;
        }
    })
    .await;
    let fleet = Fleet::of(&[&hinting]).await;
    let mut client = fleet.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.head().await.expect("an interim answer");
    assert!(
        head.starts_with("HTTP/1.1 103 ") && head.contains("Link: </a.css>"),
        "{head}"
    );
    assert_eq!(
        client.message(false).await.expect("an answer").text(),
        "done"
    );
    let old = client::connect(fleet.address())
        .await
        .ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        .await;
    assert_eq!(old.expect("an answer").text(), "done");
}

/// What a client that speaks HTTP/1.0 gets before the connection ends, and whether the end is a reset.
async fn ended_by_reset(client: &mut Wire) -> (Vec<u8>, bool) {
    let mut all = std::mem::take(&mut client.read);
    let read = timeout(LIMIT, client.stream.read_to_end(&mut all)).await;
    (all, read.expect("it ends in time").is_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_body_never_ends_like_a_whole_one_for_a_half_closed_http10_client() {
    let pausing = Upstream::start(async |mut link: Link| {
        link.request().await;
        let half = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        link.wire.send(half).await;
        link.wire.rest().await;
    })
    .await;
    let fleet = Fleet::of(&[&pausing]).await;
    let mut client = fleet.client().await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    client.stream.shutdown().await.expect("half closed");
    let (all, reset) = ended_by_reset(&mut client).await;
    assert!(reset, "{:?}", String::from_utf8_lossy(&all));
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_body_never_ends_like_a_whole_one_for_an_http10_client_that_reads_too_late() {
    const SIZE: usize = 64 << 20;
    let large = Upstream::start(async |mut link: Link| {
        link.request().await;
        let _ = link.wire.stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        // The balancer breaks off in the middle.
        let _ = link.wire.stream.write_all(&vec![b'x'; SIZE]).await;
    })
    .await;
    let mut impatient = pool();
    impatient.timeouts.idle = Duration::from_secs(1);
    let fleet = Fleet::with(impatient, &[&large]).await;
    let mut client = fleet.client().await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    eventually("the request is in flight", || large.open() == 1).await;
    eventually("the balancer gave up", || large.open() == 0).await;
    fleet.has_ended("answer-not-taken", 1).await;
    let (all, reset) = ended_by_reset(&mut client).await;
    assert!(reset, "after {} of {SIZE}", all.len());
}
