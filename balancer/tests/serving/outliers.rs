//! Servers that stand out: ejected at once by the balancer that sees it, for a while, and never too many.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use model::{Algorithm, Pool, ServerState, SuspicionKind};
use tokio::time::{Instant, timeout};

use crate::client;
use crate::fleet::{Fleet, key, pool};
use crate::upstream::{Link, Upstream};
use crate::wire::{LIMIT, eventually};

const EJECTED: &str = "roundhouse_balancer_server_ejected{pool=\"default\",server=\"s1\"}";

/// A pool that ejects after three failures in a row, for longer than a test takes, and in which no request fails for long.
fn strict() -> Pool {
    let mut pool = pool();
    pool.outlier.gateway_failures = 3;
    pool.outlier.ejection = Duration::from_secs(300);
    pool.retry.backoff = Duration::from_millis(1);
    pool.retry.budget_min = 1000;
    pool.timeouts.per_try = Duration::from_millis(200);
    pool
}

/// Asks until the server `s1` is ejected.
async fn is_ejected(fleet: &Fleet) {
    let get = async || drop(client::get(fleet.address(), "/").await);
    is_ejected_by(fleet, get).await;
}

/// Makes requests of some kind until the server `s1` is ejected.
async fn is_ejected_by(fleet: &Fleet, ask: impl AsyncFn()) {
    let deadline = Instant::now() + LIMIT;
    while fleet.metric(EJECTED).await < 1.0 {
        assert!(Instant::now() < deadline, "it is not ejected");
        ask().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_in_whatever_way_is_passed_over() {
    let bad = [
        Upstream::answering("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy").await,
        Upstream::resetting().await,
        Upstream::silent().await,
        Upstream::start(async |mut link: Link| {
            link.request().await;
            link.wire
                .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
                .await;
        })
        .await,
        Upstream::start(async |mut link: Link| {
            link.request().await;
            link.wire.send("SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
        })
        .await,
    ];
    for bad in &bad {
        let good = Upstream::named("good").await;
        let fleet = Fleet::with(strict(), &[bad, &good]).await;
        // One that breaks off in the middle of a body has no whole answer for the client.
        let ask = async || {
            let mut client = fleet.client().await;
            client
                .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                .await;
            client.rest().await;
        };
        is_ejected_by(&fleet, ask).await;
        let (connections, requests) = (bad.connections(), bad.requests());
        for _ in 0..8 {
            assert_eq!(client::get(fleet.address(), "/").await.text(), "good");
        }
        assert_eq!((bad.connections(), bad.requests()), (connections, requests));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ejection_is_counted_reported_and_said_to_the_leader() {
    let (bad, good) = (Upstream::resetting().await, Upstream::named("good").await);
    let fleet = Fleet::with(strict(), &[&bad, &good]).await;
    let mut suspicions = fleet.registry.suspicions().await.expect("a subscription");
    is_ejected(&fleet).await;
    let outlier = async {
        loop {
            let suspicion = suspicions.next().await.expect("a suspicion");
            assert_eq!(suspicion.server, key("s1"));
            if suspicion.kind == SuspicionKind::Outlier {
                return;
            }
        }
    };
    timeout(LIMIT, outlier).await.expect("it is said");
    let ejections = "roundhouse_balancer_ejections_total{rule=\"gateway_failures\"}";
    assert_eq!(fleet.metric(ejections).await, 1.0);
    let deadline = Instant::now() + LIMIT;
    loop {
        let instances = fleet.registry.instances().await.expect("instances");
        if instances
            .iter()
            .any(|one| one.report.ejected == [key("s1")])
        {
            return;
        }
        assert!(Instant::now() < deadline, "it is not reported");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ejected_server_comes_back_when_its_time_is_over() {
    let well = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&well);
    let changing = Upstream::start(move |mut link: Link| {
        let well = Arc::clone(&state);
        async move {
            while let Some(request) = link.request().await {
                if !well.load(Ordering::SeqCst) {
                    return link.reset();
                }
                link.answer(&request, "changed").await;
            }
        }
    })
    .await;
    let good = Upstream::named("good").await;
    let mut pool = strict();
    pool.outlier.ejection = Duration::from_millis(500);
    let fleet = Fleet::with(pool, &[&changing, &good]).await;
    is_ejected(&fleet).await;
    well.store(true, Ordering::SeqCst);
    let deadline = Instant::now() + LIMIT;
    while client::get(fleet.address(), "/").await.text() != "changed" {
        assert!(Instant::now() < deadline, "it does not come back");
    }
    assert_eq!(fleet.metric(EJECTED).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_the_share_are_ejected_and_they_serve_where_nothing_else_is_left() {
    let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";
    let (one, two) = (
        Upstream::answering(busy).await,
        Upstream::answering(busy).await,
    );
    let fleet = Fleet::with(strict(), &[&one, &two]).await;
    let ejected = async || {
        let other = EJECTED.replace("s1", "s2");
        fleet.metric(EJECTED).await + fleet.metric(&other).await
    };
    let deadline = Instant::now() + LIMIT;
    while ejected().await < 1.0 {
        assert!(Instant::now() < deadline, "none is ejected");
        client::get(fleet.address(), "/").await;
    }
    for _ in 0..20 {
        assert_eq!(client::get(fleet.address(), "/").await.text(), "busy");
        assert_eq!(ejected().await, 1.0);
    }
    // The one that is not ejected goes: what is left is better than nothing.
    let (stays, goes) = match fleet.metric(EJECTED).await {
        1.0 => (&one, ("s2", two.address)),
        _ => (&two, ("s1", one.address)),
    };
    fleet.set_state(goes.0, goes.1, ServerState::Disabled).await;
    let before = stays.requests();
    assert_eq!(client::get(fleet.address(), "/").await.text(), "busy");
    assert_eq!(stays.requests(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ejection_survives_a_change_of_the_table() {
    let (bad, good) = (Upstream::resetting().await, Upstream::named("good").await);
    let third = Upstream::named("third").await;
    let fleet = Fleet::with(strict(), &[&bad, &good, &third]).await;
    is_ejected(&fleet).await;
    fleet
        .set_state("s3", third.address, ServerState::Draining)
        .await;
    let requests = bad.requests();
    for _ in 0..6 {
        assert_eq!(client::get(fleet.address(), "/").await.text(), "good");
    }
    assert_eq!(bad.requests(), requests);
    assert_eq!(fleet.metric(EJECTED).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_balancer_ejects_another_goes_on_using() {
    // One balancer's way to this server is broken: what comes over it is recognised by its path.
    let half_reachable = Upstream::start(async |mut link: Link| {
        while let Some(request) = link.request().await {
            if request.head.starts_with("GET /over-a-broken-link") {
                return link.reset();
            }
            link.answer(&request, "reached").await;
        }
    })
    .await;
    let good = Upstream::named("good").await;
    let here = Fleet::with(strict(), &[&half_reachable, &good]).await;
    let there = Fleet::on(Arc::clone(&here.registry), &["--threads", "1"]).await;
    timeout(LIMIT, there.balancer.ready()).await.expect("ready");
    let deadline = Instant::now() + LIMIT;
    while here.metric(EJECTED).await < 1.0 {
        assert!(Instant::now() < deadline, "it is not ejected");
        let answer = client::get(here.address(), "/over-a-broken-link").await;
        assert_eq!(answer.text(), "good", "no request fails for it");
    }
    let mut reached = 0;
    for _ in 0..8 {
        let answer = client::get(there.address(), "/").await;
        reached += usize::from(answer.text() == "reached");
    }
    assert_eq!(reached, 4, "the other one uses it as before");
    assert_eq!(there.metric(EJECTED).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_is_not_left_for_one_that_is_ejected() {
    let bad = Upstream::resetting().await;
    let slow = Upstream::start(async |mut link: Link| {
        while let Some(request) = link.request().await {
            if request.head.starts_with("GET /slowly") {
                // Longer than one try may take while there is another server.
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            link.answer(&request, "late").await;
        }
    })
    .await;
    let fleet = Fleet::with(strict(), &[&bad, &slow]).await;
    is_ejected(&fleet).await;
    let requests = bad.requests();
    for _ in 0..2 {
        let answer = client::get(fleet.address(), "/slowly").await;
        assert_eq!(answer.text(), "late");
    }
    assert_eq!(bad.requests(), requests);
}

/// Six servers of which the first does what the others do not.
async fn compared(pool: Pool, odd: Upstream) {
    let mut servers = vec![odd];
    for _ in 0..5 {
        servers.push(Upstream::named("good").await);
    }
    let all: Vec<&Upstream> = servers.iter().collect();
    let fleet = Fleet::with(pool, &all).await;
    is_ejected(&fleet).await;
}

fn comparing() -> Pool {
    let mut pool = pool();
    pool.outlier.gateway_failures = 0;
    pool.outlier.success_rate_deviations = 0.0;
    pool.outlier.interval = Duration::from_millis(300);
    pool.outlier.requests_min = 3;
    pool.outlier.ejection = Duration::from_millis(300);
    pool
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_succeeds_far_less_often_than_the_others_is_ejected() {
    let asked = Arc::new(AtomicUsize::new(0));
    let odd = Upstream::start(move |mut link: Link| {
        let asked = Arc::clone(&asked);
        async move {
            while let Some(request) = link.request().await {
                if asked.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
                    link.answer(&request, "well").await;
                } else {
                    let failure = "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n";
                    link.wire.send(failure).await;
                }
            }
        }
    })
    .await;
    let mut pool = comparing();
    pool.outlier.success_rate_deviations = 1.9;
    compared(pool, odd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_far_longer_than_the_others_is_ejected() {
    let odd = Upstream::late("late", Duration::from_millis(40)).await;
    let mut pool = comparing();
    pool.outlier.latency_factor = 3.0;
    compared(pool, odd).await;
}

/// A path for each of these, which the one of this name answers.
async fn paths_to(fleet: &Fleet, names: &[&str]) -> Vec<String> {
    let mut paths = BTreeMap::new();
    for number in 0..1000 {
        let path = format!("/{number}");
        let name = client::get(fleet.address(), &path).await.text();
        paths.entry(name).or_insert(path);
        if names.iter().all(|name| paths.contains_key(*name)) {
            return names.iter().map(|name| paths[*name].clone()).collect();
        }
    }
    panic!("not every server is led to: {paths:?}");
}

/// A request of which the second half comes late.
async fn send_slowly(fleet: &Fleet, path: &str) {
    let mut client = fleet.client().await;
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n");
    client.send(head + "half").await;
    tokio::time::sleep(Duration::from_millis(80)).await;
    let answer = client.ask("half").await.expect("an answer");
    assert_eq!(answer.text(), "asked slowly");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_slowly_makes_no_server_an_outlier() {
    let late = Upstream::late("late", Duration::from_millis(40)).await;
    let mut servers = vec![Upstream::named("asked slowly").await, late];
    for name in ["3", "4", "5", "6"] {
        servers.push(Upstream::named(name).await);
    }
    let all: Vec<&Upstream> = servers.iter().collect();
    let mut pool = comparing();
    pool.algorithm = Algorithm::Hash;
    // Asked for by another balancer, so that the one that compares has seen nothing of them.
    let scout = Fleet::with(pool.clone(), &all).await;
    let quick = paths_to(&scout, &["late", "3", "4", "5", "6"]).await;
    let slow = paths_to(&scout, &["asked slowly"]).await.remove(0);
    pool.outlier.latency_factor = 10.0;
    pool.outlier.interval = Duration::from_millis(600);
    pool.outlier.ejection = Duration::from_secs(300);
    let fleet = Fleet::with(pool, &all).await;
    // That the one that is late is ejected shows that they are compared.
    let ejected_late = EJECTED.replace("s1", "s2");
    let deadline = Instant::now() + LIMIT;
    while fleet.metric(&ejected_late).await < 1.0 {
        assert!(Instant::now() < deadline, "nobody is ejected");
        let slowly = join_all((0..4).map(|_| send_slowly(&fleet, &slow)));
        let quickly = quick.iter().map(|path| client::get(fleet.address(), path));
        tokio::join!(slowly, join_all(quickly));
    }
    assert_eq!(fleet.metric(EJECTED).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_died_costs_no_request_before_or_after_it_is_ejected() {
    let dead = Upstream::named("dead").await;
    let good = Upstream::named("good").await;
    let fleet = Fleet::with(strict(), &[&dead, &good]).await;
    for _ in 0..2 {
        client::get(fleet.address(), "/").await;
    }
    let address = dead.address;
    drop(dead);
    eventually("nobody listens", || {
        std::net::TcpStream::connect(address).is_err()
    })
    .await;
    let post = async || {
        let answer = client::post(fleet.address(), "/", "body").await;
        assert_eq!(answer.status(), 200);
    };
    is_ejected_by(&fleet, post).await;
    let tries = fleet.metric("roundhouse_balancer_tries_total").await;
    for _ in 0..4 {
        assert_eq!(client::get(fleet.address(), "/").await.text(), "good");
    }
    let more = fleet.metric("roundhouse_balancer_tries_total").await - tries;
    assert_eq!(more, 4.0, "it is not even tried");
}

/// Begins an answer before the request has come whole, and waits for the rest.
async fn hasty() -> Upstream {
    Upstream::start(async |mut link: Link| {
        link.head().await;
        let begun = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";
        link.wire.send(begun).await;
        link.wire.rest().await;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_stop_in_the_middle_of_a_body_eject_nobody() {
    let half = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf";
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    for (server, request) in [(hasty().await, half), (Upstream::silent().await, head)] {
        let mut pool = strict();
        pool.timeouts.idle = Duration::from_millis(100);
        pool.timeouts.response = Duration::from_millis(100);
        let fleet = Fleet::with(pool, &[&server]).await;
        let clients = (0..8).map(async |_| {
            let mut client = fleet.client().await;
            client.send(request).await;
            client.rest().await
        });
        join_all(clients).await;
        assert_eq!(fleet.metric(EJECTED).await, 0.0, "{request}");
        let failures = "roundhouse_balancer_server_failures_total{pool=\"default\",server=\"s1\"}";
        assert_eq!(fleet.metric(failures).await, 0.0, "{request}");
    }
}
