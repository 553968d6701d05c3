//! Which registry, and which fleet in it: the flags that every role shares.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use model::FleetName;

/// The registry within one process.
pub(crate) const MEMORY: &str = "memory";

/// Where the fleet's shared state is.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// The registry: `memory`, within one process and so for `roundhouse up` only, or a Redis:
    /// `redis://[user:password@]host[:port][/database]`, `unix:///path[?db=&user=&pass=]`,
    /// `redis+sentinel://[user:password@]host[:port],.../service[/database]` or
    /// `redis+cluster://[user:password@]host[:port],...`; with TLS `rediss` instead of `redis`.
    #[arg(long, value_name = "URL", default_value = "memory")]
    pub registry: RegistryUrl,

    /// The fleet's name: what keeps several fleets in one Redis apart.
    #[arg(long, value_name = "NAME", default_value_t = FleetName::standard())]
    pub fleet: FleetName,

    #[command(flatten)]
    pub tls: TlsFiles,
}

/// The files for TLS to the registry, where its URL says `rediss`.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TlsFiles {
    /// A file of CA certificates, in PEM: the registry's must be from one of them. Without it, from one that the system trusts.
    #[arg(long, value_name = "FILE")]
    pub registry_ca: Option<PathBuf>,

    /// A file with the client certificate, and its chain, to show to the registry, in PEM.
    #[arg(long, value_name = "FILE")]
    pub registry_cert: Option<PathBuf>,

    /// The file of that certificate's private key, in PEM.
    #[arg(long, value_name = "FILE")]
    pub registry_key: Option<PathBuf>,
}

impl TlsFiles {
    pub(crate) fn is_empty(&self) -> bool {
        self.registry_ca.is_none() && self.registry_cert.is_none() && self.registry_key.is_none()
    }
}

impl Options {
    /// One without files for TLS.
    pub fn new(registry: impl Into<RegistryUrl>, fleet: FleetName) -> Self {
        Self {
            registry: registry.into(),
            fleet,
            tls: TlsFiles::default(),
        }
    }

    /// Whether the registry is within this process, so that it begins empty and no other process finds it.
    pub fn is_within_process(&self) -> bool {
        self.registry.as_str() == MEMORY
    }
}

/// A registry's address as it was given. It may hold a password, so it is never shown whole, not even where
/// it is wrong: `open` checks it, and says what is wrong without repeating it.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryUrl(String);

impl RegistryUrl {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RegistryUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.into()))
    }
}

impl From<&str> for RegistryUrl {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// Without what may be a user and a password: what is before a `@`, and what is behind a `?`.
impl fmt::Display for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = match self.0.split_once("://") {
            Some((scheme, rest)) => (format!("{scheme}://"), rest),
            None => (String::new(), self.0.as_str()),
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        if query.contains('@') {
            // The `?` may be a part of the password.
            return write!(f, "{scheme}...");
        }
        let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
        let more = if query.is_empty() { "" } else { "?..." };
        write!(f, "{scheme}{host}{more}")
    }
}

impl fmt::Debug for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for text in [
            "redis://admin:hunter2@redis.example:6379/0",
            "redis://:hunter2@redis.example:6379/0",
            "redis://admin:hunter2@with@redis.example:6379/0",
            "reddis:/admin:hunter2@redis.example:6379/0",
        ] {
            let url = RegistryUrl::from(text);
            let shown = format!("{url} {url:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains("redis.example:6379/0"), "{shown}");
        }
    }

    #[test]
    fn an_address_without_a_password_is_shown_as_it_is() {
        for text in ["memory", "redis://127.0.0.1:6379"] {
            assert_eq!(RegistryUrl::from(text).to_string(), text);
        }
    }
}
