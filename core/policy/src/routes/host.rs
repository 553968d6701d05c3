//! Hosts as they are compared: in lower case, without a port or the dot of the root.

/// The longest name that a route can claim, in bytes.
const LENGTH_MAX: usize = 253;

/// A host in lower case, kept on the stack.
pub(crate) struct HostText {
    bytes: [u8; LENGTH_MAX],
    length: usize,
}

impl HostText {
    /// The host of an authority. One that is too long for any route is nobody's.
    pub(crate) fn of(authority: &[u8]) -> Self {
        let host = without_port(authority);
        let host = host.strip_suffix(b".").unwrap_or(host);
        let mut bytes = [0; LENGTH_MAX];
        let length = match bytes.get_mut(..host.len()) {
            Some(place) => {
                place.copy_from_slice(host);
                place.make_ascii_lowercase();
                host.len()
            }
            None => 0,
        };
        Self { bytes, length }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The names above one, the nearest first: of `a.b.c` these are `b.c` and `c`.
pub(super) fn above(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let dots = name.iter().enumerate().filter(|(_, byte)| **byte == b'.');
    dots.filter(|(place, _)| *place > 0)
        .map(|(place, _)| &name[place + 1..])
}

pub(super) fn without_port(authority: &[u8]) -> &[u8] {
    split_port(authority).0
}

/// A host, and its port as it is written there.
pub(super) fn split_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    // In brackets there are colons that begin no port (RFC 3986, 3.2.2).
    let after = authority.iter().rposition(|byte| *byte == b']');
    let from = after.map_or(0, |place| place + 1);
    match authority[from..].iter().position(|byte| *byte == b':') {
        Some(place) => {
            let (host, port) = authority.split_at(from + place);
            (host, Some(&port[1..]).filter(|port| !port.is_empty()))
        }
        None => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_compared_without_port_case_or_root() {
        for (authority, host) in [
            ("Example.ORG:8080", "example.org"),
            ("example.org.", "example.org"),
            ("example.org.:80", "example.org"),
            ("[2001:DB8::1]:80", "[2001:db8::1]"),
            ("[::1]", "[::1]"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("", ""),
        ] {
            assert_eq!(
                HostText::of(authority.as_bytes()).as_bytes(),
                host.as_bytes()
            );
        }
        assert_eq!(HostText::of(&[b'a'; 254]).as_bytes(), b"");
    }

    #[test]
    fn the_names_above_a_name_are_what_wildcards_claim_it_by() {
        let names: Vec<_> = above(b"a.b.org").collect();
        assert_eq!(names, [&b"b.org"[..], b"org"]);
        assert_eq!(above(b"org").count(), 0);
        assert_eq!(above(b".org").count(), 0);
    }
}
