//! Connections of HTTP/2 to servers: how many there are, who shares them, and what ends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, server};
use http::Response;
use model::{Change, Server, ServerState};
use tokio::net::TcpSocket;
use tokio::sync::{Notify, Semaphore};

use crate::client;
use crate::fleet::{Fleet, key};
use crate::h2_servers::{fleet, h2_pool};
use crate::h2_upstream::{H2Upstream, Reply, block, of_frames, send};
use crate::wire::{LIMIT, Message, Wire, eventually};

/// How often requests are given up until somebody has asked whether the connection still lives, and waited for an answer.
const LEAVING_MAX: usize = 20;

const BY_CONNECT: &str = "roundhouse_balancer_retries_total{cause=\"connect\"}";

/// A server whose answers wait until they are let go.
async fn waiting(settings: server::Builder) -> (H2Upstream, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let server = H2Upstream::with(settings, {
        let gate = Arc::clone(&gate);
        move |call| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.expect("it stays open").forget();
                call.answer("late").await;
            }
        }
    })
    .await;
    (server, gate)
}

fn begin(fleet: &Fleet, count: usize) -> Vec<tokio::task::JoinHandle<Message>> {
    let ask = |_| client::begin(fleet.address(), "/");
    (0..count).map(ask).collect()
}

async fn are_answered(clients: Vec<tokio::task::JoinHandle<Message>>) {
    for client in clients {
        assert_eq!(client.await.expect("an answer").text(), "late");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_share_one_connection() {
    let (server, gate) = waiting(server::Builder::new()).await;
    let fleet = fleet(&[&server]).await;
    let clients = begin(&fleet, 50);
    eventually("all are under way", || server.requests() == 50).await;
    assert_eq!(server.connections(), 1);
    gate.add_permits(50);
    are_answered(clients).await;
    gate.add_permits(1);
    assert_eq!(client::get(fleet.address(), "/").await.text(), "late");
    assert_eq!(server.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_as_many_connections_as_the_servers_bound_of_streams_asks_for() {
    let mut settings = server::Builder::new();
    settings.max_concurrent_streams(2);
    let (server, gate) = waiting(settings).await;
    let fleet = fleet(&[&server]).await;
    let clients = begin(&fleet, 6);
    eventually("all are under way", || server.requests() == 6).await;
    assert_eq!(server.connections(), 3);
    gate.add_permits(6);
    are_answered(clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_bound_of_connections_is_one_of_streams() {
    let (server, gate) = waiting(server::Builder::new()).await;
    let fleet = fleet(&[&server]).await;
    let bounded = Server {
        max_connections: 2,
        ..crate::fleet::server("s1", server.address)
    };
    fleet.change(Change::put_server(bounded)).await;
    let clients = begin(&fleet, 5);
    eventually("two are under way", || server.requests() == 2).await;
    fleet
        .counts("roundhouse_balancer_requests_waiting{pool=\"default\"}", 3)
        .await;
    for answered in 1..=3 {
        gate.add_permits(1);
        eventually("the next has its turn", || {
            server.requests() == 2 + answered
        })
        .await;
    }
    gate.add_permits(2);
    are_answered(clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_stream_goes_to_another_server_whatever_its_method() {
    let refusing =
        H2Upstream::start(|call| async move { call.reset(Reason::REFUSED_STREAM) }).await;
    let serving = H2Upstream::named("served").await;
    let fleet = fleet(&[&refusing, &serving]).await;
    for _ in 0..4 {
        let answer = client::post(fleet.address(), "/", "once").await;
        assert_eq!(answer.text(), "served");
    }
    assert_eq!(serving.requests(), 4);
    assert!(refusing.requests() > 0, "it had its turns");
    assert_eq!(
        refusing.connections(),
        1,
        "more connections help nobody who refuses"
    );
    // Refusing is no failure.
    assert!(fleet.metric(BY_CONNECT).await >= 1.0);
    let alone = self::fleet(&[&refusing]).await;
    let answer = client::post(alone.address(), "/", "once").await;
    assert_eq!(answer.verdict(), (502, "server-connect-failed".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_goaway_leaves_out_goes_over_a_new_connection_to_the_same_server() {
    let served = Reply::Data(block(&[("content-length", "2")]), b"ok");
    let address = of_frames(vec![Reply::GoAway, served]).await;
    let fleet = Fleet::at(h2_pool(), &[address], &["--threads", "1"]).await;
    // The first is on a new connection, so that it may go to another server alone; and there is none.
    let answer = client::post(fleet.address(), "/", "once").await;
    assert_eq!(answer.verdict(), (502, "server-connect-failed".into()));
    let answer = client::post(fleet.address(), "/", "once").await;
    assert_eq!(answer.text(), "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_drains_finishes_what_it_has_and_takes_no_more() {
    let began = Arc::new(Notify::new());
    let go_on = Arc::new(Notify::new());
    let server = crate::h2_upstream::draining(Arc::clone(&began), Arc::clone(&go_on)).await;
    let fleet = Fleet::at(h2_pool(), &[server], &["--threads", "1"]).await;
    let slow = client::begin(fleet.address(), "/slow");
    began.notified().await;
    // Until the balancer has heard of it, requests may still go there.
    while client::post(fleet.address(), "/", "next").await.text() == "connection 0" {}
    assert_eq!(
        client::post(fleet.address(), "/", "next").await.text(),
        "connection 1"
    );
    go_on.notify_one();
    assert_eq!(slow.await.expect("an answer").text(), "connection 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_has_when_it_goes_away_is_finished_and_what_it_leaves_out_is_sent_again() {
    let waits = Arc::new(Notify::new());
    let next = Reply::Data(block(&[]), b"next");
    let address = of_frames(vec![Reply::Leave(Arc::clone(&waits)), next]).await;
    let fleet = Fleet::at(h2_pool(), &[address], &["--threads", "1"]).await;
    assert_eq!(client::get(fleet.address(), "/").await.text(), "first");
    let under_way = client::begin(fleet.address(), "/");
    waits.notified().await;
    // Nobody has looked at it, so that its method does not matter.
    let left_out = client::post(fleet.address(), "/", "once").await;
    assert_eq!(left_out.text(), "next");
    assert_eq!(under_way.await.expect("an answer").text(), "late");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_comes_any_more_requests_end_and_go_to_another_server_if_they_may() {
    let silent = of_frames(vec![Reply::Nothing]).await;
    let fleet = Fleet::at(h2_pool(), &[silent], &["--threads", "1"]).await;
    let get = client::begin(fleet.address(), "/");
    let address = fleet.address();
    let post = tokio::spawn(async move { client::post(address, "/", "once").await });
    let in_flight = "roundhouse_balancer_server_in_flight{pool=\"default\",server=\"s1\"}";
    fleet.counts(in_flight, 2).await;
    let serving = H2Upstream::named("served").await;
    let second = crate::fleet::server("s2", serving.address);
    fleet.change(Change::put_server(second)).await;
    // What makes somebody ask is a request that is given up after a second. One of two is with that server.
    for _ in 0..LEAVING_MAX {
        if get.is_finished() {
            break;
        }
        let mut leaving = [fleet.client().await, fleet.client().await];
        for client in &mut leaving {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        }
        // Real time: what is given up sooner puts no connection in doubt.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
    }
    let get = tokio::time::timeout(LIMIT, get)
        .await
        .expect("an end of it in time");
    assert_eq!(get.expect("an answer").text(), "served");
    let post = tokio::time::timeout(LIMIT, post)
        .await
        .expect("an end of it in time");
    let post = post.expect("an answer");
    assert_eq!(post.verdict(), (502, "server-connection-lost".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_holds_back_its_own_answer_and_nobody_elses() {
    let sent = Arc::new(AtomicUsize::new(0));
    let server = H2Upstream::start({
        let sent = Arc::clone(&sent);
        move |mut call| {
            let sent = Arc::clone(&sent);
            async move {
                if call.head.uri().path() == "/" {
                    return call.answer("fast").await;
                }
                let mut stream = call.begin(Response::new(()));
                let piece = Bytes::from(vec![b'x'; 16 << 10]);
                while send(&mut stream, piece.clone()).await.is_ok() {
                    sent.fetch_add(piece.len(), Ordering::SeqCst);
                }
            }
        }
    })
    .await;
    let fleet = fleet(&[&server]).await;
    let mut slow = fleet.client().await;
    slow.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await;
    slow.head().await.expect("a head");
    stands_still(&sent).await;
    let before = sent.load(Ordering::SeqCst);
    assert!(
        before < 32 << 20,
        "{before} bytes for a client that takes none"
    );
    for _ in 0..10 {
        assert_eq!(client::get(fleet.address(), "/").await.text(), "fast");
    }
    assert_eq!(server.connections(), 1);
    slow.bytes(before + (1 << 20))
        .await
        .expect("more than there was before");
}

#[tokio::test(flavor = "multi_thread")]
async fn small_pieces_for_slow_clients_end_nobodys_connection() {
    let sent = Arc::new(AtomicUsize::new(0));
    let server = H2Upstream::start({
        let sent = Arc::clone(&sent);
        move |mut call| {
            let sent = Arc::clone(&sent);
            async move {
                if call.head.uri().path() == "/" {
                    return call.answer("fast").await;
                }
                let mut stream = call.begin(Response::new(()));
                while send(&mut stream, Bytes::from_static(b"8 bytes."))
                    .await
                    .is_ok()
                {
                    sent.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    })
    .await;
    let fleet = fleet(&[&server]).await;
    let mut slow = Vec::new();
    for _ in 0..4 {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a socket option");
        let stream = socket.connect(fleet.address()).await.expect("connected");
        let mut client = Wire::new(stream);
        client
            .send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
            .await;
        client.head().await.expect("a head");
        slow.push(client);
    }
    stands_still(&sent).await;
    assert_eq!(client::get(fleet.address(), "/").await.text(), "fast");
    assert_eq!((server.connections(), server.open()), (1, 1));
    for client in &mut slow {
        client.bytes(1 << 20).await.expect("more of the answer");
    }
}

/// Returns once a count has not changed for a while: windows and buffers are full.
async fn stands_still(count: &AtomicUsize) {
    let mut before = usize::MAX;
    while before != count.load(Ordering::SeqCst) {
        before = count.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_nothing_holds_back_its_client() {
    let server = H2Upstream::start(|call| async move {
        std::future::pending::<()>().await;
        drop(call);
    })
    .await;
    let fleet = fleet(&[&server]).await;
    let mut client = fleet.client().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        .await;
    let piece = vec![b'x'; 64 << 10];
    let mut sent = 0;
    let moment = Duration::from_millis(500);
    while let Ok(result) = tokio::time::timeout(
        moment,
        tokio::io::AsyncWriteExt::write(&mut client.stream, &piece),
    )
    .await
    {
        sent += result.expect("sent");
        assert!(sent < 64 << 20, "{sent} bytes for a server that takes none");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_leaves_is_left_once_nothing_is_under_way() {
    let (server, gate) = waiting(server::Builder::new()).await;
    let fleet = fleet(&[&server]).await;
    let clients = begin(&fleet, 2);
    eventually("both are under way", || server.requests() == 2).await;
    fleet
        .set_state("s1", server.address, ServerState::Draining)
        .await;
    assert_eq!(server.open(), 1);
    gate.add_permits(2);
    are_answered(clients).await;
    eventually("the connection is closed", || server.open() == 0).await;
    fleet.change(Change::Server(key("s1"), None)).await;
    assert_eq!(client::get(fleet.address(), "/").await.status(), 503);
}
