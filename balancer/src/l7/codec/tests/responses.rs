//! What is read off a response, and what the client gets.

use super::checker::{Message, read, read_head};
use super::proxy::{Reply, date, relay};
use crate::l7::codec::{
    Answer, Asked, BadResponse, Framing, InterimCap, Limits, Parse, Protocol, ResponseHead,
    Returning, Version, parse_response, rewrite_response, write_answer,
};

fn parse_for(text: &str, asked: Asked) -> Result<ResponseHead, BadResponse> {
    let mut head = ResponseHead::new();
    let parse = parse_response(text.as_bytes(), asked, &Limits::for_responses(), &mut head)?;
    assert!(
        matches!(parse, Parse::Complete { .. }),
        "{text:?} is incomplete"
    );
    Ok(head)
}

fn parse(text: &str) -> Result<ResponseHead, BadResponse> {
    parse_for(text, Asked::default())
}

fn error(text: &str) -> Option<BadResponse> {
    parse(text).err()
}

fn relayed(text: &str, version: Version) -> (Reply, Message) {
    let reply = relay([text.as_bytes()], Asked::default(), version);
    let (message, rest) = read(&reply.written, !reply.keep_alive);
    assert!(rest.is_empty(), "{rest:?}");
    (reply, message)
}

#[test]
fn a_response_is_read_into_its_parts() {
    let text = "HTTP/1.1 404 Not  Here\r\nContent-Length: 2\r\nX-A: 1\r\n\r\nok";
    let head = parse(text).unwrap();
    assert_eq!(head.status, 404);
    assert_eq!(head.reason.of(text.as_bytes()), b"Not  Here");
    assert_eq!(head.framing, Framing::Length(2));
    assert_eq!(head.get(text.as_bytes(), "x-a"), Some(&b"1"[..]));
    assert!(head.keep_alive && !head.is_interim());
}

#[test]
fn a_bodys_end_follows_from_status_and_fields() {
    let framing = |text: &str| parse(text).unwrap().framing;
    assert_eq!(framing("HTTP/1.1 200 OK\r\n\r\n"), Framing::UntilClose);
    assert_eq!(
        framing("HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n"),
        Framing::Chunked
    );
    assert_eq!(
        framing("HTTP/1.1 204 \r\nContent-Length: 5\r\n\r\n"),
        Framing::None
    );
    assert_eq!(
        framing("HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n"),
        Framing::None
    );
    assert_eq!(framing("HTTP/1.1 103 \r\nLink: x\r\n\r\n"), Framing::None);
}

#[test]
fn a_response_that_two_readers_could_read_differently_is_not_passed_on() {
    let cases = [
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", BadResponse::StatusLine),
        ("HTTP/2.0 200 OK\r\n\r\n", BadResponse::StatusLine),
        ("HTTP/1.1 600 X\r\n\r\n", BadResponse::StatusLine),
        ("HTTP/1.1 2000 X\r\n\r\n", BadResponse::StatusLine),
        ("HTTP/1.1  200 X\r\n\r\n", BadResponse::StatusLine),
        ("HTTP/1.1 200 O\rK\r\n\r\n", BadResponse::StatusLine),
        ("HTTP/1.1 200 OK\n\r\n", BadResponse::Field),
        ("HTTP/1.1 200 OK\r\nX: y\n\r\n", BadResponse::Field),
        ("HTTP/1.1 200 OK\r\nX : y\r\n\r\n", BadResponse::Field),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", BadResponse::Field),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            BadResponse::ContentLength,
        ),
        (
            "HTTP/1.1 204 OK\r\nContent-Length: x\r\n\r\n",
            BadResponse::ContentLength,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            BadResponse::TransferEncoding,
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            BadResponse::TransferEncoding,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: a b\r\n\r\n",
            BadResponse::Connection,
        ),
        (
            "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            BadResponse::UnaskedUpgrade,
        ),
    ];
    for (text, wanted) in cases {
        assert_eq!(error(text), Some(wanted), "{text:?}");
    }
}

#[test]
fn nonsense_is_noticed_before_a_head_could_end() {
    let mut head = ResponseHead::new();
    let parse = parse_response(
        b"<html>",
        Asked::default(),
        &Limits::for_responses(),
        &mut head,
    );
    assert_eq!(parse, Err(BadResponse::StatusLine));
}

#[test]
fn an_upgrade_is_granted_only_as_asked_and_in_full() {
    let asked = Asked {
        upgrade: Protocol::read(b"WebSocket"),
        ..Asked::default()
    };
    let text =
        "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-A: 1\r\n\r\n\x01\x02";
    let head = parse_for(text, asked).unwrap();
    assert!(head.is_upgrade() && !head.is_interim());
    let without = "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\n\r\n";
    let unnamed = "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n\r\n";
    let to =
        |protocol| format!("HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n");
    let (other, older) = (to("h2c"), to("websocket/1"));
    let several = to("h2c, websocket");
    let twice = to("h2c\r\nUpgrade: websocket");
    for text in [without, unnamed, &other, &older, &several, &twice] {
        let error = parse_for(text, asked).err();
        assert_eq!(error, Some(BadResponse::UnaskedUpgrade), "{text:?}");
    }
    let reply = relay([text.as_bytes()], asked, Version::Http11);
    let (message, _) = read_head(&reply.written);
    assert_eq!(message.only("connection"), "upgrade");
    assert_eq!(message.only("upgrade"), "websocket");
    assert!(!reply.keep_alive);
}

#[test]
fn a_servers_connection_is_used_again_only_after_a_clear_end() {
    let keeps = |text: &str| parse(text).unwrap().keep_alive;
    assert!(keeps("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert!(!keeps("HTTP/1.1 200 OK\r\n\r\n"));
    assert!(!keeps(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    ));
    assert!(!keeps("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert!(keeps(
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
    ));
    assert!(!keeps("HTTP/1.1 204 OK\r\nContent-Length: 5\r\n\r\n"));
    assert!(!keeps(
        "HTTP/1.1 304 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    assert!(keeps("HTTP/1.1 304 OK\r\nContent-Length: 5\r\n\r\n"));
}

#[test]
fn hop_by_hop_fields_end_here() {
    let (_, message) = relayed(
        "HTTP/1.1 200 OK\r\nConnection: X-Int\r\nX-Int: 1\r\nKeep-Alive: 5\r\nUpgrade: h2\r\n\
         Proxy-Authenticate: x\r\nX-Request-Id: 7\r\nServer: s\r\nContent-Length: 02\r\n\r\nok",
        Version::Http11,
    );
    assert!(!message.has("connection") && !message.has("upgrade"));
    assert_eq!(message.only("content-length"), "2");
    assert_eq!(message.only("server"), "s");
    assert_eq!(message.only("x-request-id"), "id-1");
    assert_eq!(message.only("via"), "1.1 roundhouse");
    assert_eq!(message.only("date"), "Thu, 01 Jan 1970 00:00:00 GMT");
}

#[test]
fn an_upgrade_that_is_required_is_named() {
    let required = "HTTP/1.1 426 No\r\nConnection: close, upgrade\r\nUpgrade: a/1, websocket\r\n\
        Content-Length: 0\r\n\r\n";
    let (_, message) = relayed(required, Version::Http11);
    assert_eq!(message.only("upgrade"), "a/1, websocket");
    assert_eq!(message.only("connection"), "upgrade");
    let (_, message) = relayed(required, Version::Http10);
    assert!(!message.has("upgrade"));
    let (_, message) = relayed(&required.replace(", upgrade", ""), Version::Http11);
    assert!(!message.has("upgrade"));
}

#[test]
fn no_server_says_why_the_balancer_answers() {
    let text =
        "HTTP/1.1 503 No\r\nRoundhouse-Reason: no-server-available\r\nContent-Length: 0\r\n\r\n";
    assert!(!relayed(text, Version::Http11).1.has("roundhouse-reason"));
}

#[test]
fn what_is_a_requests_business_means_nothing_in_a_response() {
    let text = "HTTP/1.1 200 OK\r\nX-Forwarded-For: 1\r\nX-Forwarded-Port: 2\r\nX-Real-IP: 3\r\n\
        Content-Length: 0\r\n\r\n";
    let (_, message) = relayed(text, Version::Http11);
    assert_eq!(message.only("x-forwarded-for"), "1");
    assert_eq!(message.only("x-forwarded-port"), "2");
    assert_eq!(message.only("x-real-ip"), "3");
}

#[test]
fn a_servers_own_date_stays() {
    let text =
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n";
    let (_, message) = relayed(text, Version::Http11);
    assert_eq!(message.only("date"), "Sun, 06 Nov 1994 08:49:37 GMT");
}

#[test]
fn a_body_until_the_end_becomes_chunks_for_a_new_client() {
    let (reply, message) = relayed("HTTP/1.0 200 OK\r\n\r\nall of it", Version::Http11);
    assert_eq!(message.only("transfer-encoding"), "chunked");
    assert_eq!(message.body, b"all of it");
    assert!(message.whole && reply.keep_alive && !reply.reusable);
}

#[test]
fn an_old_client_gets_no_chunks_and_a_closed_connection() {
    let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3;x\r\nall\r\n0\r\nX: 1\r\n\r\n";
    let (reply, message) = relayed(text, Version::Http10);
    assert_eq!(message.only("connection"), "close");
    assert!(!message.has("transfer-encoding") && !message.has("trailer"));
    assert_eq!(message.body, b"all");
    assert!(!reply.keep_alive && reply.reusable);
}

#[test]
fn an_old_client_keeps_its_connection_where_the_length_is_known() {
    let (reply, message) = relayed(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        Version::Http10,
    );
    assert_eq!(message.only("connection"), "keep-alive");
    assert!(reply.keep_alive);
}

#[test]
fn a_response_to_head_keeps_its_length_and_has_no_body() {
    let asked = Asked {
        head_only: true,
        upgrade: None,
    };
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let reply = relay([text.as_bytes()], asked, Version::Http11);
    let (message, rest) = read_head(&reply.written);
    assert_eq!(message.only("content-length"), "5");
    assert!(rest.is_empty() && reply.reusable && reply.keep_alive);
}

#[test]
fn a_status_without_a_body_declares_none() {
    let (_, message) = relayed(
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        Version::Http11,
    );
    assert!(!message.has("content-length") && !message.has("transfer-encoding"));
}

#[test]
fn interim_responses_reach_new_clients_alone() {
    let text = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let reply = relay([text.as_bytes()], Asked::default(), Version::Http11);
    let (interim, rest) = read(&reply.written, false);
    assert_eq!((interim.status(), interim.only("link")), ("103", "</a>"));
    assert!(!interim.has("date") && !interim.has("connection"));
    assert_eq!(read(rest, false).0.status(), "200");
    let (_, only) = relayed(text, Version::Http10);
    assert_eq!(only.status(), "200");
}

#[test]
fn interim_responses_are_capped() {
    let mut cap = InterimCap::default();
    assert!((0..32).all(|_| cap.take().is_ok()));
    assert_eq!(cap.take(), Err(BadResponse::TooManyInterim));
}

#[test]
fn the_balancers_own_answers_say_why() {
    let date = date();
    let answer = Answer {
        status: 503,
        token: "no-server-available",
        text: "no server of the pool is up",
        version: Version::Http11,
        keep_alive: true,
        head_only: false,
        date: &date,
        request_id: b"id-1",
        retry_after: Some(5),
        lines: b"RateLimit: \"api\";r=0;t=5\r\n",
    };
    let mut out = Vec::new();
    write_answer(&answer, &mut out);
    let (message, rest) = read(&out, false);
    assert_eq!(message.start_line, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(message.only("roundhouse-reason"), "no-server-available");
    assert_eq!(
        message.body,
        b"Service Unavailable: no server of the pool is up\n"
    );
    assert_eq!(message.only("x-request-id"), "id-1");
    assert_eq!(message.only("retry-after"), "5");
    assert_eq!(message.only("ratelimit"), "\"api\";r=0;t=5");
    assert!(rest.is_empty() && !message.has("connection"));
}

#[test]
fn an_answer_to_head_is_its_head_and_a_refusal_closes() {
    let date = date();
    let answer = Answer {
        status: 405,
        token: "trace-not-served",
        text: "TRACE is not served here",
        version: Version::Http11,
        keep_alive: false,
        head_only: true,
        date: &date,
        request_id: b"id-1",
        retry_after: None,
        lines: b"",
    };
    let mut out = Vec::new();
    write_answer(&answer, &mut out);
    let (message, rest) = read_head(&out);
    assert!(rest.is_empty() && message.has("allow"));
    assert_eq!(message.only("connection"), "close");
    assert_ne!(message.only("content-length"), "0");
}

#[test]
fn a_connection_that_must_end_says_so_in_the_final_head_alone() {
    let date = date();
    let closing = Returning {
        version: Version::Http11,
        keep_alive: false,
        date: &date,
        request_id: b"id-1",
        changes: None,
    };
    let rewritten = |text: &str| {
        let mut out = Vec::new();
        let head = parse(text).unwrap();
        let returned = rewrite_response(text.as_bytes(), &head, &closing, &mut out);
        assert!(!returned.keep_alive);
        read_head(&out).0
    };
    let last = rewritten("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(last.only("connection"), "close");
    assert!(!rewritten("HTTP/1.1 103 Early Hints\r\n\r\n").has("connection"));
}

#[test]
fn the_final_head_alone_names_the_request_and_no_server_names_another() {
    let named = |text: &str| {
        let mut out = Vec::new();
        let head = parse(text).unwrap();
        let date = date();
        let returning = Returning {
            version: Version::Http11,
            keep_alive: true,
            date: &date,
            request_id: b"id-1",
            changes: None,
        };
        rewrite_response(text.as_bytes(), &head, &returning, &mut out);
        let (message, _) = read_head(&out);
        message
            .has("x-request-id")
            .then(|| message.only("x-request-id").to_owned())
    };
    let theirs = "HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(named(theirs).as_deref(), Some("id-1"));
    assert_eq!(
        named("HTTP/1.1 103 Early Hints\r\nX-Request-Id: theirs\r\n\r\n"),
        None
    );
}
