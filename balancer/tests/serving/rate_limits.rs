//! Limits: what passes and what does not, what clients are told, and what holds while the registry is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use model::{Change, FleetName, Limit, LimitMode, LimitPart, WithoutRegistry};
use registry::testing::RedisServer;
use registry::{Options, Registry};
use tokio::time::Instant;

use crate::client;
use crate::fleet::{Fleet, commit, pool, seed, server};
use crate::routes::{add_pool, ask, below, fleet, put};
use crate::upstream::Upstream;
use crate::wire::{LIMIT, Message, eventually};

const HOUR: Duration = Duration::from_secs(3600);

/// So many requests of a client in an hour: none comes back while a test runs.
fn limit(requests: u32) -> Limit {
    Limit {
        by: vec![LimitPart::Client],
        requests,
        per: HOUR,
        ..Limit::new("api".parse().expect("a name"))
    }
}

fn put_limit(limit: Limit) -> Change {
    Change::Limit(limit.id.clone(), Some(limit))
}

/// The pool `default`, held to the limit `api`.
fn limited_pool() -> model::Pool {
    model::Pool {
        limits: vec!["api".parse().expect("a name")],
        ..pool()
    }
}

/// A fleet whose pool `default` is held to this limit.
async fn limited(limit: Limit, flags: &[&str]) -> (Fleet, [Upstream; 2]) {
    let (fleet, servers) = fleet(flags).await;
    fleet.change(put_limit(limit)).await;
    fleet.change(Change::put_pool(limited_pool())).await;
    (fleet, servers)
}

fn said(answer: &Message) -> [String; 2] {
    ["ratelimit-policy", "ratelimit"].map(|name| answer.field(name).unwrap_or_default())
}

async fn with(fleet: &Fleet, field: &str) -> Message {
    ask(
        fleet,
        &format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n"),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_exceeds_a_limit_is_told_when_to_come_again() {
    let (fleet, servers) = limited(limit(3), &[]).await;
    let mut client = fleet.client().await;
    for remaining in [2, 1, 0] {
        let answer = client.get("/").await;
        assert_eq!(answer.status(), 200);
        let [policy, state] = said(&answer);
        assert_eq!(policy, "\"api\";q=3;w=3600");
        assert!(
            state.starts_with(&format!("\"api\";r={remaining};t=")),
            "{state}"
        );
        assert_eq!(answer.field("retry-after"), None);
    }
    for _ in 0..2 {
        let answer = client.get("/").await;
        assert_eq!(answer.verdict(), (429, "rate-limited".into()));
        let after = answer.field("retry-after").expect("it says when");
        let after: u32 = after.parse().expect("seconds");
        assert!((1_000..=1_200).contains(&after), "{after}");
        let [policy, state] = said(&answer);
        assert_eq!(policy, "\"api\";q=3;w=3600");
        assert_eq!(state, format!("\"api\";r=0;t={after}"));
    }
    assert_eq!(servers[0].requests(), 3);
    let outcomes = "roundhouse_balancer_limit_requests_total{limit=\"api\",outcome=";
    fleet.counts(&format!("{outcomes}\"passed\"}}"), 3).await;
    fleet.counts(&format!("{outcomes}\"rate\"}}"), 2).await;
    let untold = "roundhouse_balancer_limit_requests_untold_total{limit=\"api\"}";
    fleet.counts(untold, 0).await;
    fleet.counts("roundhouse_balancer_limit_keys", 1).await;
    client.is_turned_away_with_a_body("/", "rate-limited").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_changed_counts_anew_and_one_that_is_taken_away_is_gone() {
    let (fleet, _servers) = limited(limit(1), &[]).await;
    let mut client = fleet.client().await;
    assert_eq!(client.get("/").await.status(), 200);
    assert_eq!(client.get("/").await.status(), 429);
    fleet.change(put_limit(limit(2))).await;
    assert_eq!(client.get("/").await.status(), 200);
    fleet.change(put_limit(limit(1))).await;
    assert_eq!(client.get("/").await.status(), 429);
    fleet.change(Change::put_pool(pool())).await;
    let answer = client.get("/").await;
    assert_eq!((answer.status(), said(&answer)), (200, Default::default()));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_counted_by_what_the_limit_says() {
    let by_key = Limit {
        by: vec![LimitPart::Header("X-Api-Key".into())],
        exempt: vec!["192.0.2.0/24".parse().expect("a network")],
        ..limit(1)
    };
    let (fleet, _servers) = limited(by_key, &["--trusted-proxies", "127.0.0.1"]).await;
    for (field, status) in [
        ("x-api-key: a", 200),
        ("X-API-KEY: a", 429),
        ("x-api-key: b", 200),
        // Without a key it is the address that counts.
        ("x-forwarded-for: 198.51.100.1", 200),
        ("x-forwarded-for: 198.51.100.1", 429),
        ("x-forwarded-for: 198.51.100.2", 200),
        ("x-forwarded-for: 2001:db8::1", 200),
        ("x-forwarded-for: 2001:db8::2", 429),
        ("x-forwarded-for: 192.0.2.1", 200),
        ("x-forwarded-for: 192.0.2.1", 200),
    ] {
        assert_eq!(with(&fleet, field).await.status(), status, "{field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routes_limits_come_before_its_pools() {
    let (fleet, servers) = fleet(&[]).await;
    fleet.change(put_limit(limit(2))).await;
    let of_route = Limit {
        id: "route".parse().expect("a name"),
        by: vec![LimitPart::Route],
        ..limit(1)
    };
    fleet.change(put_limit(of_route.clone())).await;
    let mut web = pool();
    web.id = crate::routes::pool_id("web");
    web.limits = limited_pool().limits;
    fleet.change(Change::put_pool(web)).await;
    for path in ["/web", "/also"] {
        let mut route = below(path, "web");
        route.id = path[1..].parse().expect("a name");
        route.limits = vec![of_route.id.clone()];
        fleet.change(put(route)).await;
    }
    let answer = client::get(fleet.address(), "/web").await;
    let [policy, state] = said(&answer);
    assert_eq!(policy, "\"route\";q=1;w=3600, \"api\";q=2;w=3600");
    assert!(state.starts_with("\"route\";r=0;t="), "{state}");
    assert!(state.contains(", \"api\";r=1;t="), "{state}");
    let refused = client::get(fleet.address(), "/web").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(said(&refused)[0], "\"route\";q=1;w=3600");
    assert_eq!(client::get(fleet.address(), "/also").await.status(), 200);
    assert_eq!(client::get(fleet.address(), "/").await.text(), "standard");
    assert_eq!(servers[1].requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_requests_of_a_client_are_under_way_at_the_same_time() {
    let (fleet, _servers) = fleet(&["--half-closed-timeout", "100ms"]).await;
    let silent = Upstream::silent().await;
    add_pool(&fleet, "slow", silent.address).await;
    let at_once = Limit {
        requests: 0,
        concurrent: 1,
        ..limit(0)
    };
    fleet.change(put_limit(at_once)).await;
    for (path, id) in [("/slow", "slow"), ("/web", "web")] {
        let mut route = below(path, id);
        route.limits = limited_pool().limits;
        fleet.change(put(route)).await;
    }
    let mut first = fleet.client().await;
    first.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the first is under way", || silent.open() == 1).await;
    let second = client::get(fleet.address(), "/web").await;
    assert_eq!(second.verdict(), (429, "concurrency-limited".into()));
    let policy = "\"api\";q=1;qu=\"concurrent-requests\"";
    assert_eq!(said(&second), [policy.to_owned(), String::new()]);
    assert_eq!(second.field("retry-after").as_deref(), Some("1"));
    drop(first);
    let deadline = Instant::now() + LIMIT;
    while client::get(fleet.address(), "/web").await.status() != 200 {
        assert!(Instant::now() < deadline, "the first is counted for ever");
    }
}

fn connect(redis: &RedisServer) -> Arc<dyn Registry> {
    let options = Options::new(redis.url().as_str(), FleetName::standard());
    registry::open(&options).expect("a URL")
}

/// Balancers on one Redis, with a server, whose pool `default` is held to this limit.
async fn on_redis(balancers: usize, limit: Limit) -> (RedisServer, Vec<Fleet>, Upstream) {
    let redis = RedisServer::start();
    let upstream = Upstream::named("standard").await;
    let registry = connect(&redis);
    seed(&*registry, pool()).await;
    let changes = vec![
        put_limit(limit),
        Change::put_pool(limited_pool()),
        Change::put_server(server("s1", upstream.address)),
    ];
    commit(&*registry, changes).await;
    let mut fleets = Vec::new();
    for _ in 0..balancers {
        fleets.push(Fleet::on(connect(&redis), &["--threads", "2"]).await);
    }
    let count = u32::try_from(balancers).expect("a few");
    for fleet in &fleets {
        fleet.balancer.ready().await;
        fleet
            .counts("roundhouse_balancer_limit_balancers", count)
            .await;
    }
    (redis, fleets, upstream)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exact_limit_is_exact_over_all_balancers() {
    let exact = Limit {
        mode: LimitMode::Exact,
        deadline: Duration::from_secs(10),
        ..limit(5)
    };
    let (_redis, fleets, upstream) = on_redis(2, exact).await;
    let mut statuses = Vec::new();
    for turn in 0..8 {
        let answer = client::get(fleets[turn % 2].address(), "/").await;
        statuses.push(answer.status());
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429, 429]);
    assert_eq!(upstream.requests(), 5);
    let refused = client::get(fleets[0].address(), "/").await;
    assert!(
        said(&refused)[1].starts_with("\"api\";r=0;t="),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_balancer_passes_what_the_others_leave_of_a_burst() {
    let patient = Limit {
        deadline: Duration::from_secs(10),
        ..limit(100)
    };
    let (_redis, fleets, _upstream) = on_redis(4, patient).await;
    assert_eq!(passing(&fleets[0], 90).await, 90);
    // No more than all of it passes, whoever is asked.
    let mut passed = 90;
    for fleet in &fleets {
        passed += passing(fleet, 20).await;
    }
    assert!((94..=105).contains(&passed), "{passed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_too_many_at_the_same_time_takes_nothing_of_an_exact_limit() {
    let exact = Limit {
        mode: LimitMode::Exact,
        deadline: Duration::from_secs(10),
        concurrent: 1,
        ..limit(3)
    };
    let (fleet, _servers) = limited(exact, &[]).await;
    let mut uploading = fleet.client().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n";
    uploading.send(head.as_bytes()).await;
    let first = "roundhouse_balancer_limit_requests_total{limit=\"api\",outcome=\"passed\"}";
    fleet.counts(first, 1).await;
    for _ in 0..5 {
        let answer = client::get(fleet.address(), "/").await;
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.verdict().1, "concurrency-limited");
    }
    drop(uploading);
    let passes = async || client::get(fleet.address(), "/").await.status() == 200;
    let mut passed = 0;
    let begun = Instant::now();
    while passed < 2 && begun.elapsed() < LIMIT {
        passed += usize::from(passes().await);
    }
    assert_eq!(passed, 2);
    assert!(!passes().await);
}

/// How many of so many requests pass.
async fn passing(fleet: &Fleet, requests: usize) -> usize {
    let mut client = fleet.client().await;
    let mut passed = 0;
    for _ in 0..requests {
        passed += usize::from(client.get("/").await.status() == 200);
    }
    passed
}

/// Sends requests until the balancer has noticed that the registry is away.
async fn notices_the_absence(fleet: &Fleet) {
    let deadline = Instant::now() + LIMIT;
    let line = "roundhouse_balancer_limits_alone 1";
    while !fleet.ops("/metrics").await.text().contains(line) {
        // Each client has a key of its own, so that none is used up.
        let client = rand::random::<u16>();
        let field = format!("X-Forwarded-For: 2001:db8:0:{client:x}::1");
        with(fleet, &field).await;
        assert!(Instant::now() < deadline, "the absence is not noticed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_balancer_lets_its_share_pass() {
    for mode in [LimitMode::Leased, LimitMode::Exact] {
        let (mut redis, fleets, _upstream) = on_redis(2, Limit { mode, ..limit(10) }).await;
        redis.kill();
        for fleet in &fleets {
            assert_eq!(passing(fleet, 12).await, 5, "{mode:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_starts_without_redis_lets_the_share_pass_that_it_had_when_it_last_heard_of_others()
 {
    let (mut redis, fleets, _upstream) = on_redis(2, limit(12)).await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("a path");
    let flags = ["--threads", "2", "--state-dir", path];
    let third = Fleet::on(connect(&redis), &flags).await;
    let file = directory.path().join("balancer.json");
    eventually("it is on disk how many there are", || {
        let text = std::fs::read_to_string(&file);
        text.is_ok_and(|text| text.contains("\"balancers\":3"))
    })
    .await;
    third.end().await;
    redis.kill();
    let third = Fleet::on(connect(&redis), &flags).await;
    third.balancer.ready().await;
    third.counts("roundhouse_balancer_limit_balancers", 3).await;
    assert_eq!(passing(&third, 12).await, 4);
    redis.restart();
    for fleet in fleets {
        fleet.end().await;
    }
    third.counts("roundhouse_balancer_limit_balancers", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_limit_is_open_or_closed_if_it_says_so() {
    for (without_registry, passes) in [(WithoutRegistry::Open, 9), (WithoutRegistry::Closed, 0)] {
        let limit = Limit {
            without_registry,
            mode: LimitMode::Exact,
            deadline: Duration::from_secs(10),
            ..limit(3)
        };
        let (mut redis, fleets, _upstream) = on_redis(1, limit).await;
        assert_eq!(passing(&fleets[0], 9).await, 3);
        redis.kill();
        assert_eq!(passing(&fleets[0], 9).await, passes);
        notices_the_absence(&fleets[0]).await;
        redis.restart();
        let deadline = Instant::now() + LIMIT;
        let line = "roundhouse_balancer_limits_alone 0";
        while !fleets[0].ops("/metrics").await.text().contains(line) {
            passing(&fleets[0], 1).await;
            assert!(Instant::now() < deadline, "the return is not noticed");
        }
        fleets[0].end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_knows_that_redis_is_gone_or_back_before_any_request_comes() {
    let limit = Limit {
        without_registry: WithoutRegistry::Closed,
        ..limit(3)
    };
    let (mut redis, fleets, _upstream) = on_redis(1, limit).await;
    let alone = "roundhouse_balancer_limits_alone";
    redis.kill();
    fleets[0].counts(alone, 1).await;
    let passes = async |client| {
        let field = format!("X-Forwarded-For: {client}");
        with(&fleets[0], &field).await.status() == 200
    };
    assert!(!passes("10.0.0.1").await);
    redis.restart();
    fleets[0].counts(alone, 0).await;
    assert!(passes("10.0.0.2").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_refuses_at_first_when_it_is_back_is_asked_again_before_any_request_comes() {
    let (redis, fleets, _upstream) = on_redis(1, limit(3)).await;
    let alone = "roundhouse_balancer_limits_alone";
    let (head, aside) = ("roundhouse:{main}:head", "aside");
    // In the place of LOADING, which does not last for certain.
    redis.command(&["RENAME", head, aside]);
    redis.command(&["SET", head, "nonsense"]);
    redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    fleets[0].counts(alone, 1).await;
    redis.command(&["RENAME", aside, head]);
    fleets[0].counts(alone, 0).await;
}

/// Sends requests, a few at a time, and counts those that pass.
struct Load {
    stop: Arc<AtomicBool>,
    passed: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn new() -> Self {
        Self {
            stop: Arc::default(),
            passed: Arc::default(),
            refused: Arc::default(),
            clients: Vec::new(),
        }
    }

    fn add(&mut self, fleet: &Fleet) {
        let address = fleet.address();
        let stop = Arc::clone(&self.stop);
        let (passed, refused) = (Arc::clone(&self.passed), Arc::clone(&self.refused));
        self.clients.push(tokio::spawn(async move {
            let mut client = client::connect(address).await;
            while !stop.load(Ordering::Relaxed) {
                let counted = match client.get("/").await.status() {
                    200 => &passed,
                    429 => &refused,
                    other => panic!("{other}"),
                };
                counted.fetch_add(1, Ordering::Relaxed);
                // A pace: an open tap would starve what is tested.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }));
    }

    async fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("a client does not panic");
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.passed), count(&self.refused))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_balancers_together_let_the_limit_pass_and_no_more() {
    const RATE: u32 = 200;
    const BURST: u32 = 40;
    let limit = Limit {
        per: Duration::from_secs(1),
        burst: Some(BURST),
        ..limit(RATE)
    };
    let (_redis, fleets, upstream) = on_redis(4, limit).await;
    let began = Instant::now();
    let mut load = Load::new();
    // Much at one, little at the others.
    for (balancer, clients) in [(0, 4), (1, 1), (2, 1), (3, 1)] {
        for _ in 0..clients {
            load.add(&fleets[balancer]);
        }
    }
    let deadline = began + LIMIT;
    let has_passed = |load: &Load| load.passed.load(Ordering::Relaxed) >= 600;
    while !has_passed(&load) {
        assert!(Instant::now() < deadline, "less passes than the limit lets");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (passed, refused) = load.stop().await;
    let most = f64::from(BURST) + f64::from(RATE) * began.elapsed().as_secs_f64();
    assert!(refused > 0, "there was more than the limit");
    assert!(
        passed as f64 <= 1.05 * most,
        "{passed} passed, and {most} may"
    );
    assert_eq!(upstream.requests() as u64, passed);
}
