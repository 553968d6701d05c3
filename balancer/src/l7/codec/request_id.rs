//! A request's id, where a proxy before this one has given it one.

use super::name::{Name, is_token};
use super::request::RequestHead;

/// Bytes of a request's id, at most.
pub const REQUEST_ID_MAX: usize = 128;

impl RequestHead {
    /// The id that the request came with, where it came with one alone that is a token and not too long.
    pub fn request_id<'a>(&'a self, buf: &'a [u8]) -> Option<&'a [u8]> {
        let mut ids = self.fields.meaning(buf, Name::RequestId);
        let id = ids.next().filter(|_| ids.next().is_none())?;
        (id.len() <= REQUEST_ID_MAX && is_token(id)).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l7::codec::{Limits, parse_request};

    fn id(lines: &str) -> Option<String> {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let mut head = RequestHead::new();
        parse_request(text.as_bytes(), &Limits::default(), &mut head).unwrap();
        let id = head.request_id(text.as_bytes()).map(<[u8]>::to_vec);
        id.map(|id| String::from_utf8(id).unwrap())
    }

    #[test]
    fn an_id_is_taken_over_where_it_is_one_short_token() {
        assert_eq!(id("X-Request-Id: a-1.b\r\n").as_deref(), Some("a-1.b"));
        let long = "x".repeat(REQUEST_ID_MAX);
        assert_eq!(id(&format!("X-Request-Id: {long}\r\n")), Some(long.clone()));
        for lines in [
            "",
            "X-Request-Id: \r\n",
            "X-Request-Id: a b\r\n",
            "X-Request-Id: a\"b\r\n",
            "X-Request-Id: a\r\nX-Request-Id: a\r\n",
            &format!("X-Request-Id: x{long}\r\n"),
        ] {
            assert_eq!(id(lines), None, "{lines:?}");
        }
    }
}
