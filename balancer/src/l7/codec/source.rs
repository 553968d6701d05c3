//! Where a request comes from, when proxies before this one are believed: the last address that no trusted proxy
//! vouches for.

use std::net::{IpAddr, SocketAddr};

use super::forwarded;
use super::name::Name;
use super::request::RequestHead;

impl RequestHead {
    /// The client's address: `peer`, the other end of the connection, or where that is trusted, the rightmost address that
    /// is not, in `X-Forwarded-For` or, where that is missing, in `Forwarded`. Where the field ends before, or has something
    /// else than an address, it is the last one that was read.
    pub fn source(&self, buf: &[u8], peer: IpAddr, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
        let lines = |meaning| self.fields.meaning(buf, meaning).rev();
        let named = lines(Name::ForwardedFor).flat_map(|value| value.rsplit(|byte| *byte == b','));
        let mut named = named.map(address).peekable();
        if named.peek().is_some() {
            return last_untrusted(peer, named, is_trusted);
        }
        let elements = lines(Name::Forwarded).flat_map(|value| forwarded::rsplit(value, b','));
        let named = elements.map(|element| forwarded::source(element).and_then(address));
        last_untrusted(peer, named, is_trusted)
    }

    /// How the client came, as the first of the proxies says that servers are told of.
    pub fn claimed_scheme<'a>(&'a self, buf: &'a [u8]) -> Option<&'a [u8]> {
        let mut values = self.fields.meaning(buf, Name::ForwardedProto);
        let value = values.find(|value| !value.is_empty())?;
        let mut elements = value.split(|byte| *byte == b',');
        elements.next().map(<[u8]>::trim_ascii)
    }
}

/// The first that is not trusted of `peer` and those whom it names, from the nearest on; or the last that could be read.
fn last_untrusted(
    peer: IpAddr,
    mut named: impl Iterator<Item = Option<IpAddr>>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let mut source = peer;
    while is_trusted(source)
        && let Some(address) = named.next().flatten()
    {
        source = address;
    }
    source
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
    fn the_standard_field_is_read_where_the_older_one_is_missing() {
        for (lines, wanted) in [
            ("for=6.6.6.6, for=192.0.2.7", "192.0.2.7"),
            (
                "for=192.0.2.7;proto=https;by=10.0.0.1 , For=10.0.0.9",
                "192.0.2.7",
            ),
            ("proto=http; FOR=192.0.2.7", "192.0.2.7"),
            (
                "for=192.0.2.7\r\nForwarded: for=10.0.0.8,for=10.0.0.9",
                "192.0.2.7",
            ),
            ("for=10.0.0.8, for=10.0.0.9", "10.0.0.8"),
            (r#"for="192.0.2.7:4711""#, "192.0.2.7"),
            (r#"for="[2001:db8::7]";host="a""#, "2001:db8::7"),
            (r#"for="[2001:db8::7]:4711""#, "2001:db8::7"),
            (r#"for=192.0.2.7;host="a,for=6.6.6.6""#, "192.0.2.7"),
            (r#"for=192.0.2.7;host="a;for=6.6.6.6""#, "192.0.2.7"),
            (r#"for=192.0.2.7;host="\",for=6.6.6.6""#, "192.0.2.7"),
            (r#"for="oops, for=192.0.2.7"#, "192.0.2.7"),
        ] {
            assert_eq!(
                source(&format!("Forwarded: {lines}\r\n")),
                wanted,
                "{lines}"
            );
        }
    }

    #[test]
    fn the_standard_field_is_not_read_beyond_what_names_no_address() {
        for unknown in [
            "for=unknown",
            "for=_hidden",
            "for=\"_hidden:1\"",
            "for=",
            "for=\"",
            "for=\"192.0.2.7",
            "for=\"\\1.2.3.4\"",
            "for=192.0.2.7;for=192.0.2.8",
            "for",
            "by=192.0.2.7",
            "",
        ] {
            let lines = format!("Forwarded: for=6.6.6.6\r\nForwarded: {unknown}, for=10.0.0.9\r\n");
            assert_eq!(source(&lines), "10.0.0.9", "{unknown:?}");
        }
    }

    #[test]
    fn the_older_field_is_read_where_both_are_there() {
        let lines = "Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 192.0.2.7\r\n";
        assert_eq!(source(lines), "192.0.2.7");
        let lines = "Forwarded: for=6.6.6.6\r\nX-Forwarded-For: unknown\r\n";
        assert_eq!(source(lines), "10.0.0.1");
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
}
