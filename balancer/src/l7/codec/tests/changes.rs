//! What a route changes of heads, and what it cannot.

use super::checker::{Message, read, read_head, read_request};
use super::proxy::{FORWARDING, date};
use crate::l7::codec::{
    Asked, FieldChanges, Forwarding, Limits, Parse, RequestHead, ResponseHead, Returning,
    TextAnswer, Version, parse_request, parse_response, rewrite_request, rewrite_response,
    write_text_answer,
};

/// Takes these fields away, and adds lines.
#[derive(Debug)]
struct Edits(&'static [&'static str], &'static str);

impl FieldChanges for Edits {
    fn removes(&self, name: &[u8]) -> bool {
        let mut names = self.0.iter();
        names.any(|own| name.eq_ignore_ascii_case(own.as_bytes()))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.1.as_bytes());
    }
}

/// What no route may take away.
const VITAL: [&str; 9] = [
    "Host",
    "Content-Length",
    "Transfer-Encoding",
    "Expect",
    "Max-Forwards",
    "Via",
    "Date",
    "X-Forwarded-For",
    "X-Request-Id",
];

fn forwarded(text: &str, forwarding: &Forwarding<'_>) -> Message {
    let mut head = RequestHead::new();
    let parse = parse_request(text.as_bytes(), &Limits::default(), &mut head);
    assert!(matches!(parse, Ok(Parse::Complete { .. })), "{text}");
    let mut out = Vec::new();
    rewrite_request(text.as_bytes(), &head, forwarding, &mut out);
    read_request(&out).0
}

fn target(target: &str, path: &str) -> String {
    let forwarding = Forwarding {
        path: Some(path.as_bytes()),
        ..FORWARDING
    };
    let text = format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    forwarded(&text, &forwarding).target().to_owned()
}

#[test]
fn another_path_keeps_the_query_and_the_server_as_a_whole_has_none() {
    assert_eq!(target("/a/b?c=d?e", "/x"), "/x?c=d?e");
    assert_eq!(target("/a/b", "/x"), "/x");
    assert_eq!(target("/?", "/x"), "/x?");
    assert_eq!(target("http://b?c", "/x"), "/x?c");
    assert_eq!(target("http://b/c", "/x"), "/x");
    assert_eq!(target("http://b", "/x"), "*");
    assert_eq!(target("*", "/x"), "*");
}

#[test]
fn another_host_is_asked_and_the_clients_own_is_told_of() {
    let forwarding = Forwarding {
        host: Some(b"inner"),
        ..FORWARDING
    };
    let message = forwarded("GET / HTTP/1.1\r\nHost: Outer:81\r\n\r\n", &forwarding);
    assert_eq!(message.only("host"), "inner");
    assert_eq!(message.only("x-forwarded-host"), "Outer:81");
    assert!(message.only("forwarded").ends_with("host=\"Outer:81\""));
}

#[test]
fn fields_end_here_in_every_spelling_that_servers_take_for_the_same() {
    let edits = Edits(&["x-user"], "X-User: nobody\r\nX-More: 1\r\n");
    let forwarding = Forwarding {
        changes: Some(&edits),
        ..FORWARDING
    };
    let text =
        "GET / HTTP/1.1\r\nHost: a\r\nX-USER: 1\r\nx_user: 2\r\nX-Users: 3\r\nX-User: 4\r\n\r\n";
    let message = forwarded(text, &forwarding);
    assert_eq!(message.only("x-user"), "nobody");
    assert!(!message.has("x_user"));
    assert_eq!(
        (message.only("x-users"), message.only("x-more")),
        ("3", "1")
    );
}

#[test]
fn what_framing_or_routing_depends_on_stays_whatever_a_route_says() {
    let edits = Edits(&VITAL, "");
    let forwarding = Forwarding {
        changes: Some(&edits),
        ..FORWARDING
    };
    let text = "OPTIONS / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\
        Max-Forwards: 3\r\nVia: 1.1 b\r\nDate: today\r\n\r\n";
    let message = forwarded(text, &forwarding);
    for name in VITAL {
        let is_left = message.has(name);
        assert_eq!(is_left, name != "Transfer-Encoding", "{name}");
    }
}

fn returned(text: &str, edits: &Edits) -> Message {
    let mut head = ResponseHead::new();
    let limits = Limits::for_responses();
    let parse = parse_response(text.as_bytes(), Asked::default(), &limits, &mut head);
    assert!(matches!(parse, Ok(Parse::Complete { .. })), "{text}");
    let date = date();
    let returning = Returning {
        version: Version::Http11,
        keep_alive: true,
        date: &date,
        request_id: b"id-1",
        changes: Some(edits),
    };
    let mut out = Vec::new();
    rewrite_response(text.as_bytes(), &head, &returning, &mut out);
    read_head(&out).0
}

#[test]
fn a_final_answer_is_changed_and_an_interim_one_is_not() {
    let edits = Edits(
        &["server", "content-length", "date"],
        "Server: roundhouse\r\n",
    );
    let text =
        "HTTP/1.1 200 OK\r\nServer: a\r\nDate: today\r\nContent-Length: 2\r\nsErVeR: b\r\n\r\n";
    let message = returned(text, &edits);
    assert_eq!(message.only("server"), "roundhouse");
    assert_eq!(
        (message.only("content-length"), message.only("date")),
        ("2", "today")
    );
    let early = returned("HTTP/1.1 103 Early Hints\r\nServer: a\r\n\r\n", &edits);
    assert_eq!(early.only("server"), "a");
}

/// A route's answer of this status, and what follows its head.
fn given(status: u16, head_only: bool, edits: Option<&Edits>) -> (Message, Vec<u8>) {
    let date = date();
    let answer = TextAnswer {
        status,
        token: "route-answer",
        location: (status == 308).then_some(&b"https://a/b"[..]),
        content_type: b"text/plain",
        body: b"hello",
        version: Version::Http11,
        keep_alive: true,
        head_only,
        date: &date,
        request_id: b"id-1",
        lines: &[],
        changes: edits.map(|edits| edits as &dyn FieldChanges),
    };
    let mut out = Vec::new();
    write_text_answer(&answer, &mut out);
    let is_bare = head_only || [204, 304].contains(&status);
    let (message, rest) = if is_bare {
        read_head(&out)
    } else {
        read(&out, false)
    };
    (message, rest.to_vec())
}

#[test]
fn a_routes_answer_is_framed_as_its_status_and_method_ask() {
    for (status, head_only, body, length) in [
        (200, false, "hello", Some("5")),
        (200, true, "", Some("5")),
        (308, false, "hello", Some("5")),
        (204, false, "", None),
        (304, false, "", None),
        (205, false, "", Some("0")),
    ] {
        let (message, rest) = given(status, head_only, None);
        assert!(rest.is_empty(), "{status}: {rest:?}");
        assert_eq!(message.body, body.as_bytes(), "{status}");
        assert_eq!(message.values("content-length").next(), length, "{status}");
        assert_eq!(message.has("location"), status == 308);
        assert_eq!(message.only("x-request-id"), "id-1");
    }
}

#[test]
fn a_route_may_say_itself_what_its_answers_type_is() {
    let edits = Edits(&["content-type"], "Content-Type: text/html\r\n");
    let (message, _) = given(200, false, Some(&edits));
    assert_eq!(message.only("content-type"), "text/html");
}
