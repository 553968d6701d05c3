//! Connections: reused, pipelined, turned into tunnels, slow, broken off.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::client;
use crate::fleet::{Fleet, pool};
use crate::upstream::{Link, Upstream};
use crate::wire::{Wire, eventually, field};

/// One worker, so that it is known which connections can be reused.
async fn one_worker(upstream: &Upstream, flags: &[&str]) -> Fleet {
    let flags = [&["--threads", "1"], flags].concat();
    Fleet::at(pool(), &[upstream.address], &flags).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_connection_is_used_again() {
    let server = Upstream::named("1").await;
    let fleet = one_worker(&server, &[]).await;
    for _ in 0..5 {
        client::get(fleet.address(), "/").await;
        client::post(fleet.address(), "/", "body").await;
    }
    assert_eq!((server.connections(), server.requests()), (1, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let echo = Upstream::start(async |mut link: Link| {
        while let Some(request) = link.request().await {
            let path = request.head.split(' ').nth(1).expect("a path").to_owned();
            link.answer(&request, &path).await;
        }
    })
    .await;
    let fleet = one_worker(&echo, &[]).await;
    let mut client = fleet.client().await;
    let requests: String = (0..200)
        .map(|index| match index % 2 {
            0 => format!("GET /{index} HTTP/1.1\r\nHost: a\r\n\r\n"),
            _ => format!(
                "POST /{index} HTTP/1.1\r\nHost: a\r\nContent-Length: 300\r\n\r\n{}",
                "x".repeat(300)
            ),
        })
        .collect();
    let (mut reader, mut writer) = client.stream.into_split();
    let sending = tokio::spawn(async move {
        tokio::io::AsyncWriteExt::write_all(&mut writer, requests.as_bytes())
            .await
            .expect("written");
        writer
    });
    let mut read = Vec::new();
    while read.windows(4).filter(|four| *four == b"/199").count() == 0 {
        let count = tokio::io::AsyncReadExt::read_buf(&mut reader, &mut read)
            .await
            .expect("read");
        assert!(count > 0, "closed after {}", String::from_utf8_lossy(&read));
    }
    let writer = sending.await.expect("sent");
    client = Wire::new(reader.reunite(writer).expect("one connection"));
    client.read = read;
    for index in 0..200 {
        assert_eq!(
            client.message(false).await.expect("an answer").text(),
            format!("/{index}")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_may_come_byte_by_byte() {
    let server = Upstream::named("1").await;
    let fleet = one_worker(&server, &[]).await;
    let mut client = fleet.client().await;
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" {
        client.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.message(false).await.expect("an answer").text(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_head_passes_and_a_longer_one_is_refused() {
    let server = Upstream::named("1").await;
    let fleet = one_worker(&server, &[]).await;
    let request = |length: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n",
            "x".repeat(length)
        )
    };
    let answer = fleet
        .client()
        .await
        .ask(request(30_000))
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    let answer = fleet
        .client()
        .await
        .ask(request(60_000))
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 431);
}

const UPGRADE: &str =
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";

/// Changes to a protocol that sends everything back.
async fn tunnelling() -> Upstream {
    Upstream::start(async |mut link: Link| {
        let head = link.head().await.expect("a head");
        assert_eq!(field(&head, "upgrade").as_deref(), Some("echo"));
        link.wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nwelcome").await;
        while link.wire.more().await {
            let read = std::mem::take(&mut link.wire.read);
            link.wire.send(read).await;
        }
        link.wire.send("goodbye").await;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_becomes_a_tunnel_that_is_in_flight_and_ends_half_by_half() {
    let server = tunnelling().await;
    let fleet = one_worker(&server, &[]).await;
    let mut client = fleet.client().await;
    client.send([UPGRADE, "early"].concat()).await;
    let head = client.head().await.expect("a head");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(field(&head, "upgrade").as_deref(), Some("echo"));
    assert_eq!(client.bytes(12).await.expect("both"), b"welcomeearly");
    client.send("more").await;
    assert_eq!(client.bytes(4).await.expect("the echo"), b"more");
    let in_flight = "roundhouse_balancer_server_in_flight{pool=\"default\",server=\"s1\"}";
    assert_eq!(fleet.metric(in_flight).await, 1.0);
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream)
        .await
        .expect("half closed");
    assert_eq!(client.rest().await, b"goodbye");
    eventually("the server's connection has ended", || server.open() == 0).await;
    assert_eq!(fleet.metric(in_flight).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_the_server_declines_is_an_ordinary_answer() {
    let server = Upstream::named("plain").await;
    let fleet = one_worker(&server, &[]).await;
    let mut client = fleet.client().await;
    assert_eq!(
        client.ask(UPGRADE).await.expect("an answer").text(),
        "plain"
    );
    assert_eq!(client.get("/").await.text(), "plain");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_changes_to_another_protocol_than_was_asked_for_gets_no_tunnel() {
    let server = Upstream::start(async |mut link: Link| {
        link.head().await;
        let other =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
        link.wire.send(other).await;
        link.wire.rest().await;
    })
    .await;
    let fleet = one_worker(&server, &[]).await;
    let answer = fleet.client().await.ask(UPGRADE).await.expect("an answer");
    assert_eq!(answer.verdict(), (502, "unasked-upgrade".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_takes_its_request_with_it() {
    let server = Upstream::silent().await;
    let fleet = one_worker(&server, &[]).await;
    let mut client = fleet.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the request is on its way", || server.open() == 1).await;
    drop(client);
    eventually("the request is cancelled", || server.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_breaks_off_its_body_takes_its_request_with_it() {
    let server = Upstream::silent().await;
    let fleet = one_worker(&server, &[]).await;
    let mut client = fleet.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
        .await;
    eventually("the request is on its way", || server.open() == 1).await;
    drop(client);
    eventually("the request is cancelled", || server.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_only_closes_its_side_still_gets_its_answer() {
    let slow = Upstream::start(async |mut link: Link| {
        let request = link.request().await.expect("a request");
        tokio::time::sleep(Duration::from_millis(300)).await;
        link.answer(&request, "late").await;
    })
    .await;
    let fleet = one_worker(&slow, &["--half-closed-timeout", "20s"]).await;
    let mut client = half_closed(&fleet).await;
    assert_eq!(
        client.message(false).await.expect("an answer").text(),
        "late"
    );
    assert!(client.is_ended().await);
}

/// Stops in the middle of its answer.
async fn stalling() -> Upstream {
    Upstream::start(async |mut link: Link| {
        link.request().await;
        link.wire
            .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            .await;
        link.wire.rest().await;
    })
    .await
}

/// A client that has asked, and closed its side.
async fn half_closed(fleet: &Fleet) -> Wire {
    let mut client = fleet.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream)
        .await
        .expect("half closed");
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_closed_its_side_is_waited_for_only_so_long() {
    for (server, said) in [(Upstream::silent().await, ""), (stalling().await, "half")] {
        let fleet = one_worker(&server, &["--half-closed-timeout", "100ms"]).await;
        let mut client = half_closed(&fleet).await;
        let got = client.rest().await;
        assert!(got.ends_with(said.as_bytes()), "{got:?}");
        fleet.has_ended("half-closed", 1).await;
        eventually("the request is cancelled", || server.open() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_stalls_is_ended() {
    let stalling = stalling().await;
    let mut pool = pool();
    pool.timeouts.idle = Duration::from_millis(300);
    let fleet = Fleet::with(pool, &[&stalling]).await;
    let mut client = fleet.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await.expect("a head");
    assert_eq!(client.rest().await, b"half");
    assert_eq!(
        fleet
            .metric("roundhouse_balancer_responses_cut_short_total")
            .await,
        1.0
    );
    eventually("the server's connection has ended", || stalling.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_says_unasked_reaches_nobody() {
    let (said, mut heard) = mpsc::channel(1);
    let talkative = Upstream::start(move |mut link: Link| {
        let said = said.clone();
        async move {
            while let Some(request) = link.request().await {
                link.answer(&request, "right").await;
                link.wire
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
                    .await;
                said.send(()).await.expect("the test goes on");
            }
        }
    })
    .await;
    let fleet = one_worker(&talkative, &[]).await;
    let mut client = fleet.client().await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.text(), "right");
        // Said later, while the next request is on its way, it could not be told from an answer.
        heard.recv().await.expect("the server goes on");
    }
}

/// RFC 9110, 9.3.2: also where the rest of the head is not as it should be.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_for_a_head_is_answered_with_a_head_alone() {
    let server = Upstream::named("1").await;
    let fleet = one_worker(&server, &[]).await;
    let mut client = fleet.client().await;
    client
        .send("HEAD / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        .await;
    let head = client.head().await.expect("a head");
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert_eq!(client.rest().await, b"");
}
