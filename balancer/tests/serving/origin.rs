//! Where a request comes from and what it is called, as servers and clients are told.

use std::collections::HashSet;

use crate::fleet::{Fleet, pool};
use crate::upstream::Upstream;
use crate::wire::{Message, field};

async fn fleet(server: &Upstream, flags: &[&str]) -> Fleet {
    let flags = [&["--threads", "1"], flags].concat();
    Fleet::at(pool(), &[server.address], &flags).await
}

/// The answer to a request with these lines, and the head that the server got.
async fn ask(fleet: &Fleet, lines: &str) -> (Message, String) {
    let request = format!("GET / HTTP/1.1\r\nHost: shop\r\n{lines}\r\n");
    let answer = fleet.client().await.ask(request).await.expect("an answer");
    let head = answer.text();
    (answer, head)
}

const CLAIMS: &str = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
    X-Forwarded-Host: front\r\nForwarded: for=6.6.6.6;proto=https\r\nX-Request-Id: theirs\r\n\
    X-Forwarded-Port: 4443\r\nX-Forwarded-Prefix: /front\r\nX-Forwarded-Server: edge\r\n\
    X-Forwarded-Ssl: on\r\nX-Forwarded-Scheme: https\r\nX-Real-IP: 6.6.6.6\r\n";

/// Those of the claims that the balancer has no word of its own for.
const FURTHER: [(&str, &str); 6] = [
    ("x-forwarded-port", "4443"),
    ("x-forwarded-prefix", "/front"),
    ("x-forwarded-server", "edge"),
    ("x-forwarded-ssl", "on"),
    ("x-forwarded-scheme", "https"),
    ("x-real-ip", "6.6.6.6"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_claims_is_dropped() {
    let server = Upstream::echoing().await;
    for flags in [&[][..], &["--trusted-proxies", "10.0.0.0/8"]] {
        let fleet = fleet(&server, flags).await;
        let (answer, head) = ask(&fleet, CLAIMS).await;
        assert_eq!(
            field(&head, "x-forwarded-for").as_deref(),
            Some("127.0.0.1")
        );
        assert_eq!(field(&head, "x-forwarded-proto").as_deref(), Some("http"));
        assert_eq!(field(&head, "x-forwarded-host").as_deref(), Some("shop"));
        let forwarded = "for=127.0.0.1;proto=http;host=\"shop\"";
        assert_eq!(field(&head, "forwarded").as_deref(), Some(forwarded));
        assert!(!head.contains("theirs") && !answer.head.contains("theirs"));
        for (name, _) in FURTHER {
            assert_eq!(field(&head, name), None, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trusted_proxy_says_is_kept_and_continued() {
    let server = Upstream::echoing().await;
    let fleet = fleet(&server, &["--trusted-proxies", "10.0.0.0/8,127.0.0.1"]).await;
    let (answer, head) = ask(&fleet, CLAIMS).await;
    let chain = "6.6.6.6, 127.0.0.1";
    assert_eq!(field(&head, "x-forwarded-for").as_deref(), Some(chain));
    assert_eq!(field(&head, "x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(field(&head, "x-forwarded-host").as_deref(), Some("front"));
    let forwarded = "for=6.6.6.6;proto=https, for=127.0.0.1;proto=http;host=\"shop\"";
    assert_eq!(field(&head, "forwarded").as_deref(), Some(forwarded));
    assert_eq!(field(&head, "x-request-id").as_deref(), Some("theirs"));
    assert_eq!(answer.field("x-request-id").as_deref(), Some("theirs"));
    for (name, value) in FURTHER {
        assert_eq!(field(&head, name).as_deref(), Some(value), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv4_proxy_is_known_on_an_ipv6_socket_too() {
    let server = Upstream::echoing().await;
    let flags = [
        "--listen",
        "[::ffff:127.0.0.1]:0",
        "--trusted-proxies",
        "127.0.0.0/8",
    ];
    let fleet = fleet(&server, &flags).await;
    let (_, head) = ask(&fleet, CLAIMS).await;
    let chain = "6.6.6.6, 127.0.0.1";
    assert_eq!(field(&head, "x-forwarded-for").as_deref(), Some(chain));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_an_id_of_its_own_that_server_and_client_both_see() {
    let server = Upstream::echoing().await;
    let fleet = fleet(&server, &[]).await;
    let mut client = fleet.client().await;
    let mut ids = HashSet::new();
    for _ in 0..10 {
        let answer = client.get("/").await;
        let id = answer.field("x-request-id").expect("an id");
        assert_eq!(field(&answer.text(), "x-request-id").as_ref(), Some(&id));
        assert!(id.len() == 36 && id.as_bytes()[14] == b'7', "{id}");
        ids.insert(id);
    }
    assert_eq!(ids.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_none_is_replaced_whoever_sent_it() {
    let server = Upstream::echoing().await;
    let fleet = fleet(&server, &["--trusted-proxies", "127.0.0.0/8"]).await;
    for claim in ["a b", "\"x\"", &"x".repeat(129)] {
        let (_, head) = ask(&fleet, &format!("X-Request-Id: {claim}\r\n")).await;
        let id = field(&head, "x-request-id").expect("an id");
        assert_eq!(id.len(), 36, "{claim:?} became {id}");
    }
    let (_, head) = ask(&fleet, "X-Request-Id: a\r\nX-Request-Id: b\r\n").await;
    assert_eq!(field(&head, "x-request-id").expect("one id").len(), 36);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_balancers_own_answers_name_the_request_too() {
    let server = Upstream::echoing().await;
    let fleet = fleet(&server, &["--trusted-proxies", "127.0.0.0/8"]).await;
    let mut client = fleet.client().await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nX-Request-Id: theirs\r\n\
        Transfer-Encoding: chunked\r\n\r\nzz\r\n";
    let answer = client.ask(request).await.expect("an answer");
    assert_eq!(answer.field("x-request-id").as_deref(), Some("theirs"));
    let nonsense = fleet.client().await.ask("nonsense\r\n\r\n").await;
    let id = nonsense.expect("an answer").field("x-request-id");
    assert_eq!(id.expect("an id").len(), 36);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_be_had_over_tls_alone_is_not_to_be_had_without() {
    let server = Upstream::echoing().await;
    let secure = "GET https://shop/ HTTP/1.1\r\nHost: shop\r\n\r\n";
    let stranger = fleet(&server, &[]).await;
    let mut client = stranger.client().await;
    let answer = client.ask(secure).await.expect("an answer");
    assert_eq!(answer.verdict(), (421, "misdirected".into()));
    assert_eq!(
        (client.get("/").await.status(), server.requests()),
        (200, 1)
    );
    client
        .is_turned_away_with_a_body("https://shop/", "misdirected")
        .await;
    assert_eq!(server.requests(), 1);
    let proxy = fleet(&server, &["--trusted-proxies", "127.0.0.1"]).await;
    let answer = proxy.client().await.ask(secure).await;
    assert_eq!(answer.expect("an answer").status(), 200);
}
