//! A server with a bound of connections never sees more of them, whichever threads they are for, and whoever finds no place waits in the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::{Change, Pool, Server};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client;
use crate::fleet::{Fleet, key, pool, server};
use crate::upstream::{Link, Upstream};
use crate::wire::{LIMIT, eventually};

const WAITING: &str = "roundhouse_balancer_requests_waiting{pool=\"default\"}";

fn bounded(upstream: &Upstream, id: &str, max_connections: u32) -> Server {
    Server {
        max_connections,
        ..server(id, upstream.address)
    }
}

/// Two workers, and one server that takes so many connections.
async fn fleet(pool: Pool, upstream: &Upstream, max_connections: u32) -> Fleet {
    let fleet = Fleet::at(pool, &[], &["--threads", "2"]).await;
    fleet
        .change(Change::put_server(bounded(upstream, "s1", max_connections)))
        .await;
    fleet
}

/// Answers each request with its path, but not before it gets a permit; names the paths as they come.
async fn held() -> (Upstream, Arc<Semaphore>, mpsc::UnboundedReceiver<String>) {
    let permits = Arc::new(Semaphore::new(0));
    let (came, coming) = mpsc::unbounded_channel();
    let of_script = Arc::clone(&permits);
    let server = Upstream::start(move |mut link: Link| {
        let (permits, came) = (Arc::clone(&of_script), came.clone());
        async move {
            while let Some(request) = link.request().await {
                let path = request.head.split(' ').nth(1).expect("a path").to_owned();
                // The test may have ended.
                let _ = came.send(path.clone());
                permits.acquire().await.expect("open").forget();
                link.answer(&request, &path).await;
            }
        }
    })
    .await;
    (server, permits, coming)
}

async fn are_waiting(fleet: &Fleet, count: u32) {
    fleet.counts(WAITING, count).await;
}

/// What a server saw at the same time, at most.
#[derive(Default)]
struct Seen {
    open: AtomicUsize,
    busy: AtomicUsize,
    busy_most: AtomicUsize,
}

/// A new connection is there before its server has heard of the end of an older one, but not for long.
async fn within(seen: &Seen, bound: usize) {
    eventually("no more connections than there may be", || {
        seen.open.load(Ordering::SeqCst) <= bound
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_never_sees_more_connections_than_it_takes() {
    let seen = Arc::new(Seen::default());
    let of_script = Arc::clone(&seen);
    let server = Upstream::start(move |mut link: Link| {
        let seen = Arc::clone(&of_script);
        async move {
            seen.open.fetch_add(1, Ordering::SeqCst);
            while let Some(request) = link.request().await {
                let busy = seen.busy.fetch_add(1, Ordering::SeqCst) + 1;
                seen.busy_most.fetch_max(busy, Ordering::SeqCst);
                within(&seen, 3).await;
                // The first ones wait for each other: there are more than enough clients.
                eventually("all three are used", || {
                    seen.busy_most.load(Ordering::SeqCst) >= 3
                })
                .await;
                seen.busy.fetch_sub(1, Ordering::SeqCst);
                if request.head.starts_with("GET /close") {
                    link.wire.send("HTTP/1.1 200 OK\r\n\r\nclosed").await;
                    break;
                }
                link.answer(&request, "kept").await;
            }
            seen.open.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    let fleet = fleet(pool(), &server, 3).await;
    let mut clients = JoinSet::new();
    for number in 0..24 {
        let address = fleet.address();
        clients.spawn(async move {
            for turn in 0..12 {
                let closes = (number + turn) % 5 == 0;
                let mut client = client::connect(address).await;
                let path = if closes { "/close" } else { "/" };
                assert_eq!(client.get(path).await.status(), 200);
                assert_eq!(client.get("/").await.status(), 200);
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("every request is answered");
    }
    assert_eq!(seen.busy_most.load(Ordering::SeqCst), 3);
    within(&seen, 3).await;
    are_waiting(&fleet, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_breaks_off_gives_the_place_of_its_request_back() {
    let (server, permits, mut coming) = held().await;
    let fleet = fleet(pool(), &server, 1).await;
    let mut gone = fleet.client().await;
    gone.send("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n").await;
    coming.recv().await.expect("it is there");
    let address = fleet.address();
    let waits = client::begin(address, "/next");
    are_waiting(&fleet, 1).await;
    gone.stream.set_zero_linger().expect("a reset");
    drop(gone);
    assert_eq!(coming.recv().await.as_deref(), Some("/next"));
    permits.add_permits(2);
    assert_eq!(waits.await.expect("an answer").text(), "/next");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_another_thread_left_idle_is_in_nobodys_way() {
    let server = Upstream::named("1").await;
    let fleet = fleet(pool(), &server, 1).await;
    // Of so many clients some come to either thread.
    for _ in 0..32 {
        assert_eq!(client::get(fleet.address(), "/").await.status(), 200);
    }
    assert_eq!(server.open(), 1);
    assert_eq!(server.connections(), 1, "one thread takes over another's");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_were_idle_before_there_was_a_bound_make_room() {
    let server = Upstream::late("1", Duration::from_millis(20)).await;
    let fleet = fleet(pool(), &server, 0).await;
    client::get_at_once(fleet.address(), 16).await;
    assert!(server.open() > 2, "there are more than there may be soon");
    fleet
        .change(Change::put_server(bounded(&server, "s1", 2)))
        .await;
    eventually("the excess is closed", || server.open() <= 2).await;
    assert_eq!(client::get(fleet.address(), "/").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_are_served_in_the_order_in_which_they_came() {
    let (server, permits, mut coming) = held().await;
    let fleet = fleet(pool(), &server, 1).await;
    let mut clients = Vec::new();
    for number in 0..8 {
        clients.push(client::begin(fleet.address(), &format!("/{number}")));
        if number == 0 {
            assert_eq!(coming.recv().await.as_deref(), Some("/0"));
        } else {
            are_waiting(&fleet, number).await;
        }
    }
    permits.add_permits(8);
    for number in 1..8 {
        assert_eq!(coming.recv().await, Some(format!("/{number}")));
    }
    for client in clients {
        client.await.expect("an answer");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_has_an_end_and_waiting_has_too() {
    let (server, _permits, mut coming) = held().await;
    let mut short = pool();
    short.queue.length = 1;
    short.queue.timeout = Duration::from_millis(400);
    let fleet = fleet(short, &server, 1).await;
    let mut first = fleet.client().await;
    first.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    coming.recv().await.expect("a request");
    let address = fleet.address();
    let waiting = client::begin(address, "/2");
    are_waiting(&fleet, 1).await;
    let full = client::get(address, "/3").await;
    assert_eq!(full.verdict(), (503, "queue-full".into()));
    let waited = waiting.await.expect("an answer");
    assert_eq!(waited.verdict(), (503, "queue-timeout".into()));
    are_waiting(&fleet, 0).await;
    for reason in ["queue-full", "queue-timeout"] {
        let name = format!("roundhouse_balancer_refusals_total{{reason=\"{reason}\"}}");
        assert_eq!(fleet.metric(&name).await, 1.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_leaves_the_queue_and_is_never_sent_on() {
    let (server, permits, mut coming) = held().await;
    let fleet = fleet(pool(), &server, 1).await;
    let address = fleet.address();
    let first = client::begin(address, "/1");
    coming.recv().await.expect("the first");
    let mut gone = fleet.client().await;
    gone.send("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n").await;
    are_waiting(&fleet, 1).await;
    let last = client::begin(address, "/last");
    are_waiting(&fleet, 2).await;
    gone.stream.set_zero_linger().expect("a reset");
    drop(gone);
    are_waiting(&fleet, 1).await;
    permits.add_permits(2);
    assert_eq!(coming.recv().await.as_deref(), Some("/last"));
    assert_eq!(first.await.expect("an answer").text(), "/1");
    assert_eq!(last.await.expect("an answer").text(), "/last");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_membership_calls_those_who_wait() {
    let (full, _permits, mut coming) = held().await;
    let other = Upstream::named("other").await;
    let fleet = fleet(pool(), &full, 1).await;
    let address = fleet.address();
    let get = |path: &str| client::begin(address, path);
    let _first = get("/1");
    coming.recv().await.expect("the first");

    let waits = get("/2");
    are_waiting(&fleet, 1).await;
    fleet
        .change(Change::put_server(bounded(&other, "s2", 1)))
        .await;
    assert_eq!(waits.await.expect("an answer").text(), "other");

    fleet.change(Change::Server(key("s2"), None)).await;
    let _waits = get("/3");
    are_waiting(&fleet, 1).await;
    fleet
        .change(Change::put_server(bounded(&full, "s1", 2)))
        .await;
    assert_eq!(coming.recv().await.as_deref(), Some("/3"));

    let waits = get("/4");
    are_waiting(&fleet, 1).await;
    fleet.change(Change::Server(key("s1"), None)).await;
    let answer = waits.await.expect("an answer");
    assert_eq!(answer.verdict(), (503, "no-server-available".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_has_a_place_until_it_ends() {
    let server = Upstream::start(async |mut link: Link| {
        while let Some(head) = link.head().await {
            if head.contains("pgrade:") {
                link.wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n").await;
                link.wire.rest().await;
                return;
            }
            link.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain").await;
        }
    })
    .await;
    let fleet = fleet(pool(), &server, 1).await;
    let mut tunnel = fleet.client().await;
    tunnel
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    tunnel.head().await.expect("a tunnel");
    let address = fleet.address();
    let waits = client::begin(address, "/");
    are_waiting(&fleet, 1).await;
    drop(tunnel);
    assert_eq!(waits.await.expect("an answer").text(), "plain");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_gives_its_place_back() {
    let closed = Upstream::named("closed").await;
    let mut single = pool();
    single.queue.length = 0;
    single.retry.retries = 0;
    let fleet = fleet(single, &closed, 1).await;
    let address = closed.address;
    drop(closed);
    for _ in 0..4 {
        let answer = client::get(fleet.address(), "/").await;
        assert_eq!(answer.verdict(), (502, "server-connect-failed".into()));
    }
    let name = "roundhouse_balancer_server_connections{pool=\"default\",server=\"s1\"}";
    assert_eq!(fleet.metric(name).await, 0.0, "{address}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pools_circuit_refuses_at_once_and_closes_again() {
    let (server, permits, mut coming) = held().await;
    let mut pool = pool();
    pool.circuit.requests = 2;
    let fleet = fleet(pool, &server, 1).await;
    let address = fleet.address();
    let first = client::begin(address, "/1");
    coming.recv().await.expect("the first");
    let second = client::begin(address, "/2");
    are_waiting(&fleet, 1).await;
    let third = client::get(address, "/3").await;
    assert_eq!(third.verdict(), (503, "circuit-open".into()));
    permits.add_permits(3);
    assert_eq!(first.await.expect("an answer").text(), "/1");
    assert_eq!(second.await.expect("an answer").text(), "/2");
    let deadline = Instant::now() + LIMIT;
    while client::get(address, "/4").await.status() != 200 {
        assert!(Instant::now() < deadline, "the circuit stays open");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_as_many_requests_as_its_circuit_has_is_passed_over() {
    let (busy, permits, mut coming) = held().await;
    let mut pool = pool();
    pool.circuit.server_requests = 1;
    let fleet = fleet(pool, &busy, 0).await;
    let address = fleet.address();
    let first = client::begin(address, "/1");
    coming.recv().await.expect("the first");
    let refused = client::get(address, "/2").await;
    assert_eq!(refused.verdict(), (503, "circuit-open".into()));
    let other = Upstream::named("other").await;
    fleet
        .change(Change::put_server(server("s2", other.address)))
        .await;
    let deadline = Instant::now() + LIMIT;
    let mut others = 0;
    while others < 4 {
        // Where the one before is not quite over, there is none left.
        let answer = client::get(address, "/3").await;
        match answer.status() {
            200 => assert_eq!(answer.text(), "other"),
            _ => assert_eq!(answer.verdict(), (503, "circuit-open".into())),
        }
        others += usize::from(answer.status() == 200);
        assert!(Instant::now() < deadline, "the other one gets nothing");
    }
    permits.add_permits(1);
    assert_eq!(first.await.expect("an answer").text(), "/1");
}
