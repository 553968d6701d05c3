//! What a running role says of itself on standard output: its name, where clients reach it, where its
//! state can be watched.

use std::io::Write;
use std::net::SocketAddr;

/// One line: role, address, ops address.
pub fn row(role: &str, address: Option<SocketAddr>, ops: Option<SocketAddr>) -> String {
    let address = address.map(|address| format!("http://{address}"));
    let ops = ops.map(|address| format!("ops http://{address}"));
    let line = format!(
        "{role:<14} {:<30} {}",
        address.unwrap_or_default(),
        ops.unwrap_or_default()
    );
    line.trim_end().to_owned()
}

/// One line: role, and the address for clients that come by TLS.
pub fn tls_row(role: &str, address: SocketAddr) -> String {
    format!("{role:<14} https://{address}")
}

/// Says where a role that has started can be reached.
pub fn announce(role: &str, address: Option<SocketAddr>, ops: Option<SocketAddr>) {
    say(&row(role, address, ops));
}

/// Says where it can be reached by TLS.
pub fn announce_tls(role: &str, address: SocketAddr) {
    say(&tls_row(role, address));
}

fn say(line: &str) {
    // Whoever started it may not be listening.
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_tls_names_its_scheme() {
        let address = "127.0.0.1:8443".parse().unwrap();
        assert_eq!(
            tls_row("balancer", address),
            "balancer       https://127.0.0.1:8443"
        );
    }

    #[test]
    fn a_row_says_what_there_is_and_ends_with_it() {
        let at = |text: &str| Some(text.parse().unwrap());
        assert_eq!(
            row("balancer", at("127.0.0.1:8000"), at("127.0.0.1:8100")),
            "balancer       http://127.0.0.1:8000          ops http://127.0.0.1:8100"
        );
        assert_eq!(
            row("server 1", at("127.0.0.1:3001"), None),
            "server 1       http://127.0.0.1:3001"
        );
        assert_eq!(
            row(
                "server with-a-long-name",
                at("[2001:db8::1234:5678]:30001"),
                at("127.0.0.1:8100")
            ),
            "server with-a-long-name http://[2001:db8::1234:5678]:30001 ops http://127.0.0.1:8100"
        );
    }
}
