//! What a route says in place of its pool: times, retries and the longest body.

use std::time::Duration;

use model::Retry;

use crate::fleet::Fleet;
use crate::routes::{add_pool, ask, below, fleet, put};
use crate::upstream::Upstream;
use crate::wire::LIMIT;

const GET: &str = "GET /web HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_routes_time_for_an_answer_is_in_place_of_its_pools() {
    let (fleet, _servers) = fleet(&[]).await;
    let slow = Upstream::silent().await;
    add_pool(&fleet, "slow", slow.address).await;
    let mut route = below("/slow", "slow");
    route.timeouts.response = Some(Duration::from_millis(100));
    fleet.change(put(route)).await;
    let answer = ask(&fleet, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(answer.verdict(), (504, "server-timeout".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routes_longer_time_lets_a_slow_server_answer() {
    let (fleet, _servers) = fleet(&[]).await;
    let slow = Upstream::late("late", Duration::from_millis(300)).await;
    let mut pool = crate::fleet::pool();
    pool.id = crate::routes::pool_id("slow");
    add_pool(&fleet, "slow", slow.address).await;
    pool.timeouts.response = Duration::from_millis(50);
    fleet.change(model::Change::put_pool(pool)).await;
    let get = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut route = below("/slow", "slow");
    fleet.change(put(route.clone())).await;
    assert_eq!(ask(&fleet, get).await.status(), 504);
    route.timeouts.response = Some(LIMIT);
    fleet.change(put(route)).await;
    assert_eq!(ask(&fleet, get).await.text(), "late");
}

/// A fleet whose pool `web` has a server that says 503, and then one that answers.
async fn half_broken() -> (Fleet, [Upstream; 2]) {
    let busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";
    let servers = [
        Upstream::answering(busy).await,
        Upstream::named("good").await,
    ];
    let fleet = Fleet::of(&[]).await;
    add_pool(&fleet, "web", servers[0].address).await;
    let id = crate::routes::pool_id("web");
    let second = model::Server::new(id, "s2".parse().expect("a name"), servers[1].address);
    fleet.change(model::Change::put_server(second)).await;
    (fleet, servers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routes_retries_are_in_place_of_its_pools() {
    let (fleet, _servers) = half_broken().await;
    let mut route = below("/web", "web");
    fleet.change(put(route.clone())).await;
    let mut seen = [
        ask(&fleet, GET).await.status(),
        ask(&fleet, GET).await.status(),
    ];
    seen.sort_unstable();
    assert_eq!(seen, [200, 503], "the pool tries no status again");
    route.retry = Some(Retry {
        statuses: vec!["503".parse().expect("a status")],
        budget_min: 100,
        ..Retry::default()
    });
    fleet.change(put(route.clone())).await;
    for _ in 0..4 {
        assert_eq!(ask(&fleet, GET).await.text(), "good");
    }
    let retries = route.retry.as_mut().expect("it was set");
    retries.retries = 0;
    fleet.change(put(route)).await;
    let mut seen = [
        ask(&fleet, GET).await.status(),
        ask(&fleet, GET).await.status(),
    ];
    seen.sort_unstable();
    assert_eq!(seen, [200, 503]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routes_longest_body_is_in_place_of_its_pools() {
    let (fleet, servers) = fleet(&[]).await;
    let mut route = below("/web", "web");
    route.max_body_bytes = Some(4);
    fleet.change(put(route)).await;
    let post = |body: &str| {
        let length = body.len();
        format!("POST /web HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    assert_eq!(ask(&fleet, &post("1234")).await.status(), 200);
    let answer = ask(&fleet, &post("12345")).await;
    assert_eq!(answer.verdict(), (413, "body-too-long".into()));
    assert_eq!(servers[1].requests(), 1);
}
