//! Clients stay with their servers: by the balancer's cookie, by their address, by what the application says.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{
    Action, Change, Pool, PoolId, Route, SameSite, Secret, SecretId, SecretKey, Server,
    ServerState, StickyKind,
};
use registry::Goal;
use tokio::sync::Semaphore;

use crate::client;
use crate::fleet::{Fleet, key, pool, server};
use crate::upstream::{Link, Upstream};
use crate::wire::{Message, eventually};

/// With this pool, and the secret that cookies are made with.
async fn fleet(edit: impl FnOnce(&mut Pool), servers: &[&Upstream], flags: &[&str]) -> Fleet {
    let mut sticky = pool();
    sticky.sticky.kind = StickyKind::Cookie;
    edit(&mut sticky);
    let addresses: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
    let fleet = Fleet::at(sticky, &addresses, flags).await;
    fleet.change(sign(first_secret())).await;
    fleet
}

fn first_secret() -> Secret {
    Secret::new(SecretId::sticky(), SecretKey::new([7; 32]))
}

fn sign(secret: Secret) -> Change {
    Change::Secret(SecretId::sticky(), Some(secret))
}

/// A request with these lines, on a connection of its own.
async fn ask(fleet: &Fleet, lines: &str) -> Message {
    let request = format!("GET / HTTP/1.1\r\nHost: shop\r\n{lines}\r\n");
    let mut client = fleet.client().await;
    let answer = client.ask(request).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{}", answer.head);
    answer
}

/// `name=value` of the cookie that an answer sets.
fn set(answer: &Message) -> String {
    let field = answer.field("set-cookie").expect("a cookie");
    field.split(';').next().expect("a pair").to_owned()
}

/// Who answers a client with this cookie, who is told of no other.
async fn served(fleet: &Fleet, cookie: &str) -> String {
    let answer = ask(fleet, &format!("Cookie: {cookie}\r\n")).await;
    assert_eq!(answer.field("set-cookie"), None);
    answer.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_leads_to_the_same_server_by_every_thread_and_every_balancer() {
    let (one, two, three) = (
        Upstream::named("1").await,
        Upstream::named("2").await,
        Upstream::named("3").await,
    );
    let fleet = fleet(|_| {}, &[&one, &two, &three], &["--threads", "2"]).await;
    let other = Fleet::on(Arc::clone(&fleet.registry), &["--threads", "1"]).await;
    other.balancer.ready().await;
    let mut values = HashSet::new();
    for _ in 0..3 {
        let first = ask(&fleet, "").await;
        let cookie = set(&first);
        let field = first.field("set-cookie").expect("a cookie");
        assert_eq!(field, format!("{cookie}; Path=/; HttpOnly; SameSite=Lax"));
        for address in [one.address, two.address, three.address] {
            assert!(!field.contains(&address.port().to_string()), "{field}");
        }
        for _ in 0..8 {
            let cookies = format!("theme=dark; {cookie}");
            assert_eq!(served(&fleet, &cookies).await, first.text());
            assert_eq!(served(&other, &cookies).await, first.text());
        }
        values.insert(cookie);
    }
    assert_eq!(values.len(), 3, "each server has another");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_names_no_server_of_the_pool_is_replaced() {
    let server = Upstream::named("1").await;
    let fleet = fleet(|_| {}, &[&server], &["--threads", "1"]).await;
    let cookie = set(&ask(&fleet, "").await);
    let (name, value) = cookie.split_once('=').expect("a pair");
    let other = if value.starts_with('A') { 'B' } else { 'A' };
    let forged = [
        String::new(),
        "s1".into(),
        server.address.to_string(),
        format!("{other}{}", &value[1..]),
        format!("{value}A"),
    ];
    for value in forged {
        let answer = ask(&fleet, &format!("Cookie: {name}={value}\r\n")).await;
        assert_eq!(set(&answer), cookie, "{value:?}");
    }
    // One of several is enough, as a parent's domain may have another.
    let several = format!("{name}=x; {cookie}; {name}=y");
    assert_eq!(served(&fleet, &several).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_server_goes_or_fails_gets_another_one_and_its_cookie() {
    let (one, two) = (Upstream::named("1").await, Upstream::named("2").await);
    let refusing = Upstream::resetting().await;
    let fleet = fleet(|_| {}, &[&one, &two], &["--threads", "1"]).await;
    let first = ask(&fleet, "").await;
    let (gone, left) = match first.text().as_str() {
        "1" => ("s1", "2"),
        _ => ("s2", "1"),
    };
    fleet.change(Change::Server(key(gone), None)).await;
    let moved = ask(&fleet, &format!("Cookie: {}\r\n", set(&first))).await;
    assert_eq!(moved.text(), left);
    assert_ne!(set(&moved), set(&first));
    assert_eq!(served(&fleet, &set(&moved)).await, left);

    // The cookie that an answer gives is that of who gave it, also after a try that failed.
    let failing = Change::put_server(server("s3", refusing.address));
    fleet.change(failing).await;
    let mut cookies = HashSet::new();
    while refusing.requests() < 2 {
        cookies.insert(set(&ask(&fleet, "").await));
    }
    assert_eq!(cookies, [set(&moved)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_do_not_see_the_balancers_cookie_and_see_all_others() {
    let server = Upstream::echoing().await;
    let fleet = fleet(|_| {}, &[&server], &["--threads", "1"]).await;
    let cookie = set(&ask(&fleet, "").await);
    let head = ask(
        &fleet,
        &format!("Cookie: a=1; {cookie}\r\nCookie: b=2\r\nX-A: 1\r\n"),
    )
    .await;
    let head = head.text();
    assert!(head.contains("Cookie: a=1; b=2"), "{head}");
    assert!(head.contains("X-A: 1") && !head.contains(&cookie), "{head}");
    let head = ask(&fleet, &format!("Cookie: {cookie}\r\n")).await.text();
    assert!(!head.to_lowercase().contains("cookie"), "{head}");
    let head = ask(&fleet, "Cookie: a=1; b\r\n").await.text();
    assert!(head.contains("Cookie: a=1; b"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_says_how_long_it_lives_and_where_it_may_go() {
    let server = Upstream::named("1").await;
    let edit = |pool: &mut Pool| {
        pool.sticky.name = "lb".into();
        pool.sticky.lifetime = Duration::from_secs(3600);
        pool.sticky.same_site = SameSite::None;
    };
    let flags = ["--threads", "1", "--trusted-proxies", "127.0.0.1"];
    let fleet = fleet(edit, &[&server], &flags).await;
    let field = |answer: Message| answer.field("set-cookie").expect("a cookie");
    let plain = field(ask(&fleet, "").await);
    let (cookie, rest) = plain.split_once("; ").expect("more");
    assert!(cookie.starts_with("lb="), "{plain}");
    // Browsers take SameSite=None over TLS alone.
    assert_eq!(rest, "Max-Age=3600; Path=/; HttpOnly");
    let lines = format!("X-Forwarded-Proto: https\r\nCookie: {cookie}\r\n");
    let secure = field(ask(&fleet, &lines).await);
    let expected = format!("{cookie}; Max-Age=3600; Path=/; HttpOnly; Secure; SameSite=None");
    assert_eq!(secure, expected, "it lives on from each answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_and_a_cookie_change_the_same_heads() {
    let server = Upstream::echoing().await;
    let fleet = fleet(|_| {}, &[&server], &["--threads", "1"]).await;
    let mut route = Route::new(
        "all".parse().expect("a name"),
        Action::Pool(PoolId::standard()),
    );
    let changes = r#"{"set":{"x-route":"yes"}}"#;
    route.request_headers = serde_json::from_str(changes).expect("changes");
    route.response_headers = serde_json::from_str(changes).expect("changes");
    fleet
        .change(Change::Route(route.id.clone(), Some(Box::new(route))))
        .await;
    let first = ask(&fleet, "").await;
    assert_eq!(first.field("x-route").as_deref(), Some("yes"));
    let cookie = set(&first);
    let again = ask(&fleet, &format!("Cookie: a=1; {cookie}\r\n")).await;
    let head = again.text();
    assert!(
        head.contains("x-route: yes") && head.contains("Cookie: a=1"),
        "{head}"
    );
    assert_eq!(again.field("set-cookie"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_known_by_their_address_a_header_or_the_applications_cookie() {
    let (one, two, three) = (
        Upstream::named("1").await,
        Upstream::named("2").await,
        Upstream::named("3").await,
    );
    let servers = [&one, &two, &three];
    let flags = ["--threads", "1", "--trusted-proxies", "127.0.0.1"];
    for (kind, name, start) in [
        (StickyKind::Source, "", "X-Forwarded-For: 192.0.2."),
        (StickyKind::Header, "x-user", "X-User: "),
        (StickyKind::ApplicationCookie, "sid", "Cookie: a=1; sid="),
    ] {
        let edit = |pool: &mut Pool| {
            pool.sticky.kind = kind;
            pool.sticky.name = name.into();
        };
        let fleet = fleet(edit, &servers, &flags).await;
        let other = Fleet::on(Arc::clone(&fleet.registry), &flags).await;
        other.balancer.ready().await;
        let mut used = HashSet::new();
        for client in 1..=24 {
            let lines = format!("{start}{client}\r\n");
            let first = ask(&fleet, &lines).await;
            assert_eq!(first.field("set-cookie"), None);
            for _ in 0..2 {
                assert_eq!(ask(&fleet, &lines).await.text(), first.text());
                assert_eq!(ask(&other, &lines).await.text(), first.text());
            }
            used.insert(first.text());
        }
        assert_eq!(used.len(), 3, "{kind:?}");
        if kind != StickyKind::Source {
            let mut loose = HashSet::new();
            for _ in 0..3 {
                loose.insert(ask(&fleet, "").await.text());
            }
            assert_eq!(loose.len(), 3, "whoever brings nothing takes turns");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_server_keeps_its_clients_and_is_drained_once_that_has_ended() {
    let (one, two) = (Upstream::named("1").await, Upstream::named("2").await);
    let edit = |pool: &mut Pool| pool.timeouts.drain = Duration::from_secs(3);
    let fleet = fleet(edit, &[&one, &two], &["--threads", "2"]).await;
    let mut first = ask(&fleet, "").await;
    while first.text() != "1" {
        first = ask(&fleet, "").await;
    }
    let cookie = set(&first);
    let leaving = fleet.leaving("s1").await;
    let draining = Server {
        state: ServerState::Draining,
        ..server("s1", one.address)
    };
    let position = fleet.change(Change::put_server(draining)).await;
    let goal = Goal::Drained(position, leaving);
    assert_eq!(served(&fleet, &cookie).await, "1");
    assert_eq!(ask(&fleet, "").await.text(), "2");
    assert!(!fleet.has_reached(&goal).await, "it keeps its clients");
    fleet.reaches(&goal).await;
    let before = one.requests();
    let moved = ask(&fleet, &format!("Cookie: {cookie}\r\n")).await;
    assert_eq!(moved.text(), "2");
    assert_ne!(set(&moved), cookie);
    assert_eq!(
        one.requests(),
        before,
        "nothing comes once it is said to be drained"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_keeps_no_clients_moves_them_at_once() {
    let (one, two) = (Upstream::named("1").await, Upstream::named("2").await);
    let edit = |pool: &mut Pool| pool.sticky.while_draining = false;
    let fleet = fleet(edit, &[&one, &two], &["--threads", "1"]).await;
    let mut first = ask(&fleet, "").await;
    while first.text() != "1" {
        first = ask(&fleet, "").await;
    }
    let leaving = fleet.leaving("s1").await;
    let position = fleet
        .set_state("s1", one.address, ServerState::Draining)
        .await;
    let goal = Goal::Drained(position, leaving);
    fleet.reaches(&goal).await;
    let moved = ask(&fleet, &format!("Cookie: {}\r\n", set(&first))).await;
    assert_eq!(moved.text(), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_waits_for_its_server_where_that_is_full_and_others_do_not() {
    let permits = Arc::new(Semaphore::new(0));
    let of_script = Arc::clone(&permits);
    let busy = Upstream::start(move |mut link: Link| {
        let permits = Arc::clone(&of_script);
        async move {
            while let Some(request) = link.request().await {
                if request.head.starts_with("GET /slow ") {
                    permits.acquire().await.expect("open").forget();
                }
                link.answer(&request, "busy").await;
            }
        }
    })
    .await;
    let free = Upstream::named("free").await;
    let fleet = fleet(|_| {}, &[&busy, &free], &["--threads", "1"]).await;
    let bounded = Server {
        max_connections: 1,
        ..server("s1", busy.address)
    };
    fleet.change(Change::put_server(bounded)).await;
    let mut first = ask(&fleet, "").await;
    while first.text() != "busy" {
        first = ask(&fleet, "").await;
    }
    let cookie = set(&first);
    let seen = busy.requests();
    let address = fleet.address();
    let begin = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: shop\r\nCookie: {cookie}\r\n\r\n");
        tokio::spawn(async move { client::connect(address).await.ask(request).await })
    };
    let slow = begin("/slow");
    eventually("its one connection is in use", || {
        busy.requests() == seen + 1
    })
    .await;
    let waits = begin("/");
    let waiting = "roundhouse_balancer_requests_waiting{pool=\"default\"}";
    fleet.counts(waiting, 1).await;
    assert_eq!(ask(&fleet, "").await.text(), "free");
    permits.add_permits(1);
    for answer in [slow, waits] {
        let answer = answer.await.expect("it ends").expect("an answer");
        assert_eq!((answer.status(), answer.text()), (200, "busy".into()));
        assert_eq!(answer.field("set-cookie"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_moves_nobody_and_gives_new_cookies() {
    let (one, two) = (Upstream::named("1").await, Upstream::named("2").await);
    let fleet = fleet(|_| {}, &[&one, &two], &["--threads", "1"]).await;
    let first = ask(&fleet, "").await;
    let rotated = first_secret().rotated(SecretKey::new([8; 32]));
    fleet.change(sign(rotated.clone())).await;
    let second = ask(&fleet, &format!("Cookie: {}\r\n", set(&first))).await;
    assert_eq!(second.text(), first.text());
    assert_ne!(set(&second), set(&first));
    fleet
        .change(sign(rotated.rotated(SecretKey::new([9; 32]))))
        .await;
    let third = ask(&fleet, &format!("Cookie: {}\r\n", set(&second))).await;
    assert_eq!(third.text(), first.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_everybody_is_served_and_nobody_is_given_a_cookie() {
    let server = Upstream::named("1").await;
    let mut sticky = pool();
    sticky.sticky.kind = StickyKind::Cookie;
    let fleet = Fleet::with(sticky, &[&server]).await;
    assert_eq!(ask(&fleet, "").await.field("set-cookie"), None);
    fleet.change(sign(first_secret())).await;
    assert!(ask(&fleet, "").await.field("set-cookie").is_some());
}
