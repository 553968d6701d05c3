//! A private key: held in memory no longer than it must be, and printed nowhere.

use std::fmt;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

/// The longest private key, in bytes of PEM: one of RSA with 16384 bits.
const KEY_MAX: usize = 16 * 1024;

/// A private key as PEM. It is wiped when it is dropped.
#[derive(Clone)]
pub struct PrivateKey(Zeroizing<String>);

/// Why a text is no private key of a certificate. None repeats any of it; each goes on from the name of what holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error(
        "holds no private key in PEM: it must be lines from -----BEGIN PRIVATE KEY----- to -----END PRIVATE KEY-----, RSA and EC keys too"
    )]
    NoPem,
    #[error("is encrypted: decrypt it first, as by openssl pkey -in FILE")]
    Encrypted,
    #[error("has more than {KEY_MAX} bytes")]
    Long,
    #[error("is no key for RSA of 2048 bits or more, ECDSA on P-256 or P-384, or Ed25519")]
    Unsupported,
    #[error("is not the key of this certificate")]
    Other,
}

impl PrivateKey {
    /// Reads a key of PEM: PKCS #8, PKCS #1 or SEC 1.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(pem: &str) -> Result<Self, KeyError> {
        if pem.len() > KEY_MAX {
            return Err(KeyError::Long);
        }
        if pem.contains("ENCRYPTED") {
            return Err(KeyError::Encrypted);
        }
        PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::NoPem)?;
        Ok(Self(Zeroizing::new(pem.to_owned())))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(crate) fn der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.as_bytes()).expect("it was read once already")
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(secret)")
    }
}
