//! Certificates as resources. A private key that comes in plain is sealed before anything else is done with it; from then on
//! nobody here can read it.

use std::sync::Arc;
use std::time::SystemTime;

use certificates::{Chain, PrivateKey, parse_roots};
use model::{
    Certificate, CertificateId, Change, Collection, Elements, KeptKey, Snapshot, Stamped, Unknown,
    validate_certificate,
};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{Known, Means, Resource, Target, check_room};
use crate::problem::Problem;

const KEY: &str = "key";
const CHAIN: &str = "chain";

impl Resource for Certificate {
    type Key = CertificateId;

    const KIND: &'static str = "certificate";
    const COLLECTION: Collection = Collection::Certificates;
    const MAX: usize = 1_000;
    /// The longest chain and the longest key, escaped.
    const BODY_MAX: usize = 128 * 1024;
    const READ_ONLY: &'static [&'static str] = &[
        "revision",
        "created",
        "names",
        "subject",
        "issuer",
        "not_before",
        "not_after",
    ];

    fn all(snapshot: &Snapshot) -> &Elements<CertificateId, Self> {
        &snapshot.certificates
    }

    fn key(&self) -> CertificateId {
        self.id.clone()
    }

    fn change(key: CertificateId, value: Option<Self>) -> Change {
        Change::Certificate(key, value.map(Box::new))
    }

    async fn prepare(
        id: Option<&CertificateId>,
        sent: &mut Map<String, Value>,
        means: &Means,
    ) -> Result<(), Problem> {
        let id = id.expect("a certificate is always put under a name");
        seal(id, sent, means)
    }

    /// What is said of the key never repeats any of it.
    fn rule(field: &str) -> Option<String> {
        let is_key = field == KEY || field.starts_with("key.");
        let rule = "must be a private key in PEM, or a sealed one: {\"sealed\": {\"to\": ..., \"box\": ...}}";
        is_key.then(|| rule.into())
    }

    fn validate(&self) -> Result<(), Vec<model::Problem>> {
        also(validate_certificate(self), CHAIN, || {
            Chain::parse(&self.chain).map(drop)
        })
    }

    fn check_among(&self, snapshot: &Snapshot, is_new: bool) -> Result<(), Problem> {
        if is_new {
            check_room::<Self>(snapshot.certificates.len() + 1)?;
        }
        match snapshot.certificates.get(&self.id) {
            Some(stored) => check_after(self, &stored.value),
            None => Ok(()),
        }
    }

    fn check_removal(key: &CertificateId, snapshot: &Snapshot) -> Result<(), Problem> {
        Target::Certificate(key).check_unused(snapshot)
    }

    fn unknown(&mut self) -> Vec<(String, &mut Unknown)> {
        self.unknown_mut()
    }

    fn observed(stamped: &Stamped<Self>, known: Known<'_>) -> Map<String, Value> {
        let Some(chain) = chain_among(&stamped.value, known) else {
            return Map::new();
        };
        Map::from_iter([
            ("names".into(), json!(chain.names())),
            ("subject".into(), json!(chain.subject())),
            ("issuer".into(), json!(chain.issuer())),
            ("not_before".into(), time(chain.not_before())),
            ("not_after".into(), time(chain.not_after())),
        ])
    }
}

/// A sealed key that stays was the stored chain's, and has to be that of the chain which takes its place.
fn check_after(certificate: &Certificate, stored: &Certificate) -> Result<(), Problem> {
    if certificate.key != stored.key || certificate.chain == stored.chain {
        return Ok(());
    }
    let is_own = match (chain_of(certificate), chain_of(stored)) {
        (Some(new), Some(old)) => new.has_key_of(&old),
        _ => true,
    };
    let rule = "has another public key than the chain before: send its private key with it";
    match is_own {
        true => Ok(()),
        false => Err(Problem::field(CHAIN, rule)),
    }
}

/// What a certificate's chain says; nothing where it cannot be read, as other hands may have written it.
fn chain_of(certificate: &Certificate) -> Option<Chain> {
    Chain::parse(&certificate.chain).ok()
}

/// The same, read anew only where it differs from what is in the registry.
fn chain_among(certificate: &Certificate, known: Known<'_>) -> Option<Arc<Chain>> {
    let all = &known.snapshot.certificates;
    let stored = all.get(&certificate.id);
    match stored.is_some_and(|stored| stored.value.chain == certificate.chain) {
        true => known.chains.of(all).get(&certificate.id).cloned(),
        false => chain_of(certificate).map(Arc::new),
    }
}

/// The fingerprint of the seal key that can open a certificate's key.
pub(crate) fn sealed_to(certificate: &Certificate) -> &str {
    let KeptKey::Sealed(key) = &certificate.key;
    &key.to
}

/// The rules for roots by which others are verified, where there are any, beside what was found already.
pub(super) fn check_roots(
    found: Result<(), Vec<model::Problem>>,
    field: &str,
    pem: &str,
) -> Result<(), Vec<model::Problem>> {
    match pem.is_empty() {
        true => found,
        false => also(found, field, || parse_roots(pem).map(drop)),
    }
}

/// What was found, and why a field cannot be read, where nothing was found of that.
fn also<E: ToString>(
    found: Result<(), Vec<model::Problem>>,
    field: &str,
    read: impl FnOnce() -> Result<(), E>,
) -> Result<(), Vec<model::Problem>> {
    let mut found = found.err().unwrap_or_default();
    if found.iter().all(|it| it.field != field)
        && let Err(error) = read()
    {
        found.extend(problems(field, &error));
    }
    match found.is_empty() {
        true => Ok(()),
        false => Err(found),
    }
}

/// Puts the sealed key in the place of one in plain.
fn seal(id: &CertificateId, sent: &mut Map<String, Value>, means: &Means) -> Result<(), Problem> {
    let Some(Value::String(plain)) = sent.get_mut(KEY) else {
        return Ok(());
    };
    let plain = Zeroizing::new(std::mem::take(plain));
    // Where it is refused, nothing is left that could be read as a sealed one.
    sent.remove(KEY);
    let Some(seal_to) = &means.seal_to else {
        let rule = "cannot be sealed: this admin API has no seal key; start it with --seal-to, or send the key sealed";
        return Err(Problem::field(KEY, rule));
    };
    let key = PrivateKey::parse(&plain);
    let key = key.map_err(|error| Problem::field(KEY, error.to_string()))?;
    let Some(chain) = sent.get(CHAIN) else {
        return Err(Problem::field(CHAIN, "is required with a private key"));
    };
    // What is wrong with the chain is said when it is read.
    if let Some(chain) = chain.as_str().and_then(|pem| Chain::parse(pem).ok()) {
        let matching = chain.with_key(&key);
        matching.map_err(|error| Problem::field(KEY, error.to_string()))?;
    }
    let sealed = KeptKey::Sealed(seal_to.seal(id, &key));
    sent.insert(KEY.into(), json!(sealed));
    Ok(())
}

fn problems(field: &str, error: &impl ToString) -> Vec<model::Problem> {
    vec![model::Problem::new(field, error.to_string())]
}

fn time(time: SystemTime) -> Value {
    humantime::format_rfc3339_seconds(time).to_string().into()
}

#[cfg(test)]
mod tests {
    use certificates::testing::Authority;
    use certificates::{Chains, SealKey};
    use model::{Epoch, Revision, RevisionId};

    use super::*;

    #[test]
    fn a_chain_that_was_read_is_not_read_again_until_it_differs() {
        let authority = Authority::new("test authority");
        let put = || {
            let (id, issued) = ("www".parse().expect("a name"), authority.issue(&["a.org"]));
            let key = PrivateKey::parse(&issued.key).expect("a key");
            let sealed = SealKey::generate().public().seal(&id, &key);
            Stamped::new(Revision(2), Certificate::new(id, issued.chain, sealed))
        };
        let (stored, next) = (put(), put());
        let mut snapshot = Snapshot::first(Epoch::random(), RevisionId::random());
        let id = stored.value.id.clone();
        snapshot.certificates.insert(id, stored.clone().into());
        let chains = Chains::default();
        let known = Known {
            snapshot: &snapshot,
            chains: &chains,
        };
        let read = |of: &Stamped<Certificate>| chain_among(&of.value, known).expect("a chain");
        assert!(Arc::ptr_eq(&read(&stored), &read(&stored)));
        let own = chain_of(&next.value).expect("a chain");
        assert!(read(&next).has_key_of(&own));
    }
}
