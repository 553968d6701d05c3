//! What a client may have at most: each limit, what it is answered with, and that it is counted.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::client;
use crate::fleet::{Fleet, pool};
use crate::upstream::{Link, Upstream};
use crate::wire::{LIMIT, Wire, eventually, field};

async fn fleet(server: &Upstream, flags: &[&str]) -> Fleet {
    let flags = [&["--threads", "1"], flags].concat();
    Fleet::at(pool(), &[server.address], &flags).await
}

/// With a pool that takes bodies of ten bytes.
async fn narrow(server: &Upstream) -> Fleet {
    let mut narrow = pool();
    narrow.max_body_bytes = 10;
    Fleet::at(narrow, &[server.address], &["--threads", "1"]).await
}

/// Asks for it on a new connection, which must end with the answer. It is counted once.
async fn is_refused(fleet: &Fleet, request: &str, status: u16, token: &str) {
    let mut client = fleet.client().await;
    let answer = client.ask(request).await.expect("an answer");
    assert_eq!(answer.verdict(), (status, token.to_owned()));
    assert!(client.is_ended().await);
    is_counted(fleet, token).await;
}

/// Returns once one refusal of this kind is counted.
async fn is_counted(fleet: &Fleet, token: &str) {
    let name = format!("roundhouse_balancer_refusals_total{{reason=\"{token}\"}}");
    fleet.counts(&name, 1).await;
}

/// So many connections that stay open, each of which has got an answer.
async fn hold(fleet: &Fleet, count: usize) -> Vec<Wire> {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut client = fleet.client().await;
        assert_eq!(client.get("/").await.status(), 200);
        held.push(client);
    }
    held
}

fn get_with(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heads_bytes_fields_and_first_line_have_bounds_that_can_be_set() {
    let server = Upstream::named("1").await;
    let flags = [
        "--max-head-bytes",
        "1024",
        "--max-request-line",
        "64",
        "--max-fields",
        "5",
    ];
    let fleet = fleet(&server, &flags).await;
    let longest = get_with(&format!("X: {}\r\n", "x".repeat(1024 - 32)));
    assert_eq!(longest.len(), 1024);
    let answer = fleet.client().await.ask(longest).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    let longer = get_with(&format!("X: {}\r\n", "x".repeat(1024 - 31)));
    is_refused(&fleet, &longer, 431, "head-too-long").await;
    is_refused(
        &fleet,
        &get_with(&"X: y\r\n".repeat(5)),
        431,
        "too-many-fields",
    )
    .await;
    let far = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(50));
    is_refused(&fleet, &far, 414, "request-line-too-long").await;
    assert_eq!(server.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_drips_in_is_refused_when_its_time_is_over() {
    let server = Upstream::named("1").await;
    let fleet = fleet(&server, &["--head-timeout", "300ms"]).await;
    let mut client = fleet.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n").await;
    let deadline = Instant::now() + LIMIT;
    // Each byte comes long before the time is over.
    while client.stream.write_all(b"x").await.is_ok() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut read = [0; 4096];
        if let Ok(count) = client.stream.try_read(&mut read) {
            client.read.extend_from_slice(&read[..count]);
            break;
        }
    }
    let answer = client.message(false).await.expect("an answer");
    assert_eq!(answer.verdict(), (408, "request-head-timeout".into()));
    assert!(client.is_ended().await);
    is_counted(&fleet, "request-head-timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_coming_is_a_408() {
    let server = Upstream::silent().await;
    let fleet = fleet(&server, &["--body-timeout", "300ms"]).await;
    let half = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf";
    is_refused(&fleet, half, 408, "request-body-timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_coming_behind_an_answer_that_has_begun_ends_the_connection() {
    let hasty = Upstream::start(async |mut link: Link| {
        link.head().await;
        let begun = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";
        link.wire.send(begun).await;
        link.wire.rest().await;
    })
    .await;
    let fleet = fleet(&hasty, &["--body-timeout", "2s"]).await;
    let mut client = fleet.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        .await;
    let head = client.head().await.expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let rest = client.rest().await;
    assert_eq!(rest, b"1\r\nx\r\n", "it does not look complete");
    fleet.has_ended("body-not-sent", 1).await;
    eventually("the server's connection has ended", || hasty.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_not_blamed_for_a_server_that_reads_late() {
    const LENGTH: usize = 24 << 20;
    let late = Upstream::start(async |mut link: Link| {
        let head = link.head().await.expect("a head");
        let length = field(&head, "content-length").expect("a length");
        // Longer than a client may pause.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let length = length.parse().expect("a number");
        let body = link.wire.bytes(length).await.expect("the body");
        let length = body.len().to_string();
        let size = length.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
        link.wire.send(head + &length).await;
    })
    .await;
    let fleet = fleet(&late, &["--body-timeout", "1s"]).await;
    let (reader, mut writer) = fleet.client().await.stream.into_split();
    let sending = tokio::spawn(async move {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n");
        writer.write_all(head.as_bytes()).await.expect("written");
        writer
            .write_all(&vec![b'x'; LENGTH])
            .await
            .expect("written");
        writer
    });
    let writer = sending.await.expect("sent");
    let mut client = Wire::new(reader.reunite(writer).expect("one connection"));
    let answer = client.message(false).await.expect("an answer");
    assert_eq!((answer.status(), answer.text()), (200, LENGTH.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_announced_as_too_long_reaches_no_server() {
    let server = Upstream::named("1").await;
    let fleet = narrow(&server).await;
    let fits = client::post(fleet.address(), "/", "0123456789").await;
    assert_eq!(fits.status(), 200);
    let before = (server.connections(), server.requests());
    let longer = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n0123456789a";
    is_refused(&fleet, longer, 413, "body-too-long").await;
    assert_eq!((server.connections(), server.requests()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_announced_as_too_long_is_not_asked_for() {
    let server = Upstream::named("1").await;
    let fleet = narrow(&server).await;
    let asking = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n";
    is_refused(&fleet, asking, 413, "body-too-long").await;
    assert_eq!(server.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_body_is_too_long_as_soon_as_a_chunk_says_so() {
    let server = Upstream::named("1").await;
    let fleet = narrow(&server).await;
    let chunked = |chunks: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
    };
    let fits = chunked("5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n");
    let answer = fleet.client().await.ask(fits).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    let before = server.requests();
    let longer = chunked("5\r\n01234\r\n6\r\n");
    is_refused(&fleet, &longer, 413, "body-too-long").await;
    assert_eq!(server.requests(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_turns_out_too_long_is_broken_off_on_both_sides() {
    let server = Upstream::silent().await;
    let fleet = narrow(&server).await;
    let mut client = fleet.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n")
        .await;
    eventually("some of it is on its way", || server.open() == 1).await;
    client.send("6\r\n56789a\r\n").await;
    let answer = client.message(false).await.expect("an answer");
    assert_eq!(answer.verdict(), (413, "body-too-long".into()));
    eventually("the server's connection has ended", || server.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_makes_so_many_requests_and_the_last_answer_says_so() {
    let server = Upstream::named("1").await;
    let fleet = fleet(&server, &["--keep-alive-requests", "3"]).await;
    let mut client = fleet.client().await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.field("connection"), None);
    }
    let last = client.get("/").await;
    assert_eq!(last.status(), 200);
    assert_eq!(last.field("connection").as_deref(), Some("close"));
    assert!(client.is_ended().await);
    fleet.has_ended("keep-alive-requests", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_more_requests_at_once_the_first_are_answered_and_the_others_never_sent() {
    let server = Upstream::named("1").await;
    let fleet = fleet(&server, &["--keep-alive-requests", "3"]).await;
    let mut client = fleet.client().await;
    client.send(get_with("").repeat(5)).await;
    for _ in 0..3 {
        let answer = client.message(false).await.expect("an answer");
        assert_eq!(answer.status(), 200);
    }
    assert!(client.is_ended().await);
    assert_eq!(server.requests(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_has_so_many_connections_over_all_threads() {
    let server = Upstream::named("1").await;
    let flags = ["--threads", "2", "--max-connections-per-client", "3"];
    let fleet = Fleet::at(pool(), &[server.address], &flags).await;
    let held = hold(&fleet, 3).await;
    let mut excess = fleet.client().await;
    let answer = excess.message(false).await.expect("an answer");
    let token = "too-many-connections-of-client";
    assert_eq!(answer.verdict(), (429, token.into()));
    assert!(excess.is_ended().await);
    is_counted(&fleet, token).await;
    drop(held);
    let deadline = Instant::now() + LIMIT;
    while client::get(fleet.address(), "/").await.status() != 200 {
        assert!(Instant::now() < deadline, "its places are free again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_has_as_many_connections_as_its_clients_need() {
    let server = Upstream::named("1").await;
    let flags = [
        "--max-connections-per-client",
        "1",
        "--trusted-proxies",
        "127.0.0.1",
    ];
    let fleet = fleet(&server, &flags).await;
    hold(&fleet, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_as_many_as_may_be_whichever_threads_serve_them() {
    let server = Upstream::named("1").await;
    let flags = ["--threads", "2", "--max-connections", "3"];
    let fleet = Fleet::at(pool(), &[server.address], &flags).await;
    let mut held = hold(&fleet, 3).await;
    let mut excess = fleet.client().await;
    let answer = excess.message(false).await.expect("an answer");
    let token = "too-many-connections";
    assert_eq!(answer.verdict(), (503, token.into()));
    assert!(excess.is_ended().await);
    is_counted(&fleet, token).await;
    for client in &mut held {
        assert_eq!(client.get("/").await.status(), 200, "those are served on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_end_in_silence_are_counted_by_reason() {
    let server = Upstream::named("1").await;
    let fleet = fleet(&server, &["--keep-alive-timeout", "200ms"]).await;
    let mut mute = fleet.client().await;
    assert!(mute.is_ended().await);
    fleet.has_ended("nothing-sent", 1).await;
    let mut idle = fleet.client().await;
    idle.get("/").await;
    assert!(idle.is_ended().await);
    fleet.has_ended("keep-alive-idle", 1).await;
}
