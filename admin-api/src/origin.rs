//! What keeps the pages of other sites away from an API that asks for no token.
//!
//! A page in the operator's browser can send requests to 127.0.0.1. One that got its own name to resolve to
//! it is told by the `Host` that it sends; any other one by the `Origin` or `Sec-Fetch-Site` that its browser adds.

use std::net::IpAddr;

use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderName, header};

use crate::problem::Problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what does not come from this machine's own tools or this API's own pages.
pub(crate) fn check(parts: &Parts) -> Result<(), Problem> {
    let host = text(parts, &header::HOST).or_else(|| parts.uri.authority().map(Authority::as_str));
    let host = host.unwrap_or_default();
    let named = |authority: &str| {
        authority
            .parse()
            .is_ok_and(|authority| is_local(&authority))
    };
    let target = parts.uri.authority().is_none_or(is_local);
    if !named(host) || !target {
        return Err(forbidden(
            "without a token this API answers to localhost and loopback addresses only",
        ));
    }
    if parts.headers.contains_key(header::ORIGIN) && !is_own(text(parts, &header::ORIGIN), host) {
        return Err(forbidden(
            "without a token this API takes nothing from other sites' pages",
        ));
    }
    let site = text(parts, &SEC_FETCH_SITE);
    let foreign = site.is_some_and(|site| site != "same-origin" && site != "none");
    if foreign && !parts.method.is_safe() {
        return Err(forbidden(
            "without a token this API takes no changes from other sites' pages",
        ));
    }
    Ok(())
}

/// A header that is there once and readable; anything else counts as empty.
fn text<'a>(parts: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    let mut values = parts.headers.get_all(name).iter();
    let first = values.next()?;
    let text = first.to_str().unwrap_or_default();
    Some(if values.next().is_none() { text } else { "" })
}

fn is_own(origin: Option<&str>, host: &str) -> bool {
    let authority = origin.and_then(|origin| origin.strip_prefix("http://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

fn is_local(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    let host = host.to_ascii_lowercase();
    let address: Result<IpAddr, _> = address.parse();
    address.is_ok_and(|address| address.to_canonical().is_loopback())
        || host == "localhost"
        || host.ends_with(".localhost")
}

fn forbidden(reason: &str) -> Problem {
    Problem::Forbidden {
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, Request};

    use super::*;

    fn allowed(method: Method, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().method(method).uri("/v1/pools");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).expect("a request").into_parts().0).is_ok()
    }

    #[test]
    fn tools_on_this_machine_are_let_in() {
        for host in [
            "localhost:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "LocalHost",
            "api.localhost",
        ] {
            assert!(allowed(Method::POST, &[("host", host)]), "{host}");
        }
    }

    #[test]
    fn a_name_that_was_made_to_resolve_to_loopback_is_refused() {
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "10.0.0.1",
            "",
        ] {
            assert!(!allowed(Method::GET, &[("host", host)]), "{host}");
        }
        assert!(!allowed(Method::GET, &[]));
        assert!(!allowed(
            Method::GET,
            &[("host", "localhost"), ("host", "evil.example")]
        ));
    }

    #[test]
    fn another_sites_page_is_refused_and_the_own_page_is_not() {
        let host = ("host", "localhost:8080");
        for origin in [
            "http://evil.example",
            "http://localhost:3000",
            "https://localhost:8080",
            "null",
        ] {
            assert!(
                !allowed(Method::POST, &[host, ("origin", origin)]),
                "{origin}"
            );
        }
        assert!(allowed(
            Method::POST,
            &[host, ("origin", "http://localhost:8080")]
        ));
        for (site, allows) in [
            ("cross-site", false),
            ("same-site", false),
            ("same-origin", true),
            ("none", true),
        ] {
            assert_eq!(
                allowed(Method::POST, &[host, ("sec-fetch-site", site)]),
                allows,
                "{site}"
            );
            assert!(allowed(Method::GET, &[host, ("sec-fetch-site", site)]));
        }
    }
}
