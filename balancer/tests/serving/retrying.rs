//! Requests that are tried again: by status, within the budget, after a wait; and what the client gets where that does not help.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use model::{Change, Pool, StatusRange};
use tokio::sync::watch;

use crate::client;
use crate::fleet::{Fleet, key, pool};
use crate::upstream::{Link, Upstream, nobody};
use crate::wire::{Message, eventually};

const BY_STATUS: &str = "roundhouse_balancer_retries_total{cause=\"status\"}";
const BY_CONNECT: &str = "roundhouse_balancer_retries_total{cause=\"connect\"}";
const BY_TIMEOUT: &str = "roundhouse_balancer_retries_total{cause=\"timeout\"}";
const REFUSED_BY_BUDGET: &str = "roundhouse_balancer_retries_refused_total{reason=\"budget\"}";
const REFUSED_BY_TIME: &str = "roundhouse_balancer_retries_refused_total{reason=\"time\"}";

/// A pool that tries again after 503, after a moment.
fn again_after_503() -> Pool {
    let mut pool = pool();
    pool.retry.statuses = vec![StatusRange {
        first: 503,
        last: 503,
    }];
    pool.retry.backoff = Duration::from_millis(1);
    pool
}

fn without_budget(mut pool: Pool) -> Pool {
    pool.retry.budget_share = 0.0;
    pool.retry.budget_min = 0;
    pool
}

async fn busy() -> Upstream {
    Upstream::answering("HTTP/1.1 503 Busy\r\nX-From: server\r\nContent-Length: 4\r\n\r\nbusy")
        .await
}

/// That this is the server's own answer, and none of the balancer's.
fn assert_is_busy(answer: &Message) {
    assert_eq!((answer.status(), answer.text()), (503, "busy".into()));
    assert_eq!(answer.field("x-from"), Some("server".into()));
    assert_eq!(answer.field("roundhouse-reason"), None);
}

/// Of four requests, one after the other: sorted, since either of two servers may have the first turn.
async fn statuses_of_four(fleet: &Fleet) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(client::get(fleet.address(), "/").await.status());
    }
    statuses.sort_unstable();
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_the_pool_names_is_tried_again_for_get_and_not_for_post() {
    let (bad, good) = (busy().await, Upstream::named("good").await);
    let fleet = Fleet::with(again_after_503(), &[&bad, &good]).await;
    for _ in 0..6 {
        assert_eq!(client::get(fleet.address(), "/").await.text(), "good");
    }
    assert!(fleet.metric(BY_STATUS).await >= 2.0);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answer = client::post(fleet.address(), "/", "body").await;
        statuses.push(answer.status());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503, 503]);
    assert_eq!(good.requests(), 6 + 2, "no POST was executed twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_the_pool_does_not_name_is_passed_on() {
    let (bad, good) = (busy().await, Upstream::named("good").await);
    let mut pool = again_after_503();
    pool.retry.statuses.clear();
    let fleet = Fleet::with(pool, &[&bad, &good]).await;
    assert_eq!(statuses_of_four(&fleet).await, [200, 200, 503, 503]);
    assert_eq!(fleet.metric(BY_STATUS).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_answer_so_the_client_gets_a_servers_own_answer() {
    let servers = [busy().await, busy().await, busy().await];
    let fleet = Fleet::with(again_after_503(), &[&servers[0], &servers[1], &servers[2]]).await;
    let mut client = fleet.client().await;
    for _ in 0..3 {
        assert_is_busy(&client.get("/").await);
    }
    let requests: usize = servers.iter().map(Upstream::requests).sum();
    assert_eq!(requests, 9, "each request was tried three times");
    let connections: usize = servers.iter().map(Upstream::connections).sum();
    assert!(connections <= 6, "connections go on: {connections}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_further_tries_fail_the_client_gets_the_answer_that_there_was() {
    let (bad, cut) = (busy().await, Upstream::resetting().await);
    let servers = [bad.address, cut.address, nobody()];
    let fleet = Fleet::at(again_after_503(), &servers, &["--threads", "1"]).await;
    for _ in 0..6 {
        assert_is_busy(&client::get(fleet.address(), "/").await);
    }
    assert_eq!(bad.requests(), 6);
    assert!(cut.requests() >= 2, "another was really tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_further_tries_hang_the_client_gets_the_answer_that_there_was() {
    let (bad, hung) = (busy().await, Upstream::silent().await);
    let mut pool = again_after_503();
    pool.timeouts.response = Duration::from_millis(300);
    let fleet = Fleet::with(pool, &[&bad, &hung]).await;
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(client::get(fleet.address(), "/").await);
    }
    // Who meets the hung one first has no answer to fall back on.
    answers.retain(|answer| answer.status() != 504);
    assert!(!answers.is_empty());
    answers.iter().for_each(assert_is_busy);
    assert!(hung.connections() > 0, "another was really tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_kept_back_reaches_the_client_whole_however_it_is_framed() {
    const LONG: usize = 300_000;
    let long = Upstream::start(async |mut link: Link| {
        while link.request().await.is_some() {
            let head = format!("HTTP/1.1 503 Busy\r\nContent-Length: {LONG}\r\n\r\n");
            link.wire.send(head).await;
            link.wire.send("x".repeat(LONG)).await;
        }
    })
    .await;
    let chunked = Upstream::start(async |mut link: Link| {
        while link.request().await.is_some() {
            let head = "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbus\r\n";
            link.wire.send(head).await;
            link.wire.send("1\r\ny\r\n0\r\n\r\n").await;
        }
    })
    .await;
    for (server, length) in [(&long, LONG), (&chunked, 4)] {
        let servers = [server.address, nobody()];
        let fleet = Fleet::at(again_after_503(), &servers, &["--threads", "1"]).await;
        let mut client = fleet.client().await;
        for _ in 0..4 {
            let answer = client.get("/").await;
            assert_eq!((answer.status(), answer.body.len()), (503, length));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_needed_leaves_its_connection_in_order() {
    let (whole, good) = (busy().await, Upstream::named("good").await);
    let fleet = Fleet::at(
        again_after_503(),
        &[whole.address, good.address],
        &["--threads", "1"],
    )
    .await;
    for _ in 0..8 {
        assert_eq!(client::get(fleet.address(), "/").await.text(), "good");
    }
    assert!(whole.requests() >= 4);
    assert_eq!(whole.connections(), 1, "its connection goes on");

    let half = Upstream::answering("HTTP/1.1 503 Busy\r\nContent-Length: 10\r\n\r\nhalf").await;
    let fleet = Fleet::at(
        again_after_503(),
        &[half.address, good.address],
        &["--threads", "1"],
    )
    .await;
    for _ in 0..8 {
        assert_eq!(client::get(fleet.address(), "/").await.text(), "good");
    }
    assert_eq!(half.connections(), half.requests());
    eventually("what is not read up is closed", || half.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_sent_again_whole_after_an_early_answer() {
    let early = Upstream::start(async |mut link: Link| {
        while link.head().await.is_some() {
            let answer = "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy";
            link.wire.send(answer).await;
            link.wire.rest().await;
        }
    })
    .await;
    let good = Upstream::start(async |mut link: Link| {
        while let Some(head) = link.head().await {
            let body = link.wire.bytes(10).await.expect("a body");
            let request = Message { head, body };
            link.answer(&request, &request.text()).await;
        }
    })
    .await;
    let fleet = Fleet::with(again_after_503(), &[&early, &good]).await;
    for _ in 0..4 {
        let before = early.requests() + good.requests();
        let mut client = fleet.client().await;
        client
            .send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst")
            .await;
        eventually("a server has its head", || {
            early.requests() + good.requests() > before
        })
        .await;
        client.send("-last").await;
        let answer = client.message(false).await.expect("an answer");
        assert_eq!((answer.status(), answer.text()), (200, "first-last".into()));
    }
    assert!(early.requests() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_tried_again_once_a_byte_of_an_answer_has_come() {
    let hinting = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
        HTTP/1.1 503 Busy\r\nX-From: server\r\nContent-Length: 4\r\n\r\nbusy";
    for (answer, expected) in [(hinting, "103"), ("HTTP/1.1 200 OK\r\nContent-Le", "502")] {
        let closing = async || {
            Upstream::start(move |mut link: Link| async move {
                link.request().await;
                link.wire.send(answer).await;
            })
            .await
        };
        let (one, two) = (closing().await, closing().await);
        let fleet = Fleet::with(again_after_503(), &[&one, &two]).await;
        let mut client = fleet.client().await;
        let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        client.send(request).await;
        let head = client.head().await.expect("an answer");
        assert_eq!(&head[9..12], expected);
        let rest = String::from_utf8(client.rest().await).expect("text");
        assert!(expected == "502" || rest.ends_with("busy"), "{rest}");
        assert_eq!(one.requests() + two.requests(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_budget_passes_the_failure_on() {
    let (bad, good) = (Upstream::resetting().await, Upstream::named("good").await);
    let fleet = Fleet::with(without_budget(again_after_503()), &[&bad, &good]).await;
    assert_eq!(statuses_of_four(&fleet).await, [200, 200, 502, 502]);
    assert_eq!(fleet.metric(REFUSED_BY_BUDGET).await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_budget_passes_the_servers_answer_on() {
    let (bad, good) = (busy().await, Upstream::named("good").await);
    let fleet = Fleet::with(without_budget(again_after_503()), &[&bad, &good]).await;
    let mut busy = Vec::new();
    for _ in 0..4 {
        let answer = client::get(fleet.address(), "/").await;
        if answer.status() != 200 {
            busy.push(answer);
        }
    }
    assert_eq!(busy.len(), 2);
    busy.iter().for_each(assert_is_busy);
    assert_eq!(fleet.metric(REFUSED_BY_BUDGET).await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_sent_is_tried_again_whatever_the_budget_and_however_many_are_dead() {
    let good = Upstream::named("good").await;
    let mut pool = without_budget(again_after_503());
    pool.retry.retries = 1;
    let mut servers: Vec<SocketAddr> = (0..5).map(|_| nobody()).collect();
    servers.push(good.address);
    let fleet = Fleet::at(pool, &servers, &["--threads", "2"]).await;
    for _ in 0..6 {
        assert_eq!(client::get(fleet.address(), "/").await.text(), "good");
        let answer = client::post(fleet.address(), "/", "body").await;
        assert_eq!(answer.text(), "good");
    }
    assert!(fleet.metric(BY_CONNECT).await >= 5.0);
    assert_eq!(fleet.metric(REFUSED_BY_BUDGET).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_budget_a_slow_server_is_waited_for() {
    // Longer than one try may take while there is another server.
    let late = || Upstream::late("late", Duration::from_millis(400));
    let (one, two) = (late().await, late().await);
    let mut pool = without_budget(again_after_503());
    pool.timeouts.per_try = Duration::from_millis(150);
    let fleet = Fleet::with(pool, &[&one, &two]).await;
    assert_eq!(client::get(fleet.address(), "/").await.text(), "late");
    assert_eq!(one.requests() + two.requests(), 1);
    assert_eq!(fleet.metric(REFUSED_BY_BUDGET).await, 1.0);
}

/// Answers nothing before it may.
async fn held_back(may: &watch::Receiver<bool>) -> Upstream {
    let may = may.clone();
    Upstream::start(move |mut link: Link| {
        let mut may = may.clone();
        async move {
            while let Some(request) = link.request().await {
                may.wait_for(|may| *may).await.expect("the test goes on");
                link.answer(&request, "late").await;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_is_waited_for_where_the_request_must_not_be_executed_twice() {
    let (allow, may) = watch::channel(false);
    let (one, two) = (held_back(&may).await, held_back(&may).await);
    let requests = || one.requests() + two.requests();
    let mut pool = again_after_503();
    pool.timeouts.per_try = Duration::from_millis(150);
    let servers = [one.address, two.address];
    let fleet = Fleet::at(pool, &servers, &["--threads", "1"]).await;
    let mut posting = fleet.client().await;
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    posting.send(post).await;
    eventually("a server has the POST", || requests() == 1).await;
    // Each came later, and went elsewhere when its time was over: that of the POST is long over then.
    let mut getting = [fleet.client().await, fleet.client().await];
    for (client, retries) in getting.iter_mut().zip(1..) {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        fleet.counts(BY_TIMEOUT, retries).await;
    }
    eventually("both servers have each GET", || requests() == 1 + 2 * 2).await;
    allow.send(true).expect("the servers go on");
    for client in [posting].iter_mut().chain(&mut getting) {
        let answer = client.message(false).await.expect("an answer");
        assert_eq!((answer.status(), answer.text()), (200, "late".into()));
    }
    assert_eq!(requests(), 1 + 2 * 2, "the POST was sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_time_is_given_it() {
    let asking = "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    let (bad, good) = (
        Upstream::answering(asking).await,
        Upstream::named("good").await,
    );
    let fleet = Fleet::with(again_after_503(), &[&bad, &good]).await;
    let mut longest = Duration::ZERO;
    for _ in 0..2 {
        let started = Instant::now();
        assert_eq!(client::get(fleet.address(), "/").await.text(), "good");
        longest = longest.max(started.elapsed());
    }
    // A retry takes a turn as well: where the rotation began at the bad server, the second request comes to it again.
    assert!((1..=2).contains(&bad.requests()));
    assert!(longest >= Duration::from_millis(990), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_more_time_than_there_is_has_its_answer_passed_on() {
    for asking in [
        "HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nX-From: server\r\nContent-Length: 4\r\n\r\nbusy",
        "HTTP/1.1 503 Busy\r\nDate: Sun, 06 Nov 1994 08:00:00 GMT\r\n\
        Retry-After: Sun, 06 Nov 1994 09:00:00 GMT\r\nX-From: server\r\nContent-Length: 4\r\n\r\nbusy",
    ] {
        let (bad, good) = (
            Upstream::answering(asking).await,
            Upstream::named("good").await,
        );
        let fleet = Fleet::with(again_after_503(), &[&bad, &good]).await;
        let mut busy = Vec::new();
        for _ in 0..2 {
            let answer = client::get(fleet.address(), "/").await;
            if answer.status() != 200 {
                busy.push(answer);
            }
        }
        assert_eq!(busy.len(), 1);
        assert_is_busy(&busy[0]);
        assert_eq!(good.requests(), 1);
        assert_eq!(fleet.metric(REFUSED_BY_TIME).await, 1.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_while_its_request_waits_for_another_try_is_noticed() {
    // Far more than a test takes.
    let asking = "HTTP/1.1 503 Busy\r\nRetry-After: 50\r\nContent-Length: 0\r\n\r\n";
    let bad = [
        Upstream::answering(asking).await,
        Upstream::answering(asking).await,
    ];
    let fleet = Fleet::with(again_after_503(), &[&bad[0], &bad[1]]).await;
    for resets in [true, false] {
        let before = bad[0].requests() + bad[1].requests();
        let mut client = fleet.client().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        eventually("it was tried", || {
            bad[0].requests() + bad[1].requests() == before + 1
        })
        .await;
        if resets {
            client.stream.set_zero_linger().expect("linger");
        }
        drop(client);
        fleet
            .counts("roundhouse_balancer_connections_open", 0)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_held_goes_out_once_its_server_has_no_time_left() {
    // Far more than a test takes.
    let asking =
        "HTTP/1.1 503 Busy\r\nRetry-After: 50\r\nX-From: server\r\nContent-Length: 4\r\n\r\nbusy";
    let bad = [
        Upstream::answering(asking).await,
        Upstream::answering(asking).await,
    ];
    let mut pool = again_after_503();
    pool.timeouts.drain = Duration::from_millis(100);
    let fleet = Fleet::with(pool, &[&bad[0], &bad[1]]).await;
    let asked = client::begin(fleet.address(), "/");
    let requests = || bad[0].requests() + bad[1].requests();
    eventually("it was tried", || requests() == 1).await;
    for server in ["s1", "s2"] {
        fleet.change(Change::Server(key(server), None)).await;
    }
    assert_is_busy(&asked.await.expect("an answer"));
    assert_eq!(requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_body_of_which_nothing_was_sent_goes_whole_to_another_server() {
    let counting = Upstream::start(async |mut link: Link| {
        while let Some(request) = link.request().await {
            let length = request.body.len().to_string();
            link.answer(&request, &length).await;
        }
    })
    .await;
    let servers = [nobody(), counting.address];
    let fleet = Fleet::at(again_after_503(), &servers, &["--threads", "1"]).await;
    let body = "x".repeat(200_000);
    for _ in 0..4 {
        let answer = client::post(fleet.address(), "/", &body).await;
        assert_eq!(answer.text(), "200000");
    }
    assert!(fleet.metric(BY_CONNECT).await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_leave_to_send_its_body_gets_it_of_another_server() {
    let hung = Upstream::silent().await;
    let willing = Upstream::start(async |mut link: Link| {
        while link.head().await.is_some() {
            link.wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            let body = link.wire.bytes(5).await.expect("the body");
            let text = String::from_utf8(body).expect("text");
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{text}");
            link.wire.send(answer).await;
        }
    })
    .await;
    let mut pool = pool();
    pool.timeouts.per_try = Duration::from_millis(300);
    let fleet = Fleet::with(pool, &[&hung, &willing]).await;
    for _ in 0..2 {
        let mut client = fleet.client().await;
        let asking =
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
        client.send(asking).await;
        let head = client.head().await.expect("an interim answer");
        assert!(head.starts_with("HTTP/1.1 100 "), "{head}");
        let answer = client.ask("hello").await.expect("an answer");
        assert_eq!((answer.status(), answer.text()), (200, "hello".into()));
    }
    assert!(fleet.metric(BY_TIMEOUT).await >= 1.0);
    let failures = "roundhouse_balancer_server_failures_total{pool=\"default\",server=\"s1\"}";
    assert_eq!(fleet.metric(failures).await, 0.0);
}
