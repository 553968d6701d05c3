//! The names that a certificate is for (RFC 6125, RFC 9525): whole ones, and wildcards for one label.

use std::net::IpAddr;

/// The names of one certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// In lower case, those that begin with `*.` among them.
    hosts: Vec<Box<str>>,
    addresses: Vec<IpAddr>,
}

impl Names {
    /// Of names in lower case and addresses, as text.
    pub(crate) fn new(all: &[impl AsRef<str>]) -> Self {
        let mut names = Self::default();
        for name in all.iter().map(AsRef::as_ref) {
            match name.parse() {
                Ok(address) => names.addresses.push(address),
                Err(_) => names.hosts.push(name.into()),
            }
        }
        names
    }

    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(AsRef::as_ref)
    }

    /// Whether they cover the host of an authority, a port behind it left out.
    pub(crate) fn cover(&self, authority: &[u8]) -> bool {
        let Ok(authority) = std::str::from_utf8(authority) else {
            return false;
        };
        if let Some(address) = address(authority) {
            return self.addresses.contains(&address);
        }
        let host = authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host);
        let host = host.strip_suffix('.').unwrap_or(host);
        self.hosts().any(|name| covers(name, host))
    }
}

/// The address of an authority that names no host.
fn address(authority: &str) -> Option<IpAddr> {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next()?.parse().ok();
    }
    let host = authority.split(':').next()?;
    host.parse().ok()
}

fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        None => name.eq_ignore_ascii_case(host),
        Some(parent) => parent_of(host).is_some_and(|of| of.eq_ignore_ascii_case(parent)),
    }
}

/// What is left of a host without its first label.
pub(crate) fn parent_of(host: &str) -> Option<&str> {
    let (label, parent) = host.split_once('.')?;
    (!label.is_empty()).then_some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let names = Names::new(&["shop.example", "*.api.example", "192.0.2.7", "2001:db8::7"]);
        for covered in [
            "shop.example",
            "SHOP.example:8443",
            "shop.example.",
            "v1.api.example",
            "192.0.2.7",
            "192.0.2.7:443",
            "[2001:db8::7]",
            "[2001:db8::7]:443",
        ] {
            assert!(names.cover(covered.as_bytes()), "{covered}");
        }
        for other in [
            "",
            "example",
            "api.example",
            ".api.example",
            "a.b.api.example",
            "shop.example.org",
            "192.0.2.8",
            "[2001:db8::8]",
            "*.shop.example",
        ] {
            assert!(!names.cover(other.as_bytes()), "{other}");
        }
    }
}
