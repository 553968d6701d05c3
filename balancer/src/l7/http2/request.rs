//! A request of HTTP/2 written as one of HTTP/1.1, or refused: nothing in it may end a line or a message elsewhere than here.
//!
//! What is checked here is what only HTTP/2 can have, or what its HTTP/1.1 form could not show any more. All else is the codec's, which
//! reads what is written here like every other request's head.

use http::header::{CONTENT_LENGTH, COOKIE, HOST, TE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};

use crate::l7::codec::{Framing, Limits, Refusal, is_value_byte};

/// Bytes of trailer fields, at most: more than may follow a body in any case.
const TRAILERS_MAX: usize = 32 << 10;

/// How a request comes, besides what it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coming<'a> {
    pub(super) scheme: &'a str,
    /// No body follows.
    pub(super) ends: bool,
    pub(super) limits: &'a Limits,
}

/// Writes the head, and says how the body must follow it. What is much longer than it may be is not written to its end.
pub(super) fn write(
    parts: &Parts,
    coming: Coming<'_>,
    out: &mut Vec<u8>,
) -> Result<Framing, Refusal> {
    let Coming {
        scheme,
        ends,
        limits,
    } = coming;
    let crumbs = parts.headers.get_all(COOKIE).iter().count();
    if parts.headers.len() - crumbs > limits.fields() {
        return Err(Refusal::TooManyFields);
    }
    let host = host(parts)?;
    request_line(parts, scheme, out)?;
    if let Some(host) = host {
        field(out, b"host", host);
    }
    cookies(&parts.headers, out)?;
    for (name, value) in &parts.headers {
        if *name == HOST || *name == COOKIE || *name == CONTENT_LENGTH || *name == TE {
            continue;
        }
        field(out, name.as_str().as_bytes(), checked(value)?);
        if out.len() > limits.head() {
            return Err(Refusal::HeadTooLong);
        }
    }
    if parts.headers.contains_key(TE) {
        // No other value than `trailers` comes this far. It is for the next hop alone (RFC 9110, 10.1.4).
        out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n");
    }
    let framing = framing(&parts.headers, ends)?;
    match framing {
        Framing::Length(length) => {
            let mut number = itoa::Buffer::new();
            field(out, b"content-length", number.format(length).as_bytes());
        }
        Framing::Chunked => field(out, b"transfer-encoding", b"chunked"),
        Framing::None | Framing::UntilClose => {}
    }
    out.extend_from_slice(b"\r\n");
    Ok(framing)
}

/// Writes the fields that follow a chunked body, and the end of it.
pub(super) fn write_trailers(trailers: &HeaderMap, out: &mut Vec<u8>) -> Result<(), Refusal> {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        field(out, name.as_str().as_bytes(), checked(value)?);
        if out.len() > TRAILERS_MAX {
            return Err(Refusal::HeadTooLong);
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn request_line(parts: &Parts, scheme: &str, out: &mut Vec<u8>) -> Result<(), Refusal> {
    if parts.method == Method::CONNECT {
        return Err(Refusal::Connect);
    }
    let target = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let is_path = target.starts_with('/') || (target == "*" && parts.method == Method::OPTIONS);
    if !is_path || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::Target);
    }
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    match (parts.uri.scheme_str(), parts.uri.authority()) {
        (Some(asked), Some(authority)) if asked != scheme => {
            if asked != "http" && asked != "https" {
                return Err(Refusal::Target);
            }
            // Only the absolute form says so.
            for part in [asked, "://", authority.as_str()] {
                out.extend_from_slice(part.as_bytes());
            }
            if target != "*" {
                out.extend_from_slice(target.as_bytes());
            }
        }
        _ => out.extend_from_slice(target.as_bytes()),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    Ok(())
}

/// Whom the request is for. `:authority` and Host are the same, where both are there (RFC 9113, 8.3.1).
fn host(parts: &Parts) -> Result<Option<&[u8]>, Refusal> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next().map(checked).transpose();
    let host = host.map_err(|_| Refusal::Host)?;
    if hosts.next().is_some() {
        return Err(Refusal::Host);
    }
    let authority = parts.uri.authority();
    let authority = authority.map(|authority| authority.as_str().as_bytes());
    match (authority, host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            Err(Refusal::Host)
        }
        (authority, host) => Ok(authority.or(host)),
    }
}

/// Where the body ends. A stream tells its end by itself, and need not say so beforehand.
fn framing(headers: &HeaderMap, ends: bool) -> Result<Framing, Refusal> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else {
        return Ok(if ends {
            Framing::None
        } else {
            Framing::Chunked
        });
    };
    let digits = length.to_str().ok();
    let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length = digits.and_then(|text| text.parse::<u64>().ok());
    match length {
        Some(length) if lengths.next().is_none() && (!ends || length == 0) => {
            Ok(Framing::Length(length))
        }
        _ => Err(Refusal::ContentLength),
    }
}

/// The crumbs of Cookie as the one field that HTTP/1.1 has (RFC 9113, 8.2.3).
fn cookies(headers: &HeaderMap, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let Some(first) = crumbs.next() else {
        return Ok(());
    };
    out.extend_from_slice(b"cookie: ");
    out.extend_from_slice(checked(first)?);
    for crumb in crumbs {
        out.extend_from_slice(b"; ");
        out.extend_from_slice(checked(crumb)?);
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// The value, without a byte that a line cannot have, or that would be lost around it (RFC 9113, 8.2.1).
fn checked(value: &HeaderValue) -> Result<&[u8], Refusal> {
    let bytes = value.as_bytes();
    let is_bare = bytes.trim_ascii().len() == bytes.len();
    if is_bare && bytes.iter().all(|byte| is_value_byte(*byte)) {
        Ok(bytes)
    } else {
        Err(Refusal::FieldValue)
    }
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

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
        Ok((String::from_utf8(out).unwrap(), framing))
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
}
