//! What a route changes of requests and answers on their way.

use model::{Action, Answer, FieldValue, HeaderChanges, Hsts, PathClaim, Redirect, Route, Unknown};

use crate::client;
use crate::fleet::Fleet;
use crate::routes::{add_pool, ask, below, fleet, put};
use crate::upstream::Upstream;
use crate::wire::field;

/// The request line that the server gets for this target.
async fn sent(fleet: &Fleet, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: shop\r\n\r\n");
    let head = ask(fleet, &request).await.text();
    let line = head.lines().next().unwrap_or_default();
    let target = line.split(' ').nth(1);
    target.unwrap_or_default().to_owned()
}

fn changes(remove: &[&str], set: &[(&str, &str)], add: &[(&str, &str)]) -> HeaderChanges {
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let added = add.iter().map(text);
    HeaderChanges {
        remove: remove.iter().map(|name| (*name).to_owned()).collect(),
        set: set.iter().map(text).collect(),
        add: added
            .map(|(name, value)| FieldValue { name, value })
            .collect(),
        unknown: Unknown::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_is_replaced_or_taken_away_and_the_query_stays() {
    let (fleet, _servers) = fleet(&[]).await;
    let mut route = below("/web", "web");
    for (prefix, cases) in [
        (
            "/v2/",
            [
                ("/web", "/v2"),
                ("/web/", "/v2/"),
                ("/web/a?/web", "/v2/a?/web"),
            ],
        ),
        (
            "/",
            [("/web", "/"), ("/web?a=b", "/?a=b"), ("/web/a/b", "/a/b")],
        ),
        (
            "/v2",
            [
                ("/web//a", "/v2/a"),
                ("/x/../web/%61?%61", "/v2/a?%61"),
                ("http://b/web/c", "/v2/c"),
            ],
        ),
    ] {
        route.rewrite.prefix = Some(prefix.into());
        fleet.change(put(route.clone())).await;
        for (target, expected) in cases {
            assert_eq!(
                sent(&fleet, target).await,
                expected,
                "{target} with {prefix}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_path_is_replaced_and_the_query_stays() {
    let (fleet, _servers) = fleet(&[]).await;
    let mut route = below("/web", "web");
    route.claim.path = Some(PathClaim::Exact("/web".into()));
    route.rewrite.path = Some("/index.html".into());
    fleet.change(put(route)).await;
    assert_eq!(sent(&fleet, "/web?a=b").await, "/index.html?a=b");
    assert_eq!(sent(&fleet, "/web").await, "/index.html");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_host_is_asked_and_told_which_one_the_client_asked() {
    let (fleet, _servers) = fleet(&[]).await;
    let mut route = below("/web", "web");
    route.rewrite.host = Some("inner.example:8080".into());
    fleet.change(put(route)).await;
    let head = ask(&fleet, "GET /web HTTP/1.1\r\nHost: Shop:81\r\n\r\n")
        .await
        .text();
    assert_eq!(field(&head, "host").as_deref(), Some("inner.example:8080"));
    assert_eq!(field(&head, "x-forwarded-host").as_deref(), Some("Shop:81"));
    let forwarded = field(&head, "forwarded").expect("a field");
    assert!(forwarded.ends_with(";host=\"Shop:81\""), "{forwarded}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_requests_are_taken_away_replaced_and_added() {
    let (fleet, _servers) = fleet(&[]).await;
    let mut route = below("/web", "web");
    route.request_headers = changes(&["X-Gone"], &[("X-User", "nobody")], &[("X-Tag", "b")]);
    fleet.change(put(route)).await;
    let request = "GET /web HTTP/1.1\r\nHost: shop\r\nx-gone: 1\r\nX-GONE: 2\r\nX_Gone: 3\r\n\
        X-Kept: 4\r\nx-user: root\r\nX_USER: root\r\nX-Tag: a\r\n\r\n";
    let head = ask(&fleet, request).await.text();
    assert!(!head.to_ascii_lowercase().contains("gone"), "{head}");
    assert!(!head.contains("root"), "{head}");
    assert_eq!(field(&head, "x-user").as_deref(), Some("nobody"));
    assert_eq!(field(&head, "x-kept").as_deref(), Some("4"));
    let tags: Vec<&str> = head
        .lines()
        .filter(|line| line.starts_with("X-Tag"))
        .collect();
    assert_eq!(tags, ["X-Tag: a", "X-Tag: b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_route_takes_away_comes_in_no_trailer() {
    let (fleet, _servers) = fleet(&[]).await;
    let seen = Upstream::start(async |mut link| {
        while let Some(head) = link.head().await {
            let mut lines = head;
            while let Some(line) = link.wire.line().await {
                let is_end = line.is_empty() && lines.ends_with("0\r\n");
                lines = lines + &line + "\r\n";
                if is_end {
                    break;
                }
                if line.starts_with("X-") && link.wire.line().await.is_some() {
                    break;
                }
            }
            let request = crate::wire::Message {
                head: String::new(),
                body: Vec::new(),
            };
            link.answer(&request, &lines).await;
        }
    })
    .await;
    add_pool(&fleet, "raw", seen.address).await;
    let mut route = below("/raw", "raw");
    let request = "POST /raw HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
        Trailer: X-User\r\n\r\n1\r\nb\r\n0\r\nX-User: root\r\n\r\n";
    fleet.change(put(route.clone())).await;
    assert!(ask(&fleet, request).await.text().contains("root"));
    route.request_headers = changes(&["X-User"], &[], &[]);
    fleet.change(put(route)).await;
    let got = ask(&fleet, request).await.text();
    assert!(got.contains("chunked") && !got.contains("root"), "{got}");
}

/// A fleet whose pool `web` gives an answer with fields that a route might change.
async fn talkative(route: Route, flags: &[&str]) -> (Fleet, [Upstream; 2]) {
    let servers = [
        Upstream::named("standard").await,
        Upstream::answering(
            "HTTP/1.1 200 OK\r\nServer: secret/1.0\r\nCache-Control: a\r\ncache-control: b\r\n\
            Strict-Transport-Security: max-age=1\r\nContent-Length: 2\r\n\r\nhi",
        )
        .await,
    ];
    let flags = [&["--threads", "1"], flags].concat();
    let fleet = Fleet::at(crate::fleet::pool(), &[servers[0].address], &flags).await;
    add_pool(&fleet, "web", servers[1].address).await;
    fleet.change(put(route)).await;
    (fleet, servers)
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_answers_are_taken_away_replaced_and_added() {
    let mut route = below("/web", "web");
    route.response_headers = changes(
        &["server"],
        &[("Cache-Control", "no-store")],
        &[("X-Frame-Options", "DENY")],
    );
    let (fleet, _servers) = talkative(route, &[]).await;
    let mut client = fleet.client().await;
    for _ in 0..2 {
        let answer = client.get("/web").await;
        assert_eq!((answer.status(), answer.text()), (200, "hi".into()));
        assert_eq!(answer.field("server"), None);
        assert_eq!(answer.field("cache-control").as_deref(), Some("no-store"));
        assert_eq!(answer.field("x-frame-options").as_deref(), Some("DENY"));
    }
    let other = client::get(fleet.address(), "/").await;
    assert_eq!(other.field("x-frame-options"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_transport_security_is_said_over_tls_alone() {
    let mut route = below("/web", "web");
    route.hsts = Some(Hsts {
        max_age: std::time::Duration::from_secs(600),
        include_subdomains: true,
        preload: false,
        unknown: Unknown::default(),
    });
    let (fleet, _servers) = talkative(route, &["--trusted-proxies", "127.0.0.1"]).await;
    let said = async |proto: &str| {
        let request = format!("GET /web HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: {proto}\r\n\r\n");
        ask(&fleet, &request)
            .await
            .field("strict-transport-security")
    };
    let own = "max-age=600; includeSubDomains";
    assert_eq!(said("https").await.as_deref(), Some(own));
    assert_eq!(said("HTTPS").await.as_deref(), Some(own));
    assert_eq!(said("http").await.as_deref(), Some("max-age=1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routes_own_answers_are_changed_and_the_balancers_failures_are_not() {
    let (fleet, servers) = fleet(&["--trusted-proxies", "127.0.0.1"]).await;
    let mut route = below("/web", "web");
    route.response_headers = changes(&[], &[("X-Frame-Options", "DENY")], &[]);
    route.hsts = Some(Hsts {
        max_age: std::time::Duration::from_secs(600),
        include_subdomains: false,
        preload: false,
        unknown: Unknown::default(),
    });
    let request = "GET /web HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n";
    let says = async |status: u16| {
        let answer = ask(&fleet, request).await;
        assert_eq!(answer.status(), status);
        let names = ["x-frame-options", "strict-transport-security"];
        names.map(|name| answer.field(name).is_some())
    };
    route.action = Action::Redirect(Redirect {
        host: Some("b".into()),
        ..Redirect::default()
    });
    fleet.change(put(route.clone())).await;
    assert_eq!(says(308).await, [true, true]);
    route.action = Action::Answer(Answer {
        status: 404,
        body: "nothing here".into(),
        content_type: "text/plain".into(),
        unknown: Unknown::default(),
    });
    fleet.change(put(route.clone())).await;
    assert_eq!(says(404).await, [true, true]);
    route.action = Action::Pool("web".parse().expect("a name"));
    fleet.change(put(route)).await;
    assert_eq!(says(200).await, [true, true]);
    let [_standard, web] = servers;
    web.end().await;
    assert_eq!(says(502).await, [false, false]);
}
