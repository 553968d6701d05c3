//! A request's head, as far as a server of a benchmark has to understand it.

/// A head's fields, at most; proxies add some.
const FIELDS_MAX: usize = 64;

/// A whole head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) target: &'a str,
    /// Bytes of the head itself.
    pub(crate) length: usize,
    pub(crate) body: Body,
    /// Whether it is the connection's last.
    pub(crate) close: bool,
}

/// How the end of the body is found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// It has so many bytes.
    Length(usize),
    Chunks,
}

impl<'a> Head<'a> {
    /// The head at the beginning of the bytes: none in it while it is not whole, none at all where it is not a request's.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Option<Self>> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut parsed = httparse::Request::new(&mut fields);
        let httparse::Status::Complete(length) = parsed.parse(bytes).ok()? else {
            return Some(None);
        };
        let mut head = Self {
            target: parsed.path?,
            length,
            body: Body::Length(0),
            close: false,
        };
        for field in parsed.headers.iter() {
            if field.name.eq_ignore_ascii_case("content-length") {
                let length = std::str::from_utf8(field.value).ok()?.parse().ok()?;
                head.body = Body::Length(length);
            } else if field.name.eq_ignore_ascii_case("connection") {
                head.close = field.value.eq_ignore_ascii_case(b"close");
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                head.body = Body::Chunks;
            }
        }
        Some(Some(head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_where_its_body_ends_and_whether_it_is_the_last() {
        let text =
            b"POST /x HTTP/1.1\r\nHost: a\r\ncontent-length: 12\r\nConnection: close\r\n\r\nabc";
        let expected = Head {
            target: "/x",
            length: text.len() - 3,
            body: Body::Length(12),
            close: true,
        };
        assert_eq!(Head::parse(text), Some(Some(expected)));
        let chunked = Head::parse(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(chunked.unwrap().unwrap().body, Body::Chunks);
    }

    #[test]
    fn half_a_head_is_waited_for_and_nonsense_is_not() {
        assert_eq!(Head::parse(b"GET / HTTP/1.1\r\nHost"), Some(None));
        assert_eq!(Head::parse(b"\x01\x02\r\n\r\n"), None);
    }
}
