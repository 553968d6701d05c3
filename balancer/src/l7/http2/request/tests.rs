//! Requests as they are written, and those that are not.

use http::{HeaderName, Request};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::l7::codec::{Parse, RequestHead, parse_request};

fn parts(method: &str, uri: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn written(parts: &Parts, ends: bool) -> Result<(String, Framing), Refusal> {
    let mut out = Vec::new();
    let coming = Coming {
        scheme: "http",
        ends,
        limits: &Limits::default(),
    };
    let framing = write(parts, coming, &mut out)?;
    Ok((out.iter().map(|byte| char::from(*byte)).collect(), framing))
}

fn refused(method: &str, uri: &str, fields: &[(&str, &str)]) -> Refusal {
    written(&parts(method, uri, fields), false).expect_err("refused")
}

#[test]
fn a_request_is_written_as_one_of_http_1() {
    let parts = parts(
        "GET",
        "http://shop:8000/a?b",
        &[("accept", "*/*"), ("x-empty", "")],
    );
    let (text, framing) = written(&parts, true).unwrap();
    let wanted = "GET /a?b HTTP/1.1\r\nhost: shop:8000\r\naccept: */*\r\nx-empty: \r\n\r\n";
    assert_eq!((text.as_str(), framing), (wanted, Framing::None));
}

#[test]
fn a_body_has_the_length_that_was_said_or_is_chunked() {
    let plain = parts("POST", "http://a/", &[]);
    let (text, framing) = written(&plain, false).unwrap();
    assert_eq!(framing, Framing::Chunked);
    assert!(text.ends_with("\r\ntransfer-encoding: chunked\r\n\r\n"));
    let sized = parts("POST", "http://a/", &[("content-length", "5")]);
    let (text, framing) = written(&sized, false).unwrap();
    assert_eq!(framing, Framing::Length(5));
    assert!(text.ends_with("\r\ncontent-length: 5\r\n\r\n"));
    assert_eq!(written(&sized, true), Err(Refusal::ContentLength));
    for length in ["", "+5", "5 ", "0x5", "-1", "5, 5", "99999999999999999999"] {
        let refused = refused("POST", "http://a/", &[("content-length", length)]);
        assert_eq!(refused, Refusal::ContentLength, "{length:?}");
    }
    let twice = [("content-length", "5"), ("content-length", "5")];
    assert_eq!(refused("POST", "http://a/", &twice), Refusal::ContentLength);
}

#[test]
fn what_is_too_long_is_not_written() {
    let crumb = "c".repeat(4000);
    let crumbs: Vec<_> = (0..90).map(|_| ("x", crumb.as_str())).collect();
    assert_eq!(refused("GET", "http://a/", &crumbs), Refusal::HeadTooLong);
    let many = [("x", "y"); 101];
    assert_eq!(refused("GET", "http://a/", &many), Refusal::TooManyFields);
}

#[test]
fn crumbs_of_cookies_are_joined() {
    let crumbs = [("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")];
    let (text, _) = written(&parts("GET", "http://a/", &crumbs), true).unwrap();
    assert!(text.contains("\r\ncookie: a=1; b=2\r\n"), "{text}");
    assert_eq!(text.matches("cookie").count(), 1);
}

#[test]
fn whom_it_is_for_is_said_once() {
    for (uri, host, wanted) in [
        ("http://a/", None, "host: a\r\n"),
        ("http://a/", Some("A"), "host: a\r\n"),
        ("/", Some("a"), "host: a\r\n"),
    ] {
        let fields: Vec<_> = host.iter().map(|host| ("host", *host)).collect();
        let (text, _) = written(&parts("GET", uri, &fields), true).unwrap();
        assert!(text.contains(wanted), "{text}");
        assert_eq!(text.matches("host").count(), 1);
    }
    for hosts in [&[("host", "b")][..], &[("host", "a:80")]] {
        assert_eq!(refused("GET", "http://a/", hosts), Refusal::Host);
    }
    let twice = [("host", "a"), ("host", "a")];
    assert_eq!(refused("GET", "/", &twice), Refusal::Host);
}

#[test]
fn a_scheme_that_is_not_the_clients_way_is_told_by_the_absolute_form() {
    let (text, _) = written(&parts("GET", "https://a/x", &[]), true).unwrap();
    assert!(text.starts_with("GET https://a/x HTTP/1.1\r\n"), "{text}");
    assert_eq!(refused("GET", "ftp://a/x", &[]), Refusal::Target);
}

#[test]
fn what_has_no_form_in_http_1_is_refused() {
    assert_eq!(refused("CONNECT", "a:80", &[]), Refusal::Connect);
    assert_eq!(refused("GET", "*", &[("host", "a")]), Refusal::Target);
    let (text, _) = written(&parts("OPTIONS", "*", &[("host", "a")]), true).unwrap();
    assert!(text.starts_with("OPTIONS * HTTP/1.1\r\n"), "{text}");
    for value in [" x", "x ", "\tx", "x\t"] {
        assert_eq!(
            refused("GET", "http://a/", &[("x", value)]),
            Refusal::FieldValue,
            "{value:?}"
        );
    }
}

#[test]
fn the_wish_for_trailers_is_for_the_next_hop_alone() {
    let (text, _) = written(&parts("POST", "http://a/", &[("te", "trailers")]), false).unwrap();
    assert!(text.contains("\r\nte: trailers\r\nconnection: te\r\n"));
}

#[test]
fn trailers_follow_the_last_chunk() {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let mut out = Vec::new();
    write_trailers(&trailers, &mut out).unwrap();
    assert_eq!(out, b"0\r\ngrpc-status: 0\r\n\r\n");
    trailers.insert("x", HeaderValue::from_static(" y"));
    assert_eq!(
        write_trailers(&trailers, &mut out),
        Err(Refusal::FieldValue)
    );
}

/// Names that mean something.
const NAMES: &[&str] = &[
    "host",
    "content-length",
    "content_length",
    "cookie",
    "te",
    "expect",
    "x",
    "trailer",
    "upgrade-insecure-requests",
];

/// These, and any others that are short.
fn names() -> impl Strategy<Value = Vec<u8>> {
    let known = select(NAMES).prop_map(|name| name.as_bytes().to_vec());
    prop_oneof![known, vec(any::<u8>(), 1..4)]
}

/// Bytes that could end a line, and others.
fn values() -> impl Strategy<Value = Vec<u8>> {
    let bytes = select(&b"15aA \t\r\n\0:,;\x7f\xe9/"[..]);
    vec(bytes, 0..6)
}

fn paths() -> impl Strategy<Value = Vec<u8>> {
    vec(select(&b"/ab?*# \r\n\\%HTTP1.:@\xe9"[..]), 1..12)
}

/// The request, as far as `http` lets anyone have it.
fn built(path: &[u8], authority: &[u8], fields: &[(Vec<u8>, Vec<u8>)]) -> Option<Parts> {
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(http::uri::Scheme::HTTP);
    uri.path_and_query = Some(path.try_into().ok()?);
    uri.authority = Some(authority.try_into().ok()?);
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.try_into().ok()?;
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name).ok();
        let value = HeaderValue::from_bytes(value).ok();
        if let (Some(name), Some(value)) = (name, value) {
            request.headers_mut().append(name, value);
        }
    }
    Some(request.into_parts().0)
}

proptest! {
    #[test]
    fn what_is_written_is_one_head_and_says_what_the_request_said(
        path in paths(),
        authority in vec(select(&b"ab:8@[] \r\n"[..]), 1..6),
        fields in vec((names(), values()), 0..6),
        ends in any::<bool>(),
    ) {
        let Some(parts) = built(&path, &authority, &fields) else {
            return Ok(());
        };
        let Ok((text, framing)) = written(&parts, ends) else {
            return Ok(());
        };
        let text: Vec<u8> = text.chars().map(|one| one as u8).collect();
        let text = &text[..];
        let mut head = RequestHead::new();
        let limits = Limits::default();
        let Ok(Parse::Complete { head_length }) = parse_request(text, &limits, &mut head) else {
            return Ok(());
        };
        prop_assert_eq!(head_length, text.len());
        prop_assert_eq!(head.framing, framing);
        prop_assert_eq!(head.authority(text), Some(&authority[..]));
        let crumbs = parts.headers.get_all(COOKIE).iter().count();
        let wishes = parts.headers.get_all(TE).iter().count();
        // Host, the length and the wish for trailers are there once at most, and so is Cookie.
        let single = |name: &str| usize::from(parts.headers.contains_key(name));
        let said = parts.headers.len() - crumbs - wishes - single("host") - single("content-length");
        let own = 1 + usize::from(framing != Framing::None) + single("cookie") + 2 * single("te");
        prop_assert_eq!(head.fields.len(), said + own);
    }
}
