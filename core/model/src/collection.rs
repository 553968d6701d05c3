//! The kinds of element that the registry holds, those of newer versions among them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Makes the kinds, the list of them and their names of one table, so that none is forgotten in one of the three.
macro_rules! collections {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// The kinds of element that the registry holds, one hash each.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        #[serde(try_from = "String", into = "String")]
        pub enum Collection {
            $($(#[$doc])* $kind,)*
            /// One that a newer version writes: it is kept as it is, and nothing is made of it.
            Other(OtherCollection),
        }

        impl Collection {
            /// Those that this version knows.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$kind),*];

            /// Its name in registry keys and messages.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$kind => $name,)*
                    Self::Other(other) => other.as_str(),
                }
            }
        }
    };
}

collections! {
    Pools = "pools",
    Servers = "servers",
    /// Verdicts, by server key.
    Health = "health",
    /// Rulings on held withdrawals, by pool.
    Holds = "holds",
    Routes = "routes",
    Listeners = "listeners",
    /// Lists of networks.
    Networks = "networks",
    /// Certificates, their keys sealed.
    Certificates = "certificates",
    /// How many requests are taken.
    Limits = "limits",
    /// Keys of the fleet's own making, which are shown to nobody.
    Secrets = "secrets",
}

/// What else the registry keeps under a fleet's name, and what its channels are called: never collections.
const TAKEN: [&str; 10] = [
    "head",
    "log",
    "history",
    "lease",
    "instances",
    "registrations",
    "idempotency",
    "changes",
    "reports",
    "suspicions",
];

impl Collection {
    /// Whether people keep it in a document: what an export, an import and the restore of a revision are about.
    pub fn is_documented(self) -> bool {
        match self {
            Self::Pools
            | Self::Servers
            | Self::Routes
            | Self::Listeners
            | Self::Networks
            | Self::Certificates
            | Self::Limits => true,
            Self::Health | Self::Holds | Self::Secrets | Self::Other(_) => false,
        }
    }

    /// Whether a newer version writes it.
    pub fn is_other(self) -> bool {
        matches!(self, Self::Other(_))
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What cannot be the name of a collection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be the name of a collection: at most 32 lower-case letters, digits and _, and nothing else's name"
)]
pub struct NoCollection(String);

impl FromStr for Collection {
    type Err = NoCollection;

    fn from_str(name: &str) -> Result<Self, NoCollection> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == name);
        let other = || OtherCollection::new(name).map(Self::Other);
        known
            .or_else(other)
            .ok_or_else(|| NoCollection(name.into()))
    }
}

impl TryFrom<String> for Collection {
    type Error = NoCollection;

    fn try_from(name: String) -> Result<Self, NoCollection> {
        name.parse()
    }
}

impl From<Collection> for String {
    fn from(collection: Collection) -> Self {
        collection.as_str().into()
    }
}

/// The name of a collection that this version does not know, held in place, as it is passed about like those that it knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OtherCollection {
    /// Filled up with zeros.
    bytes: [u8; Self::LENGTH_MAX],
}

impl OtherCollection {
    const LENGTH_MAX: usize = 32;

    fn new(name: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let fits = (1..=Self::LENGTH_MAX).contains(&name.len()) && name.bytes().all(plain);
        if !fits || TAKEN.contains(&name) {
            return None;
        }
        let mut bytes = [0; Self::LENGTH_MAX];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Some(Self { bytes })
    }

    fn as_str(&self) -> &str {
        let end = self.bytes.iter().position(|byte| *byte == 0);
        let name = &self.bytes[..end.unwrap_or(Self::LENGTH_MAX)];
        str::from_utf8(name).expect("it was made of letters and digits")
    }
}

impl fmt::Debug for OtherCollection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_is_spelt_the_same_everywhere() {
        for collection in Collection::ALL {
            let name = collection.to_string();
            assert_eq!(name.parse(), Ok(collection));
            assert_eq!(serde_json::to_value(collection).unwrap(), name.as_str());
        }
    }

    #[test]
    fn a_newer_versions_collection_keeps_its_name() {
        let longest = "a".repeat(32);
        for name in ["weather", "tls_13", longest.as_str()] {
            let collection: Collection = name.parse().expect("a name");
            assert!(collection.is_other() && !collection.is_documented());
            assert_eq!(collection.as_str(), name);
            let json = serde_json::to_string(&collection).expect("JSON");
            assert_eq!(
                serde_json::from_str::<Collection>(&json).ok(),
                Some(collection)
            );
        }
    }

    #[test]
    fn what_names_something_else_is_no_collection() {
        let long = "a".repeat(33);
        for name in [
            "",
            "Routes",
            "a:b",
            "a b",
            "é",
            "head",
            "instances",
            long.as_str(),
        ] {
            assert!(name.parse::<Collection>().is_err(), "{name}");
        }
    }
}
