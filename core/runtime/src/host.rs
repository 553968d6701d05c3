//! What others call this host, as far as it knows itself.

use std::net::SocketAddr;

/// The name of this host: in a container, its id. Empty where it has none.
pub fn host_name() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let name = kernel.ok().or_else(|| std::env::var("HOSTNAME").ok());
    name.map(|name| name.trim().to_owned()).unwrap_or_default()
}

/// A listening address as others may know it. An unspecified one would be the same on every host, so the
/// host's name stands in its place.
pub fn reachable(address: SocketAddr) -> String {
    under(&host_name(), address)
}

fn under(host: &str, address: SocketAddr) -> String {
    if host.is_empty() || !address.ip().is_unspecified() {
        return address.to_string();
    }
    format!("{host}:{}", address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_known_by_the_hosts_name() {
        for (address, known) in [
            ("0.0.0.0:8000", "edge-1:8000"),
            ("[::]:8000", "edge-1:8000"),
            ("127.0.0.1:8000", "127.0.0.1:8000"),
            ("[::1]:8000", "[::1]:8000"),
        ] {
            assert_eq!(under("edge-1", address.parse().unwrap()), known);
        }
        assert_eq!(under("", "0.0.0.0:80".parse().unwrap()), "0.0.0.0:80");
    }
}
