//! A request of HTTP/1.1 as HTTP/2 has it.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri, Version};

use crate::codec::{Framing, Name, RequestHead};

/// The request whose head is `bytes`. It is the balancer's own writing, so that it fails only where that is wrong.
pub(super) fn request(
    bytes: &[u8],
    head: &RequestHead,
    scheme: &Scheme,
) -> Result<Request<()>, http::Error> {
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(head.method_name(bytes))?;
    *request.uri_mut() = uri(bytes, head, scheme)?;
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.try_reserve(head.fields.len() + 2)?;
    // One piece of memory for all values.
    let shared = Bytes::copy_from_slice(bytes);
    for field in head.fields.as_slice() {
        // What Host says stands in `:authority`.
        if field.meaning.is_of_http1() || field.meaning == Name::Host {
            continue;
        }
        let name = HeaderName::from_bytes(field.name.of(bytes))?;
        let value = shared.slice(field.value.start()..field.value.end());
        let mut value = HeaderValue::from_maybe_shared(value)?;
        // It never comes twice, and would only drive out what does of the server's table.
        value.set_sensitive(field.meaning == Name::RequestId);
        headers.try_append(name, value)?;
    }
    if head.accepts_trailers(bytes) {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Framing::Length(length) = head.framing {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(request)
}

/// What Host says is the authority (RFC 9113, 8.3.1), which each request of the balancer's writing has.
fn uri(bytes: &[u8], head: &RequestHead, scheme: &Scheme) -> Result<Uri, http::Error> {
    let path = head.target.path_and_query.of(bytes);
    let authority = head.authority(bytes).unwrap_or_default();
    let uri = Uri::builder()
        .scheme(scheme.clone())
        .authority(Authority::try_from(authority)?)
        .path_and_query(PathAndQuery::try_from(path)?);
    uri.build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Limits, Parse, parse_request};

    fn converted(text: &str) -> Request<()> {
        let mut head = RequestHead::new();
        let parsed = parse_request(text.as_bytes(), &Limits::for_own_requests(), &mut head);
        assert!(matches!(parsed, Ok(Parse::Complete { .. })), "{parsed:?}");
        request(text.as_bytes(), &head, &Scheme::HTTP).unwrap()
    }

    fn fields(request: &Request<()>) -> Vec<String> {
        let fields = request.headers().iter();
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        fields.map(line).collect()
    }

    #[test]
    fn host_and_target_become_pseudo_fields_and_the_rest_is_kept() {
        let request = converted(
            "PUT /a//b?c=|&d=%2F{} HTTP/1.1\r\nHost: a_b.example:8080\r\nX-One: 1\r\nCookie: a=1\r\nCookie: b=2\r\n\
             Content-Length: 007\r\nX-Request-Id: r\r\nTE: trailers\r\n\r\n",
        );
        assert_eq!(request.method(), "PUT");
        assert_eq!(request.uri(), "http://a_b.example:8080/a//b?c=|&d=%2F{}");
        let mut fields = fields(&request);
        fields.sort();
        assert_eq!(
            fields,
            [
                "content-length: 7",
                "cookie: a=1",
                "cookie: b=2",
                "te: trailers",
                "x-one: 1",
                "x-request-id: r"
            ]
        );
    }

    #[test]
    fn a_connections_own_fields_end_here() {
        let request = converted(
            "POST * HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\n\r\n"
                .replace("POST", "OPTIONS")
                .as_str(),
        );
        assert_eq!(request.uri().path(), "*");
        assert_eq!(request.uri().authority().unwrap(), "[::1]:80");
        assert_eq!(fields(&request), [""; 0]);
    }
}
