//! What is read off a request, what is refused, and what the server gets.

use super::checker::{Message, read, read_request};
use super::proxy::{FORWARDING, date, serve};
use crate::l7::codec::{
    Form, Forwarding, Framing, Limits, Method, Parse, Refusal, RequestHead, Version, parse_request,
    rewrite_request, write_options_answer,
};

fn parse(text: &str) -> Result<RequestHead, Refusal> {
    let mut head = RequestHead::new();
    let parse = parse_request(text.as_bytes(), &Limits::default(), &mut head)?;
    assert!(
        matches!(parse, Parse::Complete { .. }),
        "{text:?} is incomplete"
    );
    Ok(head)
}

/// A GET with these further lines, each with its CRLF.
fn get(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

fn refusal(text: &str) -> Option<Refusal> {
    parse(text).err()
}

fn forward(text: &str, forwarding: &Forwarding<'_>) -> Message {
    let head = parse(text).unwrap();
    let mut out = Vec::new();
    rewrite_request(text.as_bytes(), &head, forwarding, &mut out);
    let (mut message, _) = read_request(&out);
    message.whole = true;
    message
}

#[test]
fn a_request_is_read_into_its_parts() {
    let text = "POST /a/b?c=d HTTP/1.1\r\nHost: example.org:8080\r\nContent-Length: 5\r\nX-A:  1 \r\n\r\nhello";
    let buf = text.as_bytes();
    let head = parse(text).unwrap();
    assert_eq!(head.method, Method::Post);
    assert_eq!(head.method_name(buf), b"POST");
    assert_eq!(head.path(buf), b"/a/b");
    assert_eq!(head.target.path_and_query.of(buf), b"/a/b?c=d");
    assert_eq!(head.target.form, Form::Origin);
    assert_eq!(head.authority(buf), Some(&b"example.org:8080"[..]));
    assert_eq!(head.version, Version::Http11);
    assert_eq!(head.framing, Framing::Length(5));
    assert_eq!(head.get(buf, "x-a"), Some(&b"1"[..]));
    assert_eq!(head.get(buf, "x-b"), None);
    assert_eq!(head.fields.len(), 3);
    assert!(head.keep_alive && !head.is_idempotent() && !head.expect_continue);
}

#[test]
fn a_head_is_reused_without_a_trace_of_the_last_one() {
    let first = "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nConnection: close, upgrade\r\nUpgrade: x\r\n\r\n";
    let mut head = parse(first).unwrap();
    assert!(head.ends_here() && head.upgrade.is_some());
    let second = b"GET / HTTP/1.0\r\n\r\n";
    let parse = parse_request(second, &Limits::default(), &mut head).unwrap();
    assert_eq!(
        parse,
        Parse::Complete {
            head_length: second.len()
        }
    );
    assert!(!head.ends_here() && head.fields.is_empty());
    assert_eq!(
        (head.upgrade, head.authority, head.method),
        (None, None, Method::Get)
    );
}

#[test]
fn persistence_follows_version_and_connection() {
    let keeps = |version: &str, lines: &str| {
        let text = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        parse(&text).unwrap().keep_alive
    };
    assert!(keeps("1.1", ""));
    assert!(!keeps("1.1", "Connection: Close\r\n"));
    assert!(!keeps(
        "1.1",
        "Connection: keep-alive\r\nConnection: x, close\r\n"
    ));
    assert!(!keeps("1.0", ""));
    assert!(keeps("1.0", "Connection: Keep-Alive\r\n"));
}

#[test]
fn every_refusal_has_its_status() {
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(8_192));
    let large = get(&format!("X: {}\r\n", "a".repeat(33_000)));
    let many = get(&"X: y\r\n".repeat(100));
    let cases = [
        (long, 414),
        (large, 431),
        (many, 431),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 501),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), 505),
        ("GET / HTTP/0.9\r\n\r\n".to_owned(), 505),
        (get("Expect: 200-ok\r\n"), 417),
        (get("Transfer-Encoding: br\r\n"), 400),
        (get("Transfer-Encoding: br, chunked\r\n"), 501),
        (get("Content-Length: 99999999999999999999\r\n"), 413),
        (get("Content-Length: 9223372036854775808\r\n"), 413),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n".to_owned(), 400),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET / http/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/01.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        (
            "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            400,
        ),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n".to_owned(), 400),
    ];
    for (text, status) in cases {
        let start: String = text.chars().take(60).collect();
        assert_eq!(
            refusal(&text).map(Refusal::status),
            Some(status),
            "{start:?}"
        );
    }
}

#[test]
fn each_line_must_end_with_crlf() {
    for text in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nEmpty:\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.0\r\n\n",
    ] {
        assert_eq!(refusal(text), Some(Refusal::LineEnd), "{text:?}");
    }
}

#[test]
fn framing_in_any_doubt_is_refused() {
    for lines in [
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer_Encoding: chunked\r\n",
        "Content_Length: 3\r\n",
        "Connection: content-length\r\nContent-Length: 3\r\n",
        "Connection: host\r\n",
        "Host: a\r\n",
    ] {
        let refusal = refusal(&get(lines)).map(Refusal::status);
        assert_eq!(refusal, Some(400), "{lines:?}");
    }
}

#[test]
fn an_endless_list_of_nominated_fields_is_refused() {
    let names: Vec<_> = (0..17).map(|number| format!("x-{number}")).collect();
    let text = get(&format!("Connection: {}\r\n", names.join(",")));
    assert_eq!(refusal(&text), Some(Refusal::Connection));
}

#[test]
fn a_head_is_waited_for_up_to_its_limits() {
    let limits = Limits::new(64, 128, 100, u64::MAX);
    let mut head = RequestHead::new();
    let mut parse = |text: &str| {
        head.reset();
        parse_request(text.as_bytes(), &limits, &mut head)
    };
    assert_eq!(parse(""), Ok(Parse::Incomplete));
    assert_eq!(parse("\r\n"), Ok(Parse::Incomplete));
    assert_eq!(parse(&"a".repeat(63)), Ok(Parse::Incomplete));
    assert_eq!(parse(&"a".repeat(64)), Err(Refusal::RequestLineTooLong));
    let start = "GET / HTTP/1.1\r\nX: ";
    assert_eq!(parse(&format!("{start:a<127}")), Ok(Parse::Incomplete));
    assert_eq!(parse(&format!("{start:a<128}")), Err(Refusal::HeadTooLong));
}

#[test]
fn limits_never_exceed_what_spans_can_name() {
    let limits = Limits::new(usize::MAX, usize::MAX, usize::MAX, u64::MAX);
    let text = format!("GET /{}", "a".repeat(70_000));
    let parse = parse_request(text.as_bytes(), &limits, &mut RequestHead::new());
    assert_eq!(parse, Err(Refusal::RequestLineTooLong));
}

#[test]
fn hop_by_hop_fields_end_here() {
    let message = forward(
        &get(
            "Connection: keep-alive, X-Private\r\nX-Private: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n\
              Proxy-Authorization: x\r\nProxy: evil\r\nHTTP2-Settings: x\r\nX-Public: 2\r\nTrailer: X\r\n",
        ),
        &FORWARDING,
    );
    for name in [
        "connection",
        "x-private",
        "proxy",
        "proxy-authorization",
        "trailer",
        "te",
    ] {
        assert!(!message.has(name), "{name}");
    }
    assert_eq!(message.only("x-public"), "2");
}

#[test]
fn a_strangers_forwarding_fields_are_replaced() {
    let message = forward(
        &get(
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
              Forwarded: for=6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Request-Id: theirs\r\n",
        ),
        &FORWARDING,
    );
    assert_eq!(message.only("x-forwarded-for"), "192.0.2.7");
    assert_eq!(message.only("x-forwarded-proto"), "http");
    assert_eq!(message.only("x-forwarded-host"), "a");
    assert_eq!(message.only("x-request-id"), "id-1");
    let forwarded = "for=192.0.2.7;proto=http;host=\"a\"";
    assert_eq!(message.only("forwarded"), forwarded);
    assert!(!message.has("x_forwarded_for"));
}

const FURTHER_CLAIMS: &str =
    "X-Forwarded-Port: 4443\r\nx-forwarded-prefix: /shop\r\nX-Real-IP: 6.6.6.6\r\n";

#[test]
fn what_a_stranger_says_in_other_forwarding_fields_is_dropped() {
    let lines = format!("X-A: 1\r\n{FURTHER_CLAIMS}X_Forwarded_Ssl: on\r\nX-Forwarded: 2\r\n");
    let message = forward(&get(&lines), &FORWARDING);
    for name in [
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-real-ip",
        "x_forwarded_ssl",
    ] {
        assert!(!message.has(name), "{name}");
    }
    assert_eq!(message.only("x-a"), "1");
    assert_eq!(message.only("x-forwarded"), "2");
}

#[test]
fn what_a_trusted_proxy_says_in_other_forwarding_fields_goes_on_as_it_came() {
    let trusted = Forwarding {
        trusted: true,
        ..FORWARDING
    };
    let lines = format!("{FURTHER_CLAIMS}X-Forwarded-Port: 4444\r\nX_Forwarded_Ssl: on\r\n");
    let message = forward(&get(&lines), &trusted);
    let ports: Vec<_> = message.values("x-forwarded-port").collect();
    assert_eq!(ports, ["4443", "4444"]);
    assert_eq!(message.only("x-forwarded-prefix"), "/shop");
    assert_eq!(message.only("x-real-ip"), "6.6.6.6");
    // A proxy that minds its own fields may still let a client's look-alikes through.
    assert!(!message.has("x_forwarded_ssl"));
}

#[test]
fn a_trusted_proxys_forwarding_fields_are_continued() {
    let trusted = Forwarding {
        trusted: true,
        ..FORWARDING
    };
    let message = forward(
        &get(
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 10.0.0.9\r\nX-Forwarded-Proto: https\r\n\
              X-Forwarded-Host: shop\r\nForwarded: for=6.6.6.6\r\nX-Request-Id: theirs\r\nVia: 1.1 edge\r\n",
        ),
        &trusted,
    );
    assert_eq!(
        message.only("x-forwarded-for"),
        "6.6.6.6, 10.0.0.9, 192.0.2.7"
    );
    assert_eq!(message.only("x-forwarded-proto"), "https");
    assert_eq!(message.only("x-forwarded-host"), "shop");
    assert_eq!(message.only("x-request-id"), "id-1");
    let forwarded = "for=6.6.6.6, for=192.0.2.7;proto=http;host=\"a\"";
    assert_eq!(message.only("forwarded"), forwarded);
    let vias: Vec<_> = message.values("via").collect();
    assert_eq!(vias, ["1.1 edge", "1.1 roundhouse"]);
}

#[test]
fn forwarded_is_not_begun_behind_a_proxy_that_wrote_the_older_field_alone() {
    let trusted = Forwarding {
        trusted: true,
        ..FORWARDING
    };
    let message = forward(&get("X-Forwarded-For: 6.6.6.6\r\n"), &trusted);
    assert_eq!(message.only("x-forwarded-for"), "6.6.6.6, 192.0.2.7");
    assert!(!message.has("forwarded"));
    assert!(forward(&get(""), &trusted).has("forwarded"));
}

#[test]
fn a_quote_that_was_left_open_swallows_nothing_of_our_own() {
    let trusted = Forwarding {
        trusted: true,
        ..FORWARDING
    };
    let forwarded = |lines: &str| forward(&get(lines), &trusted).only("forwarded").to_owned();
    let own = "for=192.0.2.7;proto=http;host=\"a\"";
    for open in ["for=\"oops", "for=a;by=\"b\\\"", "\""] {
        assert_eq!(forwarded(&format!("Forwarded: {open}\r\n")), own);
        let lines = format!("Forwarded: for=x\r\nForwarded: {open}\r\nForwarded: for=y\r\n");
        assert_eq!(forwarded(&lines), format!("for=y, {own}"));
        let both = format!("X-Forwarded-For: 6.6.6.6\r\nForwarded: {open}\r\n");
        assert!(!forward(&get(&both), &trusted).has("forwarded"));
    }
    let kept = "for=\"[2001:db8::7]:1\";by=\"\\\"_x\"";
    let lines = format!("Forwarded: {kept}\r\n");
    assert_eq!(forwarded(&lines), format!("{kept}, {own}"));
}

#[test]
fn an_absolute_target_names_the_host() {
    let message = forward(
        "GET http://b:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
        &FORWARDING,
    );
    assert_eq!(message.target(), "/x?y");
    assert_eq!(message.only("host"), "b:81");
    assert_eq!(message.only("x-forwarded-host"), "b:81");
}

#[test]
fn an_old_request_without_a_host_gets_the_servers_address() {
    let message = forward("GET / HTTP/1.0\r\n\r\n", &FORWARDING);
    assert_eq!(message.only("host"), "10.0.0.1:3001");
    assert_eq!(message.only("via"), "1.0 roundhouse");
}

#[test]
fn lengths_are_normalised_and_an_empty_body_stays_declared() {
    let message = forward(&get("Content-Length: 0005\r\n"), &FORWARDING);
    assert_eq!(message.only("content-length"), "5");
    let message = forward(&get("Content-Length: 00\r\n"), &FORWARDING);
    assert_eq!(message.only("content-length"), "0");
    assert!(!forward(&get(""), &FORWARDING).has("content-length"));
}

#[test]
fn an_expectation_is_passed_on_where_a_body_waits_for_it() {
    let expects = |text: &str| forward(text, &FORWARDING).has("expect");
    assert!(expects(&get(
        "Expect: 100-Continue\r\nContent-Length: 5\r\n"
    )));
    assert!(!expects(&get("Expect: 100-continue\r\n")));
    let old = "POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    assert!(!expects(old));
}

#[test]
fn an_upgrade_is_sent_on_only_when_wanted() {
    let upgrading = Forwarding {
        upgrade: true,
        ..FORWARDING
    };
    let text =
        get("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n");
    let message = forward(&text, &upgrading);
    assert_eq!(message.only("connection"), "upgrade");
    assert_eq!(message.only("upgrade"), "websocket");
    assert!(!forward(&text, &FORWARDING).has("upgrade"));
}

#[test]
fn only_one_named_protocol_of_a_bodiless_request_is_an_upgrade() {
    let upgrade = |lines: &str| parse(&get(lines)).unwrap().upgrade.is_some();
    assert!(upgrade("Connection: upgrade\r\nUpgrade: websocket\r\n"));
    assert!(upgrade("Connection: upgrade\r\nUpgrade: IRC/6.9\r\n"));
    let long = "x".repeat(32);
    let naming = |protocol: &str| format!("Connection: upgrade\r\nUpgrade: {protocol}\r\n");
    assert!(upgrade(&naming(&long)) && !upgrade(&naming(&(long + "x"))));
    assert!(!upgrade("Upgrade: websocket\r\n"));
    assert!(!upgrade("Connection: upgrade\r\n"));
    assert!(!upgrade("Connection: upgrade\r\nUpgrade: h2c\r\n"));
    assert!(!upgrade(
        "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n"
    ));
    assert!(!upgrade(
        "Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n"
    ));
    assert!(!upgrade(
        "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n"
    ));
}

#[test]
fn max_forwards_counts_down_for_options_alone() {
    let options =
        |number: &str| format!("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {number}\r\n\r\n");
    let message = forward(&options("3"), &FORWARDING);
    assert_eq!(message.only("max-forwards"), "2");
    let message = forward(&get("Max-Forwards: 3\r\n"), &FORWARDING);
    assert_eq!(message.only("max-forwards"), "3");
    assert!(parse(&options("0")).unwrap().ends_here());
    assert!(!parse(&get("Max-Forwards: 0\r\n")).unwrap().ends_here());
    assert_eq!(refusal(&options("-1")), Some(Refusal::MaxForwards));
}

#[test]
fn the_balancers_own_answer_to_options_has_no_body() {
    let mut out = Vec::new();
    write_options_answer(Version::Http11, true, &date(), b"id-1", &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\nAllow: GET, "),
        "{text}"
    );
    assert!(
        text.contains("Content-Length: 0\r\n") && text.ends_with("\r\n\r\n"),
        "{text}"
    );
}

#[test]
fn a_newer_minor_version_is_served_as_our_own() {
    let outcome = serve([&b"\r\nGET /n HTTP/1.9\r\nHost: a\r\n\r\n"[..]]);
    let (message, _) = read_request(&outcome.forwarded[0]);
    assert_eq!(message.start_line, "GET /n HTTP/1.1");
}

#[test]
fn a_method_is_never_changed() {
    let outcome = serve([&b"get / HTTP/1.1\r\nHost: a\r\n\r\n"[..]]);
    let (message, _) = read_request(&outcome.forwarded[0]);
    assert_eq!(message.start_line, "get / HTTP/1.1");
    assert!(
        !parse("get / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap()
            .is_idempotent()
    );
}

#[test]
fn a_refused_head_does_not_keep_the_last_ones_method() {
    let mut head = parse("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let parse = parse_request(b"nonsense\r\n\r\n", &Limits::default(), &mut head);
    assert_eq!(parse, Err(Refusal::RequestLine));
    assert_eq!(head.method, Method::Get);
}

#[test]
fn an_ipv6_client_is_quoted_where_the_grammar_wants_it() {
    let trusted = Forwarding {
        client: "2001:db8::7",
        trusted: true,
        ..FORWARDING
    };
    let text = get("Forwarded: for=x\r\n");
    let head = parse(&text).unwrap();
    let mut out = Vec::new();
    rewrite_request(text.as_bytes(), &head, &trusted, &mut out);
    let (message, _) = read(&out, false);
    let forwarded = "for=x, for=\"[2001:db8::7]\";proto=http;host=\"a\"";
    assert_eq!(message.only("forwarded"), forwarded);
    assert_eq!(message.only("x-forwarded-for"), "2001:db8::7");
}
