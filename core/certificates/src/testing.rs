//! Certificates made for tests: an authority, and what it issues.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use time::OffsetDateTime;

/// How long what is issued is valid, where nothing else is asked for.
const LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);

/// An authority of its own, which no host knows.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, both as PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    pub chain: String,
    pub key: String,
}

impl Authority {
    /// # Panics
    /// Where the system gives no randomness.
    pub fn new(name: &str) -> Self {
        let mut params = params(name, &[], LIFETIME);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// The root, as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Issues a certificate to the first name, for servers and for clients, valid for all names.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_for(names, LIFETIME)
    }

    /// The same, valid for so long from now on.
    ///
    /// # Panics
    /// Where a name is none that a certificate can have.
    pub fn issue_for(&self, names: &[&str], lifetime: Duration) -> Issued {
        self.issue_as(params(names.first().expect("a name"), names, lifetime))
    }

    /// The same, which has expired an hour ago.
    ///
    /// # Panics
    /// Where a name is none that a certificate can have.
    pub fn issue_expired(&self, names: &[&str]) -> Issued {
        let mut params = params(names.first().expect("a name"), names, Duration::ZERO);
        params.not_after -= Duration::from_secs(3600);
        self.issue_as(params)
    }

    /// The same, which begins in an hour, and lasts longer than the others.
    ///
    /// # Panics
    /// Where a name is none that a certificate can have.
    pub fn issue_for_later(&self, names: &[&str]) -> Issued {
        let mut params = params(names.first().expect("a name"), names, 2 * LIFETIME);
        params.not_before = OffsetDateTime::from(SystemTime::now()) + Duration::from_secs(3600);
        self.issue_as(params)
    }

    fn issue_as(&self, mut params: CertificateParams) -> Issued {
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().expect("a key");
        let issued = params.signed_by(&key, &self.issuer);
        Issued {
            chain: issued.expect("a certificate").pem(),
            key: key.serialize_pem(),
        }
    }
}

/// It began a day ago, so that one which lives for no time has expired just now.
fn params(name: &str, names: &[&str], lifetime: Duration) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::from(SystemTime::now());
    params.not_before = now - Duration::from_secs(24 * 3600);
    params.not_after = now + lifetime;
    params
}
