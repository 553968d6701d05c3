//! Sealing private keys, so that only balancers can read them: HPKE (RFC 9180) in base mode, with X25519, HKDF-SHA256 and
//! ChaCha20-Poly1305.
//!
//! What is sealed is bound to the certificate's id: under another it does not open. Keys are lines of text, and the secret ones of a
//! file are all tried by their fingerprints, so that an old one can stay beside a new one.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, HpkeError, Kem, OpModeR, OpModeS, Serializable};
use model::{CertificateId, SealedKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{KeyError, PrivateKey};

type Public = <X25519HkdfSha256 as Kem>::PublicKey;
type Secret = <X25519HkdfSha256 as Kem>::PrivateKey;
type Encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey;

/// What the keys are for, so that nothing that is sealed for another purpose opens here.
const INFO: &[u8] = b"roundhouse certificates 1";

/// The length of an encapsulated key, in bytes.
const ENCAPSULATED: usize = 32;

/// How much of the public key's SHA-256 makes its fingerprint, in bytes.
const FINGERPRINT: usize = 16;

const PUBLIC_PREFIX: &str = "roundhouse-seal-public:";
const SECRET_PREFIX: &str = "roundhouse-seal-secret:";

/// The public half of a seal key, by which private keys are sealed. It opens nothing.
#[derive(Clone)]
pub struct SealTo {
    key: Public,
    fingerprint: String,
}

/// A seal key with its secret half.
#[derive(Clone)]
pub struct SealKey {
    secret: Secret,
    public: SealTo,
}

/// The seal keys of a balancer, by which it opens.
#[derive(Debug, Clone, Default)]
pub struct SealKeys(Vec<SealKey>);

/// Why a line is no seal key. None repeats any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealKeyError {
    #[error("is the public half of a seal key: the secret one begins with {SECRET_PREFIX}")]
    Public,
    #[error(
        "is the secret half of a seal key, which belongs to balancers alone: the public one begins with {PUBLIC_PREFIX}"
    )]
    Secret,
    #[error("is no seal key: roundhouse seal-key new makes one")]
    Malformed,
}

/// Why a text holds no seal keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealKeysError {
    #[error("line {line} {error}")]
    Line { line: usize, error: SealKeyError },
    #[error("holds no seal key: roundhouse seal-key new makes one")]
    Empty,
}

/// Why a sealed key does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the key is sealed to {to}, and this balancer's seal keys are {own}: put it again, or add its seal key to --seal-key-file"
    )]
    OtherKey { to: String, own: String },
    #[error(
        "the key is sealed to {to}, and this balancer has no seal key: --seal-key-file names them"
    )]
    NoKey { to: String },
    #[error(
        "the key does not open, since it was sealed for another certificate, or has been changed: put it again"
    )]
    Damaged,
    #[error("what was sealed {0}")]
    NotAKey(KeyError),
}

impl SealTo {
    fn new(key: Public) -> Self {
        let digest = Sha256::digest(key.to_bytes());
        let fingerprint = digest[..FINGERPRINT].iter();
        Self {
            fingerprint: fingerprint.map(|byte| format!("{byte:02x}")).collect(),
            key,
        }
    }

    /// What names it wherever something says what it is sealed to: 32 hexadecimal digits.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Seals the private key of a certificate. No two boxes are alike.
    pub fn seal(&self, id: &CertificateId, key: &PrivateKey) -> SealedKey {
        let sealed = seal(&self.key, id, key.as_bytes());
        let sealed = sealed.expect("it was tried when this key was read");
        SealedKey::new(self.fingerprint.clone(), STANDARD.encode(sealed))
    }
}

fn seal(to: &Public, id: &CertificateId, text: &[u8]) -> Result<Vec<u8>, HpkeError> {
    let (encapsulated, sealed) = hpke::single_shot_seal::<
        ChaCha20Poly1305,
        HkdfSha256,
        X25519HkdfSha256,
    >(&OpModeS::Base, to, INFO, text, id.as_str().as_bytes())?;
    Ok([encapsulated.to_bytes().as_slice(), &sealed].concat())
}

impl FromStr for SealTo {
    type Err = SealKeyError;

    fn from_str(line: &str) -> Result<Self, SealKeyError> {
        let line = line.trim();
        if line.starts_with(SECRET_PREFIX) {
            return Err(SealKeyError::Secret);
        }
        let key = Public::from_bytes(&decode(line, PUBLIC_PREFIX)?);
        let key = key.map_err(|_| SealKeyError::Malformed)?;
        // With some keys, which nobody makes in good faith, nothing can be sealed.
        let trial: CertificateId = "trial".parse().expect("a name");
        seal(&key, &trial, b"").map_err(|_| SealKeyError::Malformed)?;
        Ok(Self::new(key))
    }
}

impl fmt::Display for SealTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", STANDARD.encode(self.key.to_bytes()))
    }
}

impl fmt::Debug for SealTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealTo({})", self.fingerprint)
    }
}

impl SealKey {
    /// Makes one by chance.
    pub fn generate() -> Self {
        let (secret, public) = X25519HkdfSha256::gen_keypair();
        Self {
            secret,
            public: SealTo::new(public),
        }
    }

    pub fn public(&self) -> &SealTo {
        &self.public
    }

    /// Its line in a file of seal keys.
    pub fn line(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(<[u8; 32]>::from(self.secret.to_bytes()));
        let digits = Zeroizing::new(STANDARD.encode(*secret));
        Zeroizing::new([SECRET_PREFIX, &digits].concat())
    }

    fn open(&self, id: &CertificateId, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (encapsulated, sealed) = sealed.split_at_checked(ENCAPSULATED)?;
        let encapsulated = Encapsulated::from_bytes(encapsulated).ok()?;
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.secret,
            &encapsulated,
            INFO,
            sealed,
            id.as_str().as_bytes(),
        );
        opened.ok().map(Zeroizing::new)
    }
}

impl FromStr for SealKey {
    type Err = SealKeyError;

    fn from_str(line: &str) -> Result<Self, SealKeyError> {
        let line = line.trim();
        if line.starts_with(PUBLIC_PREFIX) {
            return Err(SealKeyError::Public);
        }
        let secret = Secret::from_bytes(&decode(line, SECRET_PREFIX)?);
        let secret = secret.map_err(|_| SealKeyError::Malformed)?;
        let public = SealTo::new(X25519HkdfSha256::sk_to_pk(&secret));
        Ok(Self { secret, public })
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey({}, secret)", self.public.fingerprint)
    }
}

fn decode(line: &str, prefix: &str) -> Result<Zeroizing<Vec<u8>>, SealKeyError> {
    let digits = line.strip_prefix(prefix).ok_or(SealKeyError::Malformed)?;
    let bytes = STANDARD
        .decode(digits)
        .map_err(|_| SealKeyError::Malformed)?;
    Ok(Zeroizing::new(bytes))
}

impl SealKeys {
    /// Reads a file of seal keys: one a line; `#` begins a comment.
    ///
    /// # Errors
    /// The line that is none, or that there is none.
    pub fn parse(text: &str) -> Result<Self, SealKeysError> {
        let lines = (1..).zip(text.lines().map(str::trim));
        let lines = lines.filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
        let keys = lines.map(|(line, text)| {
            text.parse()
                .map_err(|error| SealKeysError::Line { line, error })
        });
        let keys = keys.collect::<Result<Vec<SealKey>, _>>()?;
        match keys.is_empty() {
            true => Err(SealKeysError::Empty),
            false => Ok(Self(keys)),
        }
    }

    /// Their public halves, in the order of the file.
    pub fn public(&self) -> impl Iterator<Item = &SealTo> {
        self.0.iter().map(SealKey::public)
    }

    /// These, and others behind them.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Their lines, of which other secrets can be derived that every balancer is to have.
    pub fn secrets(&self) -> impl Iterator<Item = Zeroizing<String>> {
        self.0.iter().map(SealKey::line)
    }

    /// Opens the private key of the certificate of that id.
    ///
    /// # Errors
    /// Why it does not open.
    pub fn open(&self, id: &CertificateId, key: &SealedKey) -> Result<PrivateKey, OpenError> {
        let to = &key.to;
        let mut own = self.0.iter();
        let Some(own) = own.find(|own| own.public.fingerprint == *to) else {
            return Err(self.has_none(to));
        };
        let sealed = STANDARD.decode(&key.sealed);
        let sealed = sealed.map_err(|_| OpenError::Damaged)?;
        let opened = own.open(id, &sealed).ok_or(OpenError::Damaged)?;
        let text = str::from_utf8(&opened).map_err(|_| OpenError::NotAKey(KeyError::NoPem))?;
        PrivateKey::parse(text).map_err(OpenError::NotAKey)
    }

    fn has_none(&self, to: &str) -> OpenError {
        let to = to.to_owned();
        let own: Vec<_> = self.public().map(SealTo::fingerprint).collect();
        match own.is_empty() {
            true => OpenError::NoKey { to },
            false => OpenError::OtherKey {
                to,
                own: own.join(", "),
            },
        }
    }
}

impl From<SealKey> for SealKeys {
    fn from(key: SealKey) -> Self {
        Self(vec![key])
    }
}
