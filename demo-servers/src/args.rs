//! A demo server's flags.

use std::net::SocketAddr;
use std::path::PathBuf;

use client::AdminUrl;
use model::{PoolId, ServerId};

/// The longest name that a server answers with, in bytes.
const NAME_LENGTH_MAX: usize = 63;

/// A server to balance: it answers every path with its name, and fails on demand.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The name it answers with; its id where none is given.
    #[arg(long, value_name = "TEXT", value_parser = check_name)]
    pub name: Option<String>,
    /// The address it listens on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3001", value_parser = runtime::address)]
    pub listen: SocketAddr,
    /// The admin API at which it registers itself, such as http://127.0.0.1:8080; it does not where none is given.
    #[arg(long, value_name = "URL")]
    pub register: Option<AdminUrl>,
    /// The pool it registers in.
    #[arg(long, value_name = "POOL", default_value = "default")]
    pub pool: PoolId,
    /// The id it registers with; made of its name, or of the host's name and the port, where none is given.
    #[arg(long, value_name = "ID")]
    pub id: Option<ServerId>,
    /// The address it registers with; the one it has toward the admin API, and the port it listens on, where none is given.
    #[arg(long, value_name = "ADDR", value_parser = check_address)]
    pub advertise: Option<String>,
    /// A file that holds the admin API's token.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl Args {
    /// A server of that name at that address, which does not register itself.
    pub fn new(name: impl Into<String>, listen: SocketAddr) -> Self {
        Self {
            name: Some(name.into()),
            listen,
            register: None,
            pool: PoolId::standard(),
            id: None,
            advertise: None,
            token_file: None,
        }
    }
}

fn check_name(text: &str) -> Result<String, String> {
    let fits = (1..=NAME_LENGTH_MAX).contains(&text.len());
    if fits && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "a name is one line of 1 to {NAME_LENGTH_MAX} bytes"
    ))
}

fn check_address(text: &str) -> Result<String, String> {
    let valid = text
        .parse::<SocketAddr>()
        .is_ok_and(|address| address.port() != 0)
        || text.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty()
                && !host.contains(':')
                && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
    if valid {
        return Ok(text.to_owned());
    }
    Err("an address is a host and a port, such as 10.0.0.5:3001".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for good in ["10.0.0.5:3001", "[::1]:80", "demo-server:3001"] {
            assert!(check_address(good).is_ok(), "{good}");
        }
        for bad in ["10.0.0.5", "10.0.0.5:0", ":80", "::1:80", "a:b", "a:70000"] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_one_line() {
        assert!(check_name("Server 1").is_ok());
        assert!(check_name("a\nb").is_err() && check_name("").is_err());
    }
}
