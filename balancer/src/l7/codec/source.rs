//! Where a request comes from, when proxies before this one are believed: the last address that no trusted proxy
//! vouches for.

use std::net::{IpAddr, SocketAddr};

use super::name::{Name, is_token};
use super::request::RequestHead;

/// The longest request id that is taken over.
const LONGEST_ID: usize = 128;

impl RequestHead {
    /// The id that the request came with, where it came with one alone that is a token of at most 128 bytes.
    pub fn request_id<'a>(&'a self, buf: &'a [u8]) -> Option<&'a [u8]> {
        let mut ids = self.fields.meaning(buf, Name::RequestId);
        let id = ids.next().filter(|_| ids.next().is_none())?;
        (id.len() <= LONGEST_ID && is_token(id)).then_some(id)
    }

    /// The client's address: `peer`, the other end of the connection, or where that is trusted, the rightmost address of
    /// `X-Forwarded-For` that is not. Where the field ends before, or has something else than an address, it is the last
    /// one that was read.
    pub fn source(&self, buf: &[u8], peer: IpAddr, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
        let mut source = peer;
        let values = self.fields.meaning(buf, Name::ForwardedFor).rev();
        let mut elements = values.flat_map(|value| value.rsplit(|byte| *byte == b','));
        while is_trusted(source) {
            let Some(address) = elements.next().and_then(address) else {
                break;
            };
            source = address;
        }
        source
    }
}

/// An address as proxies write it: alone, in brackets, or with a port. One of IPv4 in IPv6's clothes is of IPv4.
fn address(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element).ok()?.trim_ascii();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l7::codec::{Limits, parse_request};

    fn head(lines: &str) -> (String, RequestHead) {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let mut head = RequestHead::new();
        parse_request(text.as_bytes(), &Limits::default(), &mut head).unwrap();
        (text, head)
    }

    /// Where 10.x.x.x is trusted, and the request came from 10.0.0.1.
    fn source(lines: &str) -> String {
        let (text, head) = head(lines);
        let is_trusted = |address: IpAddr| address.to_string().starts_with("10.");
        let peer = "10.0.0.1".parse().unwrap();
        let source = head.source(text.as_bytes(), peer, is_trusted);
        source.to_string()
    }

    #[test]
    fn the_source_is_the_rightmost_address_that_is_not_trusted() {
        assert_eq!(
            source("X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\n"),
            "192.0.2.7"
        );
        assert_eq!(
            source("X-Forwarded-For: 6.6.6.6,192.0.2.7 , 10.0.0.9\r\n"),
            "192.0.2.7"
        );
        let two_lines = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 10.0.0.8,10.0.0.9\r\n";
        assert_eq!(source(two_lines), "192.0.2.7");
    }

    #[test]
    fn where_everyone_is_trusted_the_source_is_the_first() {
        assert_eq!(source(""), "10.0.0.1");
        assert_eq!(
            source("X-Forwarded-For: 10.0.0.8, 10.0.0.9\r\n"),
            "10.0.0.8"
        );
    }

    #[test]
    fn the_source_is_never_beyond_what_cannot_be_read() {
        for unknown in ["unknown", "_hidden", "", "10.0.0", "\u{e9}"] {
            let lines = format!("X-Forwarded-For: 6.6.6.6, {unknown}, 10.0.0.9\r\n");
            assert_eq!(source(&lines), "10.0.0.9", "{unknown:?}");
        }
    }

    #[test]
    fn an_untrusted_peer_is_the_source_whatever_it_says() {
        let (text, head) = head("X-Forwarded-For: 6.6.6.6\r\n");
        let peer = "192.0.2.7".parse().unwrap();
        assert_eq!(head.source(text.as_bytes(), peer, |_| false), peer);
    }

    #[test]
    fn addresses_are_read_in_every_way_that_proxies_write_them() {
        for (text, meant) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7:4711", "192.0.2.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("[::ffff:192.0.2.7]:1", "192.0.2.7"),
        ] {
            assert_eq!(
                address(text.as_bytes()),
                Some(meant.parse().unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn an_id_is_taken_over_where_it_is_one_short_token() {
        let id = |lines: &str| {
            let (text, head) = head(lines);
            let id = head.request_id(text.as_bytes()).map(<[u8]>::to_vec);
            id.map(|id| String::from_utf8(id).unwrap())
        };
        assert_eq!(id("X-Request-Id: a-1.b\r\n").as_deref(), Some("a-1.b"));
        let long = "x".repeat(128);
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
