//! A server that leaves gets rid of what it has in flight, whatever it does.

use std::time::Duration;

use model::{Change, Revision};
use registry::Goal;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::fleet::{Fleet, commit, key, pool};
use crate::upstream::{Link, Upstream};
use crate::wire::eventually;

/// Moves bytes for as long as anyone takes them, more often than anything looks at the time.
async fn drip(stream: &mut TcpStream) {
    while stream.write_all(b"drip").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// With one server, and half a second for what it has in flight when it leaves.
async fn hasty(server: &Upstream) -> Fleet {
    let mut hasty = pool();
    hasty.timeouts.drain = Duration::from_millis(500);
    Fleet::with(hasty, &[server]).await
}

async fn incarnation(fleet: &Fleet) -> Revision {
    let known = fleet.registry.snapshot().await.expect("a registry");
    known.expect("a snapshot").snapshot.servers[&key("s1")].incarnation
}

async fn remove_and_await_drained(fleet: &Fleet) {
    let incarnation = incarnation(fleet).await;
    let position = commit(&*fleet.registry, vec![Change::Server(key("s1"), None)]).await;
    fleet
        .reaches(&Goal::Drained(position, key("s1"), incarnation))
        .await;
}

async fn dripping(head: &'static str) -> Upstream {
    Upstream::start(move |mut link: Link| async move {
        link.head().await;
        link.wire.send(head).await;
        drip(&mut link.wire.stream).await;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_keeps_moving_is_cut_short_at_the_drain_time_too() {
    let server = dripping("HTTP/1.1 200 OK\r\n\r\n").await;
    let fleet = hasty(&server).await;
    let mut client = fleet.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await.expect("a head");
    let reading = tokio::spawn(async move { client.rest().await });
    remove_and_await_drained(&fleet).await;
    let rest = reading.await.expect("it ends");
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it does not look complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_that_keeps_moving_is_ended_at_the_drain_time_too() {
    let switching =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: drip\r\n\r\n";
    let server = dripping(switching).await;
    let fleet = hasty(&server).await;
    let mut client = fleet.client().await;
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: drip\r\n\r\n")
        .await;
    client.head().await.expect("a head");
    let reading = tokio::spawn(async move { client.rest().await });
    remove_and_await_drained(&fleet).await;
    reading.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_keeps_moving_is_cut_short_at_the_drain_time_too() {
    let taking = Upstream::start(async |mut link: Link| {
        link.wire.rest().await;
    })
    .await;
    let fleet = hasty(&taking).await;
    let mut client = fleet.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        .await;
    eventually("the request is in flight", || taking.open() == 1).await;
    let sending = tokio::spawn(async move { drip(&mut client.stream).await });
    remove_and_await_drained(&fleet).await;
    sending.await.expect("it ends");
}
