//! How a balancer ends.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::client;
use crate::fleet::{Fleet, pool};
use crate::upstream::{Link, Upstream};
use crate::wire::{LIMIT, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_loses_no_request() {
    let server = Upstream::late("done", Duration::from_millis(3)).await;
    let fleet = Fleet::of(&[&server]).await;
    let address = fleet.address();
    let clients: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = client::connect(address).await;
                let mut answered = 0;
                loop {
                    let answer = client.get("/").await;
                    assert_eq!((answer.status(), answer.text()), (200, "done".into()));
                    answered += 1;
                    if answer.field("connection").as_deref() == Some("close") {
                        return answered;
                    }
                }
            })
        })
        .collect();
    eventually("there is load", || server.requests() > 200).await;
    fleet.supervisor.request_stop();
    for client in clients {
        assert!(client.await.expect("no request was lost") > 0);
    }
    fleet.supervisor.finished(LIMIT).await.expect("it ends");
    assert_eq!(fleet.supervisor.failure(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_may_be_given_time_to_notice_before_it_takes_nobody_in() {
    let server = Upstream::named("one").await;
    let long = ["--shutdown-delay", "10min"];
    let fleet = Fleet::at(pool(), &[server.address], &long).await;
    fleet.supervisor.request_stop();
    let readiness = fleet.ops("/readyz").await;
    assert_eq!(readiness.status(), 503);
    assert!(readiness.text().contains("it is stopping"));
    assert_eq!(client::get(fleet.address(), "/").await.text(), "one");

    let short = ["--shutdown-delay", "10ms"];
    let fleet = Fleet::at(pool(), &[server.address], &short).await;
    fleet.supervisor.request_stop();
    fleet.supervisor.finished(LIMIT).await.expect("it ends");
    assert_eq!(fleet.supervisor.failure(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_not_ready_takes_nobody_in_finishes_what_runs_and_says_goodbye() {
    let (answer, gate) = watch::channel(false);
    let server = Upstream::start(move |mut link: Link| {
        let mut gate = gate.clone();
        async move {
            let request = link.request().await.expect("a request");
            gate.wait_for(|open| *open).await.expect("a gate");
            link.answer(&request, "done").await;
        }
    })
    .await;
    let fleet = Fleet::of(&[&server]).await;
    let address = fleet.address();
    let running = tokio::spawn(async move { client::get(address, "/").await.text() });
    eventually("the request is in flight", || server.requests() == 1).await;
    assert_eq!(fleet.ops("/readyz").await.status(), 200);
    assert_eq!(
        fleet.registry.instances().await.expect("instances").len(),
        1
    );
    fleet.supervisor.request_stop();
    assert_eq!(
        fleet.ops("/readyz").await.text(),
        "not ready: it is stopping\n"
    );
    let started = Instant::now();
    while TcpStream::connect(address).await.is_ok() {
        assert!(started.elapsed() < LIMIT, "the port is closed");
    }
    answer.send_replace(true);
    assert_eq!(running.await.expect("it ends"), "done");
    fleet.supervisor.finished(LIMIT).await.expect("it ends");
    assert_eq!(
        fleet.registry.instances().await.expect("instances").len(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_does_not_hold_it_up_for_long() {
    let server = Upstream::named("1").await;
    let fleet = Fleet::of(&[&server]).await;
    let mut client = fleet.client().await;
    client.get("/").await;
    let started = Instant::now();
    fleet.supervisor.request_stop();
    assert!(client.is_ended().await);
    fleet.supervisor.finished(LIMIT).await.expect("it ends");
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_within_the_drain_time_is_cut_short() {
    let server = Upstream::silent().await;
    let fleet = Fleet::at(
        pool(),
        &[server.address],
        &["--threads", "1", "--drain-timeout", "300ms"],
    )
    .await;
    let mut client = fleet.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the request is in flight", || server.open() == 1).await;
    fleet.end().await;
    assert!(client.is_ended().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_an_end_of_its_own_is_cut_short_by_a_reset() {
    let server = Upstream::start(async |mut link: Link| {
        link.request().await;
        link.wire.send("HTTP/1.1 200 OK\r\n\r\nhalf").await;
        link.wire.rest().await;
    })
    .await;
    let flags = ["--threads", "1", "--drain-timeout", "300ms"];
    let fleet = Fleet::at(pool(), &[server.address], &flags).await;
    let mut client = fleet.client().await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    client.head().await.expect("a head");
    client.bytes(4).await.expect("half");
    fleet.supervisor.request_stop();
    let read = timeout(LIMIT, client.stream.read(&mut [0; 16])).await;
    read.expect("it ends").expect_err("not like a whole one");
}

/// Connects anew for each request, until nobody is there any more; says how many were answered, and what became of others.
async fn connect_and_ask(address: SocketAddr) -> (usize, Vec<String>) {
    let (mut answered, mut lost) = (0, Vec::new());
    while let Ok(mut stream) = TcpStream::connect(address).await {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let sent = stream.write_all(request).await;
        let mut all = Vec::new();
        let read = stream.read_to_end(&mut all).await;
        if all.ends_with(b"one") {
            answered += 1;
        } else {
            lost.push(format!("sent {sent:?}, read {read:?}"));
        }
    }
    (answered, lost)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_resets_no_connection_that_was_made() {
    for _ in 0..5 {
        let server = Upstream::named("one").await;
        let fleet = Fleet::of(&[&server]).await;
        let address = fleet.address();
        let clients: Vec<_> = (0..32)
            .map(|_| tokio::spawn(connect_and_ask(address)))
            .collect();
        eventually("there is load", || server.requests() > 100).await;
        fleet.supervisor.request_stop();
        for client in clients {
            let (answered, lost) = client.await.expect("it ends");
            assert!(lost.is_empty(), "{lost:?} beside {answered}");
        }
    }
}

#[test]
fn workers_to_which_no_more_tables_come_serve_by_the_last_one_until_they_are_stopped() {
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let (of_clients, of_balancer) = (runtime(), runtime());
    let server = of_clients.block_on(Upstream::named("one"));
    let fleet = of_balancer.block_on(Fleet::of(&[&server]));
    // As when a process that is told twice to end waits for nothing more.
    of_balancer.shutdown_background();
    of_clients.block_on(async {
        assert_eq!(client::get(fleet.address(), "/").await.text(), "one");
        fleet.end().await;
    });
    assert_eq!(fleet.supervisor.failure(), None);
}
