//! Routes: which requests they claim, and what becomes of those.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{
    Action, Answer, Change, Claim, Collection, PathClaim, Pool, PoolId, Redirect, Route, RouteId,
    Scheme, Server, Share, Split, SplitBy, Unknown,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client;
use crate::fleet::{Fleet, commit, pool};
use crate::upstream::Upstream;
use crate::wire::{LIMIT, Message};

pub(crate) fn name(text: &str) -> RouteId {
    text.parse().expect("a name")
}

pub(crate) fn pool_id(text: &str) -> PoolId {
    text.parse().expect("a name")
}

/// A route that sends what lies below a path to the pool of its own name.
pub(crate) fn below(path: &str, id: &str) -> Route {
    acting(path, id, Action::Pool(pool_id(id)))
}

/// A route for what lies below a path.
pub(crate) fn acting(path: &str, id: &str, action: Action) -> Route {
    let mut route = Route::new(name(id), action);
    route.claim.path = Some(PathClaim::Prefix(path.into()));
    route
}

pub(crate) fn put(route: Route) -> Change {
    Change::Route(route.id.clone(), Some(Box::new(route)))
}

/// A pool like `default` with one server.
pub(crate) async fn add_pool(fleet: &Fleet, id: &str, server: SocketAddr) {
    let pool = Pool {
        id: pool_id(id),
        ..pool()
    };
    let server = Server::new(pool.id.clone(), "s1".parse().expect("a name"), server);
    let changes = vec![Change::put_pool(pool), Change::put_server(server)];
    let position = commit(&*fleet.registry, changes).await;
    fleet.reaches(&registry::Goal::Applied(position)).await;
}

/// A fleet whose pool `default` answers `standard`, and whose pool `web` answers with the heads that it got.
pub(crate) async fn fleet(flags: &[&str]) -> (Fleet, [Upstream; 2]) {
    let servers = [Upstream::named("standard").await, Upstream::echoing().await];
    let flags = [&["--threads", "2"], flags].concat();
    let fleet = Fleet::at(pool(), &[servers[0].address], &flags).await;
    add_pool(&fleet, "web", servers[1].address).await;
    (fleet, servers)
}

pub(crate) async fn ask(fleet: &Fleet, request: &str) -> Message {
    fleet.client().await.ask(request).await.expect("an answer")
}

fn redirect(of: Redirect) -> Route {
    acting("/old", "old", Action::Redirect(of))
}

fn to_https() -> Redirect {
    Redirect {
        scheme: Some(Scheme::Https),
        ..Redirect::default()
    }
}

fn answer(status: u16, body: &str) -> Route {
    let answer = Answer {
        status,
        body: body.into(),
        content_type: "text/plain".into(),
        unknown: Unknown::default(),
    };
    acting("/fixed", "fixed", Action::Answer(answer))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_sends_what_it_claims_to_its_pool_and_the_rest_goes_to_the_default() {
    let (fleet, servers) = fleet(&[]).await;
    fleet.change(put(below("/web", "web"))).await;
    let mut client = fleet.client().await;
    for (path, is_claimed) in [
        ("/web", true),
        ("/web/a?b=c", true),
        ("/webs", false),
        ("/", false),
        ("/?/web", false),
    ] {
        let text = client.get(path).await.text();
        assert_eq!(text != "standard", is_claimed, "{path}: {text}");
    }
    assert_eq!(servers[1].requests(), 2);
    let claimed = "roundhouse_balancer_route_requests_total{route=\"web\"}";
    fleet.counts(claimed, 2).await;
    fleet.change(Change::Route(name("web"), None)).await;
    assert_eq!(client.get("/web").await.text(), "standard");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_is_counted_by_itself_whichever_came_and_went() {
    let (fleet, _servers) = fleet(&[]).await;
    let to_web = |id: &str| acting(&format!("/{id}"), id, Action::Pool(pool_id("web")));
    for route in ["first", "stays"] {
        fleet.change(put(to_web(route))).await;
    }
    let mut client = fleet.client().await;
    for path in ["/first", "/first", "/stays"] {
        client.get(path).await;
    }
    fleet.change(Change::Route(name("first"), None)).await;
    fleet.change(put(to_web("last"))).await;
    client.get("/last").await;
    let counted = |route| format!("roundhouse_balancer_route_requests_total{{route=\"{route}\"}}");
    fleet.counts(&counted("last"), 1).await;
    fleet.counts(&counted("stays"), 1).await;
    let metrics = fleet.ops("/metrics").await.text();
    assert!(!metrics.contains(&counted("first")), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_about_the_server_as_a_whole_has_no_path_to_change() {
    let (fleet, _servers) = fleet(&[]).await;
    let mut route = Route::new(name("all"), Action::Pool(pool_id("web")));
    route.rewrite.path = Some("/elsewhere".into());
    fleet.change(put(route)).await;
    let answer = ask(&fleet, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(
        answer.text().starts_with("OPTIONS * HTTP/1.1"),
        "{}",
        answer.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_keeps_what_it_does_not_change() {
    let (fleet, servers) = fleet(&[]).await;
    let cases = [
        (
            Redirect {
                host: Some("example.org".into()),
                ..Redirect::default()
            },
            "http://example.org:81/old/a?b=c&d",
        ),
        (to_https(), "https://shop/old/a?b=c&d"),
        (
            Redirect {
                host: Some("example.org".into()),
                port: Some(8443),
                scheme: Some(Scheme::Https),
                ..Redirect::default()
            },
            "https://example.org:8443/old/a?b=c&d",
        ),
        (
            Redirect {
                path: Some("/new".into()),
                ..Redirect::default()
            },
            "http://shop:81/new",
        ),
    ];
    for (of, location) in cases {
        fleet.change(put(redirect(of))).await;
        let request = "GET /old//./a?b=c&d HTTP/1.1\r\nHost: shop:81\r\n\r\n";
        let answer = ask(&fleet, request).await;
        assert_eq!(answer.status(), 308);
        assert_eq!(answer.field("location").as_deref(), Some(location));
        let reason = answer.field("roundhouse-reason");
        assert_eq!(reason.as_deref(), Some("route-redirect"));
    }
    assert_eq!(servers[0].requests() + servers[1].requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_has_the_routes_rewrite() {
    let (fleet, _servers) = fleet(&[]).await;
    let mut route = redirect(Redirect::default());
    route.rewrite.prefix = Some("/new".into());
    fleet.change(put(route)).await;
    let answer = client::get(fleet.address(), "/old/a?b").await;
    let location = answer.field("location");
    assert_eq!(location.as_deref(), Some("http://test/new/a?b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_names_no_host_is_sent_nowhere_unless_the_route_names_one() {
    let (fleet, _servers) = fleet(&[]).await;
    fleet.change(put(redirect(to_https()))).await;
    let nameless = "GET /old HTTP/1.0\r\n\r\n";
    let answer = ask(&fleet, nameless).await;
    assert_eq!(answer.verdict(), (400, "bad-host".into()));
    let host = Some("b".into());
    let of = Redirect {
        host,
        ..Redirect::default()
    };
    fleet.change(put(redirect(of))).await;
    let location = ask(&fleet, nameless).await.field("location");
    assert_eq!(location.as_deref(), Some("http://b/old"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxys_word_on_the_scheme_counts() {
    let (fleet, _servers) = fleet(&["--trusted-proxies", "127.0.0.1"]).await;
    let mut route = redirect(to_https());
    route.claim.scheme = Some(Scheme::Http);
    fleet.change(put(route)).await;
    let status = async |proto: &str| {
        let request = format!("GET /old HTTP/1.1\r\nHost: a\r\n{proto}\r\n");
        ask(&fleet, &request).await.status()
    };
    assert_eq!(status("").await, 308);
    assert_eq!(status("X-Forwarded-Proto: http\r\n").await, 308);
    assert_eq!(status("X-Forwarded-Proto: https\r\n").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_answer_comes_from_no_server() {
    let (fleet, servers) = fleet(&[]).await;
    fleet.change(put(answer(418, "short and stout"))).await;
    let mut client = fleet.client().await;
    for _ in 0..3 {
        let answer = client.get("/fixed/a").await;
        assert_eq!(
            (answer.status(), answer.text()),
            (418, "short and stout".into())
        );
        assert_eq!(answer.field("content-type").as_deref(), Some("text/plain"));
    }
    let head = "HEAD /fixed HTTP/1.1\r\nHost: a\r\n\r\n";
    let bare = client.ask(head).await.expect("an answer");
    assert_eq!(bare.field("content-length").as_deref(), Some("15"));
    // In step: what follows is a whole answer.
    assert_eq!(client.get("/").await.text(), "standard");
    fleet.change(put(answer(204, ""))).await;
    let empty = client.get("/fixed").await;
    assert_eq!((empty.status(), empty.field("content-length")), (204, None));
    assert_eq!(client.get("/").await.text(), "standard");
    assert_eq!(servers[1].requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_nobody_read_is_never_the_next_request() {
    let (fleet, servers) = fleet(&[]).await;
    let position = [redirect(to_https()), answer(200, "fixed")].map(put);
    fleet
        .reaches(&registry::Goal::Applied(
            commit(&*fleet.registry, position.into()).await,
        ))
        .await;
    for path in ["/old", "/fixed"] {
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        let length = smuggled.len();
        let framings = [
            format!("Content-Length: {length}\r\n\r\n{smuggled}"),
            format!("Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n"),
            format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{smuggled}\r\n0\r\n\r\n"),
        ];
        for framing in framings {
            let mut client = fleet.client().await;
            let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{framing}");
            let answer = client.ask(request).await.expect("an answer");
            assert!([200, 308].contains(&answer.status()), "{}", answer.head);
            assert_eq!(answer.field("connection").as_deref(), Some("close"));
            assert!(client.is_ended().await, "another answer on {path}");
        }
        // One without a body is followed by others.
        let mut client = fleet.client().await;
        let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        let answer = client.ask(request).await.expect("an answer");
        assert_eq!(answer.field("connection"), None);
        assert_eq!(client.get("/").await.text(), "standard");
    }
    assert_eq!(servers[0].requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_whose_pool_is_gone_says_so_and_serves_again_once_it_is_back() {
    let (fleet, servers) = fleet(&[]).await;
    fleet.change(put(below("/web", "web"))).await;
    let gone = vec![
        Change::Server("web/s1".parse().expect("a key"), None),
        Change::Pool(pool_id("web"), None),
    ];
    commit(&*fleet.registry, gone).await;
    let mut client = fleet.client().await;
    let deadline = Instant::now() + LIMIT;
    let unknown = (503, "unknown-pool".into());
    while client.get("/web").await.verdict() != unknown {
        assert!(
            Instant::now() < deadline,
            "the pool is gone within {LIMIT:?}"
        );
    }
    assert_eq!(client.get("/").await.text(), "standard");
    client
        .is_turned_away_with_a_body("/web", "unknown-pool")
        .await;
    reports_fault(&fleet, "web", true).await;
    add_pool(&fleet, "web", servers[1].address).await;
    reports_fault(&fleet, "web", false).await;
    assert_eq!(client::get(fleet.address(), "/web").await.status(), 200);
}

/// Returns once the balancer reports that it can or cannot apply a route.
async fn reports_fault(fleet: &Fleet, route: &str, is_one: bool) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let instances = fleet.registry.instances().await.expect("instances");
        let mut nacks = instances.iter().flat_map(|one| &one.report.nacks);
        let found = nacks.any(|nack| nack.collection == Collection::Routes && nack.key == route);
        if found == is_one {
            return;
        }
        assert!(Instant::now() < deadline, "{instances:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Both pools of a split, `default` with most.
fn split(by: SplitBy) -> Route {
    let share = |pool: &str, weight| Share {
        pool: pool_id(pool),
        weight,
        unknown: Unknown::default(),
    };
    let split = Split {
        pools: vec![share("default", 90), share("web", 10)],
        by,
        unknown: Unknown::default(),
    };
    Route::new(name("split"), Action::Split(split))
}

/// How many of so many clients behind a proxy get the pool `web`.
async fn share_of_web(fleet: &Fleet, clients: u32) -> Vec<bool> {
    let mut proxy = fleet.client().await;
    let mut seen = Vec::new();
    for number in 0..clients {
        let client = format!("198.51.{}.{}", number / 256, number % 256);
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n");
        let answer = proxy.ask(request).await.expect("an answer");
        seen.push(answer.text() != "standard");
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_gives_each_pool_its_share_and_a_client_the_same_pool_each_time() {
    let (fleet, _servers) = fleet(&["--trusted-proxies", "127.0.0.1"]).await;
    fleet.change(put(split(SplitBy::Client))).await;
    let first = share_of_web(&fleet, 2000).await;
    let web = first.iter().filter(|web| **web).count();
    // Five standard deviations of a share of a tenth.
    assert!((133..=267).contains(&web), "{web} of 2000");
    assert_eq!(share_of_web(&fleet, 2000).await, first);
    fleet.change(put(split(SplitBy::Request))).await;
    let chosen = share_of_web(&fleet, 2000).await;
    let web = chosen.iter().filter(|web| **web).count();
    assert!((133..=267).contains(&web), "{web} of 2000");
    assert_ne!(share_of_web(&fleet, 2000).await, chosen);
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_change_while_traffic_runs() {
    let (one, other) = (Upstream::named("one").await, Upstream::named("other").await);
    let fleet = Arc::new(Fleet::of(&[&one]).await);
    add_pool(&fleet, "other", other.address).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (fleet, stop) = (Arc::clone(&fleet), Arc::clone(&stop));
        clients.spawn(async move {
            let mut client = fleet.client().await;
            let mut answers = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                let answer = client.get("/a").await;
                assert_eq!(answer.status(), 200);
                assert!(["one", "other"].contains(&answer.text().as_str()));
                answers += 1;
            }
            answers
        });
    }
    for _ in 0..20 {
        fleet.change(put(below("/a", "other"))).await;
        assert_eq!(client::get(fleet.address(), "/a").await.text(), "other");
        fleet.change(Change::Route(name("other"), None)).await;
        assert_eq!(client::get(fleet.address(), "/a").await.text(), "one");
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(answers) = clients.join_next().await {
        assert!(answers.expect("no client fails") > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_methods_and_headers_decide_too() {
    let (fleet, _servers) = fleet(&[]).await;
    let mut route = Route::new(name("web"), Action::Pool(pool_id("web")));
    route.claim = Claim {
        hosts: vec!["*.shop.example".into()],
        methods: vec!["GET".into()],
        headers: vec![model::Condition {
            name: "X-Beta".into(),
            value: model::Test::Exact("yes".into()),
            unknown: Unknown::default(),
        }],
        ..Claim::default()
    };
    fleet.change(put(route)).await;
    for (request, is_claimed) in [
        (
            "GET / HTTP/1.1\r\nHost: A.Shop.Example:8080\r\nx-beta:  yes \r\n\r\n",
            true,
        ),
        (
            "GET http://a.shop.example/ HTTP/1.1\r\nHost: b\r\nX-Beta: yes\r\n\r\n",
            true,
        ),
        (
            "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Beta: yes\r\n\r\n",
            false,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a.shop.example\r\nX-Beta: yes\r\nContent-Length: 0\r\n\r\n",
            false,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a.shop.example\r\nX-Beta: yes!\r\n\r\n",
            false,
        ),
        ("GET / HTTP/1.0\r\nX-Beta: yes\r\n\r\n", false),
    ] {
        let answer = ask(&fleet, request).await;
        assert_eq!(answer.text() != "standard", is_claimed, "{request}");
    }
}

#[test]
fn the_examples_in_the_documentation_are_routes() {
    let text = include_str!("../../../docs/operations.md");
    let lines = text.lines().filter(|line| line.contains("/v1/routes -d '"));
    let examples: Vec<&str> = lines.filter_map(|line| line.split('\'').nth(1)).collect();
    assert!(examples.len() >= 4, "{examples:?}");
    for example in examples {
        let route: Route = serde_json::from_str(example).expect(example);
        assert_eq!(model::validate_route(&route), Ok(()), "{example}");
    }
}
