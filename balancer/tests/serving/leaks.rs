//! Whatever becomes of requests, nothing of them stays: no count, no place, nobody in the queue.

use std::time::Duration;

use model::{Change, Pool, Server, StatusRange};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use crate::client;
use crate::fleet::{Fleet, pool, server};
use crate::upstream::{Link, Upstream};
use crate::wire::Wire;

/// How servers behave, by the path that is asked for.
const PATHS: [&str; 11] = [
    "/answer",
    "/busy",
    "/close",
    "/early",
    "/half",
    "/hang",
    "/malformed",
    "/nonsense",
    "/reset",
    "/stall",
    "/tunnel",
];

/// How clients do.
const BEHAVIOURS: usize = 5;

const TUNNEL: &str =
    "GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close\r\nUpgrade: echo\r\n\r\n";

/// What a server does once it has said what there is to say.
enum Then {
    TakesTheNext,
    Closes,
    Waits,
}

/// Does to each request what its path says.
async fn capricious() -> Upstream {
    Upstream::start(async |mut link: Link| {
        while let Some(head) = link.head().await {
            let (says, then) = match head.split(' ').nth(1).unwrap_or_default() {
                "/answer" => ("200 OK\r\nContent-Length: 2\r\n\r\nok", Then::TakesTheNext),
                "/busy" => ("503 Busy\r\nContent-Length: 0\r\n\r\n", Then::TakesTheNext),
                "/early" => ("413 Enough\r\nContent-Length: 0\r\n\r\n", Then::Closes),
                "/half" => ("200 OK\r\nContent-Length: 9\r\n\r\nhalf", Then::Closes),
                "/hang" => ("", Then::Waits),
                "/malformed" => (
                    "200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                    Then::Closes,
                ),
                "/nonsense" => ("nonsense\r\n\r\n", Then::Closes),
                "/reset" => return link.reset(),
                "/stall" => ("200 OK\r\nContent-Length: 9\r\n\r\nhalf", Then::Waits),
                "/tunnel" => (
                    "101 Go\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
                    Then::Waits,
                ),
                _ => ("", Then::Closes),
            };
            if !says.is_empty() {
                let bytes = format!("HTTP/1.1 {says}");
                // The balancer may not want to know it any more.
                let _ = link.wire.stream.write_all(bytes.as_bytes()).await;
            }
            match then {
                Then::TakesTheNext => {}
                Then::Closes => return,
                Then::Waits => drop(link.wire.rest().await),
            }
        }
    })
    .await
}

/// Two places at each of two servers, a short queue before them, and everything that a pool can say of tries.
fn crowded() -> Pool {
    let mut pool = pool();
    pool.retry.statuses = vec![StatusRange {
        first: 503,
        last: 503,
    }];
    pool.retry.backoff = Duration::from_millis(1);
    pool.retry.budget_min = 1000;
    pool.timeouts.per_try = Duration::from_millis(100);
    pool.timeouts.response = Duration::from_millis(300);
    pool.timeouts.idle = Duration::from_millis(300);
    pool.queue.length = 8;
    pool.queue.timeout = Duration::from_millis(200);
    // More than there are at a time, and fewer than there are in all.
    pool.circuit.requests = 40;
    pool.circuit.server_requests = 20;
    pool
}

fn bounded(id: &str, upstream: &Upstream) -> Change {
    Change::put_server(Server {
        max_connections: 2,
        ..server(id, upstream.address)
    })
}

/// One client's request, and what becomes of the client.
async fn visit(fleet: &Fleet, number: usize) {
    let path = PATHS[number % PATHS.len()];
    let mut client = fleet.client().await;
    let get = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let half = format!("PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
    match number / PATHS.len() % BEHAVIOURS {
        0 if path == "/tunnel" => client.send(TUNNEL).await,
        0 => client.send(get).await,
        1 => {
            client.send(get).await;
            client.stream.shutdown().await.expect("half closed");
        }
        2 => {
            client.send(get).await;
            return client.stream.set_zero_linger().expect("a reset");
        }
        3 => {
            client.send(half).await;
            return drop(client);
        }
        _ => client.send(half).await,
    }
    client.rest().await;
}

/// A tunnel, which holds its place until it is dropped.
async fn tunnel(fleet: &Fleet) -> Wire {
    let mut client = fleet.client().await;
    client.send(TUNNEL).await;
    let head = client.head().await.expect("an answer");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_of_requests_whatever_becomes_of_them() {
    let servers = [capricious().await, capricious().await];
    let flags = [
        "--threads",
        "2",
        "--half-closed-timeout",
        "100ms",
        "--body-timeout",
        "100ms",
    ];
    let fleet = Fleet::at(crowded(), &[], &flags).await;
    fleet.change(bounded("s1", &servers[0])).await;
    fleet.change(bounded("s2", &servers[1])).await;
    let at_once = Semaphore::new(16);
    let visits = (0..PATHS.len() * BEHAVIOURS * 4).map(async |number| {
        let _turn = at_once.acquire().await.expect("open");
        visit(&fleet, number).await;
    });
    futures_util::future::join_all(visits).await;
    for name in ["connections_open", "requests_waiting{pool=\"default\"}"] {
        fleet
            .counts(&format!("roundhouse_balancer_{name}"), 0)
            .await;
    }
    for server in ["s1", "s2"] {
        let labels = format!("{{pool=\"default\",server=\"{server}\"}}");
        let name = format!("roundhouse_balancer_server_in_flight{labels}");
        fleet.counts(&name, 0).await;
    }
    // As many as there are places, each of which is free, and as many as the circuit lets be, with one that waits.
    let mut patient = pool();
    patient.queue.timeout = Duration::from_millis(200);
    patient.circuit.requests = 5;
    fleet.change(Change::put_pool(patient)).await;
    let mut tunnels = Vec::new();
    for _ in 0..4 {
        tunnels.push(tunnel(&fleet).await);
    }
    let full = client::get(fleet.address(), "/answer").await;
    assert_eq!(full.verdict(), (503, "queue-timeout".into()));
}
