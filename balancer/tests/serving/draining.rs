//! A server that leaves gets rid of what it has in flight, whatever it does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{Change, Server, ServerState, StatusRange};
use registry::Goal;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};

use crate::client;
use crate::fleet::{Fleet, commit, key, pool, server};
use crate::upstream::{Link, Upstream, established};
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

async fn remove_and_await_drained(fleet: &Fleet) {
    let leaving = fleet.leaving("s1").await;
    let position = commit(&*fleet.registry, vec![Change::Server(key("s1"), None)]).await;
    fleet.reaches(&Goal::Drained(position, leaving)).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_held_while_another_server_hangs_goes_out_at_the_drain_time() {
    let busy = Upstream::answering("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy").await;
    let hung = Upstream::silent().await;
    let mut hasty = pool();
    hasty.timeouts.drain = Duration::from_millis(500);
    hasty.retry.statuses = vec![StatusRange {
        first: 503,
        last: 503,
    }];
    let fleet = Fleet::with(hasty, &[&busy]).await;
    // As a backup it is asked second.
    let second = Server {
        backup: true,
        ..server("s2", hung.address)
    };
    fleet.change(Change::put_server(second)).await;
    let asked = client::begin(fleet.address(), "/");
    eventually("the second one is asked", || hung.open() == 1).await;
    remove_and_await_drained(&fleet).await;
    let answer = asked.await.expect("an answer");
    assert_eq!((answer.status(), answer.text()), (503, "busy".into()));
    eventually("the second one is let go of", || hung.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_of_every_thread_are_closed_with_the_change() {
    let server = Upstream::named("1").await;
    let fleet = Fleet::of(&[&server]).await;
    client::get_at_once(fleet.address(), 32).await;
    let port = server.address.port();
    assert!(established(port) > 0, "some are kept");
    fleet
        .set_state("s1", server.address, ServerState::Draining)
        .await;
    assert_eq!(established(port), 0, "none is left once that is applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_server_finishes_what_it_has_and_gets_nothing_new() {
    let (finish, finished) = oneshot::channel();
    let finished = Mutex::new(Some(finished));
    let leaving = Upstream::start(move |mut link: Link| {
        let finished = finished.lock().expect("a lock").take();
        async move {
            let request = link.request().await.expect("a request");
            if let Some(finished) = finished {
                let _ = finished.await;
            }
            link.answer(&request, "finished").await;
            link.wire.rest().await;
        }
    })
    .await;
    let staying = Upstream::named("staying").await;
    let fleet = Fleet::of(&[&leaving]).await;
    let address = fleet.address();
    let first = client::begin(address, "/");
    eventually("the request is in flight", || leaving.requests() == 1).await;
    let state = ServerState::Draining;
    fleet.set_state("s1", leaving.address, state).await;
    let state = ServerState::Active;
    fleet.set_state("s2", staying.address, state).await;
    for _ in 0..16 {
        assert_eq!(client::get(address, "/").await.text(), "staying");
    }
    finish.send(()).expect("it waits");
    assert_eq!(first.await.expect("an answer").text(), "finished");
    eventually("its connection is not kept", || leaving.open() == 0).await;
    assert_eq!((leaving.connections(), leaving.requests()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_idle_connection_breaks_while_its_server_drains_goes_elsewhere() {
    let may_close = Arc::new(Semaphore::new(0));
    let of_script = Arc::clone(&may_close);
    let leaving = Upstream::start(move |mut link: Link| {
        let may_close = Arc::clone(&of_script);
        async move {
            let request = link.request().await.expect("a request");
            link.answer(&request, "leaving").await;
            if link.request().await.is_some() {
                may_close.acquire().await.expect("open").forget();
            }
        }
    })
    .await;
    let staying = Upstream::named("staying").await;
    let servers = [leaving.address];
    let fleet = Fleet::at(pool(), &servers, &["--threads", "1"]).await;
    assert_eq!(client::get(fleet.address(), "/").await.text(), "leaving");
    let address = fleet.address();
    let asked = client::begin(address, "/");
    eventually("it is on the idle connection", || leaving.requests() == 2).await;
    let state = ServerState::Active;
    fleet.set_state("s2", staying.address, state).await;
    let state = ServerState::Draining;
    fleet.set_state("s1", leaving.address, state).await;
    may_close.add_permits(1);
    assert_eq!(asked.await.expect("an answer").text(), "staying");
    assert_eq!(leaving.connections(), 1, "no new one to who leaves");
}
