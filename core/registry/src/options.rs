//! Which registry, and which fleet in it: the flags that every role shares.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use model::FleetName;

/// The registry within one process.
pub(crate) const MEMORY: &str = "memory";

/// Where the fleet's shared state is.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// The registry: `memory`, within one process and so for `roundhouse up` only, or `redis://[user:password@]host[:port][/database]`.
    #[arg(long, value_name = "URL", default_value = "memory")]
    pub registry: RegistryUrl,

    /// The fleet's name: what keeps several fleets in one Redis apart.
    #[arg(long, value_name = "NAME", default_value_t = FleetName::standard())]
    pub fleet: FleetName,
}

impl Options {
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

/// Without what may be a user and a password.
impl fmt::Display for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.split_once("://"), self.0.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => write!(f, "{scheme}://{host}"),
            (None, Some((_, host))) => f.write_str(host),
            (_, None) => f.write_str(&self.0),
        }
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
