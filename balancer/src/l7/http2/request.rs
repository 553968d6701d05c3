//! A request of HTTP/2 written as one of HTTP/1.1, or refused: nothing in it may end a line or a message elsewhere than here.
//!
//! What is checked here is what only HTTP/2 can have, or what its HTTP/1.1 form could not show any more. All else is the codec's, which
//! reads what is written here like every other request's head.

use http::header::{CONTENT_LENGTH, COOKIE, HOST, TE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};

use crate::http2::{self, write_field};
use crate::l7::codec::{Framing, Limits, Refusal, is_value_byte};

/// Bytes of names and values of trailer fields, at most: more than may follow a body in any case.
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
        write_field(out, b"host", host);
    }
    cookies(&parts.headers, out)?;
    for (name, value) in &parts.headers {
        if *name == HOST || *name == COOKIE || *name == CONTENT_LENGTH || *name == TE {
            continue;
        }
        write_field(out, name.as_str().as_bytes(), checked(value)?);
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
            write_field(out, b"content-length", number.format(length).as_bytes());
        }
        Framing::Chunked => write_field(out, b"transfer-encoding", b"chunked"),
        Framing::None | Framing::UntilClose => {}
    }
    out.extend_from_slice(b"\r\n");
    Ok(framing)
}

/// Writes the fields that follow a chunked body, and the end of it.
pub(super) fn write_trailers(trailers: &HeaderMap, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut length = 0;
    for (name, value) in trailers {
        length += name.as_str().len() + checked(value)?.len();
        if length > TRAILERS_MAX {
            return Err(Refusal::HeadTooLong);
        }
    }
    http2::write_trailers(trailers, out);
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

#[cfg(test)]
mod tests;
