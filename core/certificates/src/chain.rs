//! A certificate chain: read of PEM, and what its first certificate says.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use crate::{KeyError, PrivateKey};

/// The most certificates of a chain. Real ones have two to four.
const CERTIFICATES_MAX: usize = 10;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long before its end a certificate is warned of.
pub const WARN_WITHIN: Duration = Duration::from_secs(21 * DAY.as_secs());

/// A chain as balancers show it, the certificate itself first.
#[derive(Debug, Clone)]
pub struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    names: Vec<String>,
    subject: String,
    issuer: String,
    not_before: Duration,
    not_after: Duration,
    public_key: SubjectPublicKeyInfoOwned,
}

/// Why a text is no chain. Each goes on from the name of what holds the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error(
        "is no PEM: it must be lines from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"
    )]
    NoPem,
    #[error("holds no certificate in PEM")]
    Empty,
    #[error("holds more than {CERTIFICATES_MAX} certificates")]
    Long,
    #[error("the certificate {number} of the chain cannot be read: {reason}")]
    Unreadable {
        /// From 1 on.
        number: usize,
        reason: String,
    },
    #[error(
        "the certificate {number} of the chain did not issue the one before it: the certificate itself comes first, then who issued \
         it, and so on"
    )]
    OutOfOrder { number: usize },
}

impl Chain {
    /// Reads a chain of PEM (RFC 7468) and checks that each certificate is followed by its issuer's. Whether it leads to a root that
    /// clients know is for them to say.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(pem: &str) -> Result<Self, ChainError> {
        let certificates = sections(pem)?;
        if certificates.len() > CERTIFICATES_MAX {
            return Err(ChainError::Long);
        }
        let read = (1..).zip(&certificates).map(|(number, der)| {
            let unreadable = |reason| ChainError::Unreadable { number, reason };
            decode(der).map_err(unreadable)
        });
        let read = read.collect::<Result<Vec<_>, _>>()?;
        for (number, pair) in (2..).zip(read.windows(2)) {
            let [before, it] = [&pair[0], &pair[1]].map(Certificate::tbs_certificate);
            if before.issuer() != it.subject() {
                return Err(ChainError::OutOfOrder { number });
            }
        }
        let leaf = read.first().ok_or(ChainError::Empty)?.tbs_certificate();
        let validity = leaf.validity();
        Ok(Self {
            names: names(&read[0])
                .map_err(|reason| ChainError::Unreadable { number: 1, reason })?,
            subject: text_of(leaf.subject()),
            issuer: text_of(leaf.issuer()),
            not_before: validity.not_before.to_unix_duration(),
            not_after: validity.not_after.to_unix_duration(),
            public_key: leaf.subject_public_key_info().clone(),
            certificates,
        })
    }

    /// The hosts that it is for: names in lower case, of which the first label may be `*`, and addresses. None where it is for no host.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whose it is, as `subject_of` writes it.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Who issued it, written in the same way.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The first moment at which it is valid, to the second.
    pub fn not_before(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.not_before
    }

    /// The last moment at which it is valid, to the second.
    pub fn not_after(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.not_after
    }

    /// The same as seconds since 1970.
    pub fn not_after_seconds(&self) -> u64 {
        self.not_after.as_secs()
    }

    /// Why somebody should look at it, if that is so: it has expired, will soon, or is not valid yet.
    pub fn trouble(&self, now: SystemTime) -> Option<String> {
        let at = humantime::format_rfc3339_seconds;
        if now < self.not_before() {
            return Some(format!("is not valid before {}", at(self.not_before())));
        }
        let end = at(self.not_after());
        match self.not_after().duration_since(now) {
            Err(_) => Some(format!("expired at {end}")),
            Ok(left) if left < WARN_WITHIN => {
                let days = left.as_secs() / DAY.as_secs();
                let plural = if days == 1 { "" } else { "s" };
                Some(format!("expires in {days} day{plural}, at {end}"))
            }
            Ok(_) => None,
        }
    }

    /// Whether the other one has the same public key, so that what is private to one is private to both.
    pub fn has_key_of(&self, other: &Self) -> bool {
        self.public_key == other.public_key
    }

    /// As it is shown in a handshake.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// The chain with its private key, as rustls takes it.
    ///
    /// # Errors
    /// A key of a kind that is not known, or another certificate's.
    pub fn with_key(&self, key: &PrivateKey) -> Result<CertifiedKey, KeyError> {
        let signing = any_supported_type(&key.der()).map_err(|_| KeyError::Unsupported)?;
        let certified = CertifiedKey::new(self.certificates.clone(), Arc::clone(&signing));
        certified.keys_match().map_err(|_| KeyError::Other)?;
        Ok(certified)
    }
}

/// Reads the roots that others' certificates must lead to, of PEM.
///
/// # Errors
/// What is wrong with it.
pub fn parse_roots(pem: &str) -> Result<Vec<CertificateDer<'static>>, ChainError> {
    let roots = sections(pem)?;
    for (number, der) in (1..).zip(&roots) {
        decode(der).map_err(|reason| ChainError::Unreadable { number, reason })?;
    }
    match roots.is_empty() {
        true => Err(ChainError::Empty),
        false => Ok(roots),
    }
}

/// Whose a certificate is, after RFC 4514 in printable ASCII: `CN=api.example,O=Example`. It can stand in a header field as it is:
/// whatever else is in it is escaped, byte by byte, as `\c3\a9`.
///
/// # Errors
/// Why it cannot be read.
pub fn subject_of(certificate: &CertificateDer<'_>) -> Result<String, ChainError> {
    let read = decode(certificate);
    let read = read.map_err(|reason| ChainError::Unreadable { number: 1, reason })?;
    Ok(text_of(read.tbs_certificate().subject()))
}

fn sections(pem: &str) -> Result<Vec<CertificateDer<'static>>, ChainError> {
    let sections = CertificateDer::pem_slice_iter(pem.as_bytes());
    sections
        .collect::<Result<_, _>>()
        .map_err(|_| ChainError::NoPem)
}

fn decode(der: &CertificateDer<'_>) -> Result<Certificate, String> {
    Certificate::from_der(der).map_err(|error| error.to_string())
}

fn names(leaf: &Certificate) -> Result<Vec<String>, String> {
    let extension = leaf.tbs_certificate().get_extension::<SubjectAltName>();
    let Some((_, SubjectAltName(names))) = extension.map_err(|error| error.to_string())? else {
        return Ok(Vec::new());
    };
    let mut found: Vec<String> = Vec::new();
    for name in names.iter().filter_map(name_of) {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    Ok(found)
}

/// A name that a host can have; others are for other protocols.
fn name_of(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => {
            let name = name.as_str();
            let is_plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
            is_plain.then(|| name.to_ascii_lowercase())
        }
        GeneralName::IpAddress(address) => {
            let bytes = address.as_bytes();
            let v4 = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
            let v6 = || <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from);
            v4().or_else(v6).map(|address| address.to_string())
        }
        _ => None,
    }
}

fn text_of(name: &Name) -> String {
    let mut text = String::new();
    for character in name.to_string().chars() {
        if matches!(character, ' '..='~') {
            text.push(character);
            continue;
        }
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            write!(text, "\\{byte:02x}").expect("a text takes all that is written");
        }
    }
    text
}
