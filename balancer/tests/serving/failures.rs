//! Servers that fail, and what clients see of it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::{Change, Pool, Server, SuspicionKind};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::client;
use crate::fleet::{Fleet, key, pool, server};
use crate::upstream::{Link, Upstream, nobody};
use crate::wire::{LIMIT, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_costs_no_request_of_any_method() {
    let good = Upstream::named("good").await;
    let fleet = Fleet::at(pool(), &[nobody(), good.address], &["--threads", "2"]).await;
    for _ in 0..4 {
        assert_eq!(client::get(fleet.address(), "/").await.text(), "good");
        assert_eq!(
            client::post(fleet.address(), "/", "body").await.text(),
            "good"
        );
    }
    assert!(
        fleet
            .metric("roundhouse_balancer_retries_total{cause=\"connect\"}")
            .await
            >= 2.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_before_the_first_byte_is_tried_again_for_get_and_not_for_post() {
    let (bad, good) = (Upstream::resetting().await, Upstream::named("good").await);
    let fleet = Fleet::of(&[&bad, &good]).await;
    for _ in 0..6 {
        assert_eq!(client::get(fleet.address(), "/").await.text(), "good");
    }
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answer = client::post(fleet.address(), "/", "body").await;
        if answer.status() == 502 {
            assert_eq!(answer.verdict(), (502, "server-connection-lost".into()));
        }
        statuses.push(answer.status());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 502, 502]);
    assert_eq!(good.requests(), 6 + 2, "no POST was executed twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_with_its_body_is_sent_again_whole() {
    let bad = Upstream::resetting().await;
    let good = Upstream::start(async |mut link: Link| {
        while let Some(request) = link.request().await {
            let length = request.body.len().to_string();
            link.answer(&request, &length).await;
        }
    })
    .await;
    let fleet = Fleet::of(&[&bad, &good]).await;
    let body = "x".repeat(50_000);
    let request = format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for _ in 0..4 {
        let answer = fleet.client().await.ask(&request).await.expect("an answer");
        assert_eq!((answer.status(), answer.text()), (200, "50000".into()));
    }
    assert!(bad.requests() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_too_long_to_keep_is_not_sent_again() {
    let bad = Upstream::resetting().await;
    let mut few = pool();
    few.retry.replay_bytes = 1000;
    let good = Upstream::named("good").await;
    let fleet = Fleet::with(few, &[&bad, &good]).await;
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let request = format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n{}",
            "x".repeat(2000)
        );
        statuses.push(
            fleet
                .client()
                .await
                .ask(request)
                .await
                .expect("an answer")
                .status(),
        );
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_server_costs_no_get() {
    let asked = Arc::new(Mutex::new(HashSet::new()));
    let (one, two) = (
        hanging_at_first(&asked).await,
        hanging_at_first(&asked).await,
    );
    let fleet = Fleet::with(impatient(), &[&one, &two]).await;
    for round in 0..4 {
        let path = format!("/{round}");
        assert_eq!(client::get(fleet.address(), &path).await.text(), path);
    }
    let retries = "roundhouse_balancer_retries_total{cause=\"timeout\"}";
    assert_eq!(fleet.metric(retries).await, 4.0);
}

/// A pool whose servers have a moment for an answer, where there is another one.
fn impatient() -> Pool {
    let mut pool = pool();
    pool.timeouts.per_try = Duration::from_millis(150);
    pool
}

/// Says nothing to who asks for a path for the first time, whichever of those that share `asked` is asked: the second one, which
/// answers, is the last one, so it may take its time.
async fn hanging_at_first(asked: &Arc<Mutex<HashSet<String>>>) -> Upstream {
    let asked = Arc::clone(asked);
    Upstream::start(move |mut link: Link| {
        let asked = Arc::clone(&asked);
        async move {
            while let Some(request) = link.request().await {
                let path = request.head.split(' ').nth(1).expect("a path").to_owned();
                if asked.lock().expect("a lock").insert(path.clone()) {
                    link.wire.rest().await;
                    return;
                }
                link.answer(&request, &path).await;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_server_is_waited_for_as_long_as_an_answer_may_take() {
    // Longer than one try may take while there is another server.
    let slow = Upstream::late("late", Duration::from_millis(400)).await;
    let fleet = Fleet::with(impatient(), &[&slow]).await;
    assert_eq!(client::get(fleet.address(), "/").await.text(), "late");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_in_time_is_a_504() {
    let hung = Upstream::silent().await;
    let mut pool = pool();
    pool.timeouts.response = Duration::from_millis(300);
    let fleet = Fleet::with(pool, &[&hung]).await;
    let started = Instant::now();
    let answer = client::get(fleet.address(), "/").await;
    assert_eq!(answer.verdict(), (504, "server-timeout".into()));
    let taken = started.elapsed();
    assert!(taken >= Duration::from_millis(290), "{taken:?}");
    let answer = client::post(fleet.address(), "/", "body").await;
    assert_eq!(answer.status(), 504);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_it_is_a_503_and_the_connection_goes_on() {
    let fleet = Fleet::of(&[]).await;
    let mut client = fleet.client().await;
    for _ in 0..2 {
        assert_eq!(
            client.get("/").await.verdict(),
            (503, "no-server-available".into())
        );
    }
    let refusals = "roundhouse_balancer_refusals_total{reason=\"no-server-available\"}";
    assert_eq!(fleet.metric(refusals).await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_and_no_other_is_a_502() {
    let fleet = Fleet::at(pool(), &[nobody()], &["--threads", "1"]).await;
    let answer = client::get(fleet.address(), "/").await;
    assert_eq!(answer.verdict(), (502, "server-connect-failed".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_is_a_502() {
    let fleet = {
        let strange = Upstream::start(async |mut link: Link| {
            link.request().await;
            link.wire.send("SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
        })
        .await;
        let fleet = Fleet::of(&[&strange]).await;
        let answer = client::get(fleet.address(), "/").await;
        assert_eq!(answer.verdict(), (502, "bad-status-line".into()));
        fleet
    };
    drop(fleet);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_end_where_the_pool_says() {
    let bad = [
        Upstream::resetting().await,
        Upstream::resetting().await,
        Upstream::resetting().await,
    ];
    let once = Pool {
        retry: model::Retry {
            retries: 1,
            ..Default::default()
        },
        ..pool()
    };
    let fleet = Fleet::with(once, &[&bad[0], &bad[1], &bad[2]]).await;
    assert_eq!(client::get(fleet.address(), "/").await.status(), 502);
    let tries: usize = bad.iter().map(Upstream::requests).sum();
    assert_eq!(tries, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_that_breaks_costs_no_request() {
    // Answers one request, and closes as soon as another one comes.
    let once = Upstream::start(async |mut link: Link| {
        let request = link.request().await.expect("a request");
        link.answer(&request, "fresh").await;
        link.wire.more().await;
        link.reset();
    })
    .await;
    let fleet = Fleet::at(pool(), &[once.address], &["--threads", "1"]).await;
    for _ in 0..5 {
        assert_eq!(client::get(fleet.address(), "/").await.text(), "fresh");
    }
    assert_eq!(
        fleet
            .metric("roundhouse_balancer_retries_total{cause=\"reset\"}")
            .await,
        0.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_was_sent_into_an_idle_connection_which_broke_is_not_sent_again() {
    // Answers one request, and resets at the second one, which it may have executed.
    let once = Upstream::start(async |mut link: Link| {
        let request = link.request().await.expect("a request");
        link.answer(&request, "fresh").await;
        link.request().await;
        link.reset();
    })
    .await;
    let other = Upstream::named("other").await;
    let fleet = Fleet::at(pool(), &[once.address], &["--threads", "1"]).await;
    let backup = Server {
        backup: true,
        ..server("s2", other.address)
    };
    fleet.change(Change::put_server(backup)).await;
    assert_eq!(client::get(fleet.address(), "/").await.text(), "fresh");
    let answer = client::post(fleet.address(), "/", "body").await;
    assert_eq!(answer.verdict(), (502, "server-connection-lost".into()));
    assert_eq!((once.connections(), once.requests()), (1, 2));
    assert_eq!(other.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_retries_are_off_nothing_that_was_sent_is_sent_again() {
    // Answers one request, and resets at the second one, which it may have executed.
    let once = Upstream::start(async |mut link: Link| {
        let request = link.request().await.expect("a request");
        link.answer(&request, "fresh").await;
        link.request().await;
        link.reset();
    })
    .await;
    let mut pool = pool();
    pool.retry.retries = 0;
    let fleet = Fleet::at(pool, &[once.address], &["--threads", "1"]).await;
    assert_eq!(client::get(fleet.address(), "/").await.text(), "fresh");
    let answer = client::get(fleet.address(), "/").await;
    assert_eq!(answer.verdict(), (502, "server-connection-lost".into()));
    assert_eq!((once.connections(), once.requests()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_sent_into_one_broken_idle_connection_at_most() {
    const CLIENTS: usize = 4;
    let (open, gate) = watch::channel(false);
    // Answers a connection's first request once the gate is open, and resets it at its second.
    let once = Upstream::start(move |mut link: Link| {
        let mut gate = gate.clone();
        async move {
            let request = link.request().await.expect("a request");
            gate.wait_for(|open| *open).await.expect("a gate");
            link.answer(&request, "fresh").await;
            link.request().await;
            link.reset();
        }
    })
    .await;
    let fleet = Fleet::at(pool(), &[once.address], &["--threads", "1"]).await;
    let address = fleet.address();
    let clients: Vec<_> = (0..CLIENTS).map(|_| client::begin(address, "/")).collect();
    eventually("all have come", || once.requests() == CLIENTS).await;
    open.send_replace(true);
    for client in clients {
        assert_eq!(client.await.expect("an answer").text(), "fresh");
    }
    assert_eq!(client::get(address, "/").await.text(), "fresh");
    assert_eq!(once.requests(), CLIENTS + 2);
    eventually("the older ones are closed", || once.open() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_that_the_server_closed_is_not_used() {
    let closing = Upstream::start(async |mut link: Link| {
        let request = link.request().await.expect("a request");
        link.answer(&request, "fresh").await;
    })
    .await;
    let fleet = Fleet::at(pool(), &[closing.address], &["--threads", "1"]).await;
    for _ in 0..5 {
        let answer = client::post(fleet.address(), "/", "body").await;
        assert_eq!((answer.status(), answer.text()), (200, "fresh".into()));
        eventually("the server has closed", || closing.open() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_said_at_once() {
    let fleet = Fleet::at(pool(), &[nobody()], &["--threads", "1"]).await;
    let mut suspicions = fleet.registry.suspicions().await.expect("a subscription");
    client::get(fleet.address(), "/").await;
    let suspicion = timeout(LIMIT, suspicions.next())
        .await
        .expect("in time")
        .expect("a suspicion");
    assert_eq!(suspicion.server, key("s1"));
    assert_eq!(suspicion.kind, SuspicionKind::Connect);
    assert_eq!(suspicion.instance, fleet.balancer.instance());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_cut_short_never_looks_complete() {
    for (start, version) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", "1.1"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "1.1",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "1.0",
        ),
    ] {
        let cut = Upstream::start(move |mut link: Link| async move {
            link.request().await;
            link.wire.send(start).await;
        })
        .await;
        let fleet = Fleet::of(&[&cut]).await;
        let mut client = fleet.client().await;
        client
            .send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"))
            .await;
        let mut all = Vec::new();
        let end = tokio::io::AsyncReadExt::read_to_end(&mut client.stream, &mut all).await;
        let text = String::from_utf8_lossy(&all).into_owned();
        assert!(!text.ends_with("0\r\n\r\n"), "{text}");
        if version == "1.0" {
            assert!(end.is_err(), "nothing but a reset shows it: {text}");
        }
    }
}
