//! The cookies of a request (RFC 6265, 4.2.1): read where they stand, and written again without the balancer's own.

use super::codec::RequestHead;

/// The values of the cookies of this name, in their order.
pub(super) fn values<'a>(
    request: &'a RequestHead,
    head: &'a [u8],
    name: &str,
) -> impl Iterator<Item = &'a [u8]> {
    pairs(request, head).filter_map(move |pair| value_of(name.as_bytes(), pair))
}

/// The lines of all other cookies, empty where there is none. Nothing where the request has none of this name, so that its fields
/// may go on as they came.
pub(super) fn without(request: &RequestHead, head: &[u8], name: &str) -> Option<Vec<u8>> {
    values(request, head, name).next()?;
    let mut line = Vec::new();
    let others = pairs(request, head).filter(|pair| value_of(name.as_bytes(), pair).is_none());
    for pair in others.filter(|pair| !pair.is_empty()) {
        let start: &[u8] = if line.is_empty() { b"Cookie: " } else { b"; " };
        line.extend_from_slice(start);
        line.extend_from_slice(pair);
    }
    if !line.is_empty() {
        line.extend_from_slice(b"\r\n");
    }
    Some(line)
}

fn pairs<'a>(request: &'a RequestHead, head: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let lines = request.fields.get_all(head, "cookie");
    let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';'));
    pairs.map(<[u8]>::trim_ascii)
}

/// The value of `name=value`, where the name is this.
pub(super) fn value_of<'a>(name: &[u8], pair: &'a [u8]) -> Option<&'a [u8]> {
    pair.strip_prefix(name)?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Limits, Parse, parse_request};

    fn with<T>(fields: &str, look: impl FnOnce(&RequestHead, &[u8]) -> T) -> T {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut request = RequestHead::new();
        let parsed = parse_request(head.as_bytes(), &Limits::default(), &mut request);
        assert!(matches!(parsed, Ok(Parse::Complete { .. })), "{head}");
        look(&request, head.as_bytes())
    }

    #[test]
    fn every_cookie_of_a_name_is_found_in_its_order() {
        let fields = "Cookie: a=1; lb=x; xlb=y\r\ncookie: lb=z; lb\r\n";
        let found = with(fields, |request, head| {
            let values = values(request, head, "lb").map(<[u8]>::to_vec);
            values.collect::<Vec<_>>()
        });
        assert_eq!(found, [b"x", b"z"]);
    }

    #[test]
    fn the_others_are_written_without_it_and_nothing_is_where_there_is_none() {
        let rest = |fields: &str| {
            let rest = with(fields, |request, head| without(request, head, "lb"));
            rest.map(|rest| String::from_utf8(rest).expect("text"))
        };
        assert_eq!(rest(""), None);
        assert_eq!(rest("Cookie: a=1; xlb=2; LB=3\r\n"), None);
        assert_eq!(rest("Cookie: lb=1\r\n").as_deref(), Some(""));
        assert_eq!(
            rest("Cookie: a=1; lb=x; ; b=\"2\"\r\nCookie: lb=y;c=3\r\n").as_deref(),
            Some("Cookie: a=1; b=\"2\"; c=3\r\n")
        );
    }
}
