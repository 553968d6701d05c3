//! An answer of HTTP/1.1 as HTTP/2 has it.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use crate::l7::codec::{Framing, Name, ResponseHead};

/// The one name in each answer that `http` does not know, ready made.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The answer whose head begins `bytes`, in whose memory its values stay. It is the balancer's own writing, so that it fails only where
/// that is wrong.
pub(super) fn response(bytes: &Bytes, head: &ResponseHead) -> Result<Response<()>, http::Error> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status)?;
    let headers = response.headers_mut();
    headers.try_reserve(head.fields.len() + 1)?;
    for field in head.fields.as_slice() {
        if field.meaning.is_of_http1() {
            continue;
        }
        let name = match field.meaning {
            Name::RequestId => REQUEST_ID,
            _ => HeaderName::from_bytes(field.name.of(bytes))?,
        };
        let value = bytes.slice(field.value.start()..field.value.end());
        let mut value = HeaderValue::from_maybe_shared(value)?;
        // It never comes twice, and would only drive out what does of the client's table.
        value.set_sensitive(field.meaning == Name::RequestId);
        headers.try_append(name, value)?;
    }
    let length = match head.framing {
        Framing::Length(length) => Some(length),
        _ => head.declared_length,
    };
    if let Some(length) = length {
        let mut number = itoa::Buffer::new();
        headers.insert(CONTENT_LENGTH, number.format(length).parse()?);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l7::codec::{Asked, Limits, Parse, parse_response};

    fn converted(text: &str, asked: Asked) -> Response<()> {
        let mut head = ResponseHead::new();
        let limits = Limits::for_responses();
        let parsed = parse_response(text.as_bytes(), asked, &limits, &mut head);
        assert!(matches!(parsed, Ok(Parse::Complete { .. })));
        response(&Bytes::copy_from_slice(text.as_bytes()), &head).unwrap()
    }

    #[test]
    fn fields_are_kept_and_those_of_the_connection_are_not() {
        let text = "HTTP/1.1 203 Fine\r\nConnection: close, x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
            Transfer-Encoding: chunked\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nVia: 1.1 roundhouse\r\n\r\n";
        let response = converted(text, Asked::default());
        assert_eq!(response.status(), 203);
        let fields: Vec<_> = response
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        assert_eq!(
            fields,
            ["set-cookie: a", "set-cookie: b", "via: 1.1 roundhouse"]
        );
    }

    #[test]
    fn a_length_is_said_where_it_is_known() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 007\r\n\r\n";
        for head_only in [false, true] {
            let asked = Asked {
                head_only,
                ..Asked::default()
            };
            let response = converted(text, asked);
            assert_eq!(response.headers()[CONTENT_LENGTH], "7");
        }
    }
}
