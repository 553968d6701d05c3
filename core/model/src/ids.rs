//! Names that people choose: of fleets, pools, servers and the like. Parsed once, at the edge.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
pub const NAME_LENGTH_MAX: usize = 63;

/// A name that breaks the rule for names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is not a valid name: 1 to {NAME_LENGTH_MAX} characters of a-z, A-Z, 0-9, '-', '_' and '.', \
     beginning with a letter or a digit"
)]
pub struct InvalidName {
    name: String,
}

fn check_name(name: &str) -> Result<(), InvalidName> {
    let bytes = name.as_bytes();
    let valid = (1..=NAME_LENGTH_MAX).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
    if valid {
        return Ok(());
    }
    // A hostile name is not repeated at full length in an error.
    let name = name.chars().take(NAME_LENGTH_MAX + 1).collect();
    Err(InvalidName { name })
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                check_name(text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name_type! {
    /// The name of a fleet: what keeps two fleets in one Redis apart.
    FleetName
}
name_type! {
    /// The name of a pool.
    PoolId
}
name_type! {
    /// The name of a server, unique within its pool.
    ServerId
}
name_type! {
    /// The name of a route.
    RouteId
}
name_type! {
    /// The name of a listener.
    ListenerId
}
name_type! {
    /// The name of a list of networks.
    NetworkListId
}
name_type! {
    /// The name of a certificate.
    CertificateId
}
name_type! {
    /// The name of a limit.
    LimitId
}
name_type! {
    /// The name of a secret of the fleet.
    SecretId
}

impl FleetName {
    /// The fleet of those who name none.
    pub fn standard() -> Self {
        Self("main".into())
    }
}

impl PoolId {
    /// The pool that exists from the start and takes what no route claims.
    pub fn standard() -> Self {
        Self("default".into())
    }
}

impl ListenerId {
    /// The names that the listeners of balancers have: for the address of `--listen`, and for that of `--listen-tls`.
    pub const KNOWN: [&'static str; 2] = ["http", "https"];

    /// Whether balancers have a listener of that name.
    pub fn is_known(&self) -> bool {
        Self::KNOWN.contains(&self.as_str())
    }
}

impl SecretId {
    /// What signs the cookies of sticky sessions.
    pub fn sticky() -> Self {
        Self("sticky".into())
    }
}

/// What names a server across the fleet: its pool and its id, written `pool/server`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerKey {
    pub pool: PoolId,
    pub server: ServerId,
}

impl ServerKey {
    pub fn new(pool: PoolId, server: ServerId) -> Self {
        Self { pool, server }
    }
}

impl FromStr for ServerKey {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (pool, server) = text
            .split_once('/')
            .ok_or_else(|| InvalidName { name: text.into() })?;
        Ok(Self {
            pool: pool.parse()?,
            server: server.parse()?,
        })
    }
}

impl TryFrom<String> for ServerKey {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<ServerKey> for String {
    fn from(key: ServerKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool, self.server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_what_is_safe_in_a_key_and_a_url() {
        for good in ["a", "s1", "web-1.eu_west", &"x".repeat(63)] {
            assert_eq!(good.parse::<ServerId>().expect(good).as_str(), good);
        }
        for bad in [
            "",
            "-a",
            ".a",
            "a/b",
            "a b",
            "ü",
            "a\n",
            "{a}",
            &"x".repeat(64),
        ] {
            assert!(
                bad.parse::<ServerId>().is_err(),
                "{bad:?} should be refused"
            );
        }
    }

    #[test]
    fn a_server_key_reads_back_what_it_writes() {
        let key: ServerKey = "default/s1".parse().expect("a key");
        assert_eq!((key.pool.as_str(), key.server.as_str()), ("default", "s1"));
        assert_eq!(key.to_string(), "default/s1");
        assert!("default".parse::<ServerKey>().is_err());
        assert!("a/b/c".parse::<ServerKey>().is_err());
    }
}
