//! Finds the certificate that a client is shown, by the name that it asks for.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::names::{Names, parent_of};

/// A certificate with its key, ready to be shown.
pub(crate) struct Shown {
    /// Its name, and where it is from.
    pub(super) id: String,
    pub(super) origin: Origin,
    pub(super) names: Names,
    pub(super) not_before: SystemTime,
    /// When it expires, in seconds since 1970.
    pub(super) not_after: u64,
    pub(super) key: Arc<CertifiedKey>,
}

/// Where a certificate is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Registry,
    File,
}

/// Several for one name, the best first.
type Choice = Vec<Arc<Shown>>;

/// All that a listener shows.
#[derive(Debug, Default)]
pub(crate) struct Showcase {
    exact: HashMap<Box<str>, Choice>,
    /// By what is behind the first label.
    wildcard: HashMap<Box<str>, Choice>,
    standard: Option<Arc<Shown>>,
    /// Where there is just one.
    only: Option<Arc<Shown>>,
}

/// Without its key.
impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown")
            .field("id", &self.id)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl Origin {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::File => "file",
        }
    }
}

impl Showcase {
    /// Where several are for one name, the one that lasts longest is shown, of those that are valid already and that the client can verify.
    pub(super) fn new(
        all: impl IntoIterator<Item = Arc<Shown>>,
        standard: Option<Arc<Shown>>,
    ) -> Self {
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by(|one, other| {
            let later = other.not_after.cmp(&one.not_after);
            later.then_with(|| one.id.cmp(&other.id))
        });
        let only = match &all[..] {
            [only] => Some(Arc::clone(only)),
            _ => None,
        };
        let mut showcase = Self {
            standard,
            only,
            ..Self::default()
        };
        for shown in &all {
            for name in shown.names.hosts() {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut showcase.wildcard, parent),
                    None => (&mut showcase.exact, name),
                };
                map.entry(name.into()).or_default().push(Arc::clone(shown));
            }
        }
        showcase
    }

    /// The one for a name: an exact one goes before a wildcard, and that before what is shown to all others. Who asks for none gets the only
    /// one at least.
    pub(super) fn shown_to(&self, hello: &ClientHello<'_>) -> Option<&Arc<Shown>> {
        let name = hello.server_name();
        let choice = name.and_then(|name| self.choice(&name.to_ascii_lowercase()));
        let Some(choice) = choice else {
            let only = self.only.as_ref().filter(|_| name.is_none());
            return self.standard.as_ref().or(only);
        };
        let schemes = hello.signature_schemes();
        let now = SystemTime::now();
        let fits = |shown: &&Arc<Shown>| {
            shown.not_before <= now && shown.key.key.choose_scheme(schemes).is_some()
        };
        choice.iter().find(fits).or_else(|| choice.first())
    }

    fn choice(&self, name: &str) -> Option<&Choice> {
        let wildcard = || self.wildcard.get(parent_of(name)?);
        self.exact.get(name).or_else(wildcard)
    }
}

impl ResolvesServerCert for Showcase {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = self.shown_to(&hello);
        found.map(|shown| Arc::clone(&shown.key))
    }
}
