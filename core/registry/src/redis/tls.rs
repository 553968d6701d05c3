//! TLS to the registry: whose certificates are trusted, and the own one. The other side is always verified.
//!
//! Files are read and checked once, at the start, so that a wrong one is said before anything connects.

use std::fmt;
use std::path::Path;

use redis::{Client, ClientTlsConfig, ConnectionInfo, RedisResult, TlsCertificates};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::options::TlsFiles;

/// What is needed for TLS.
#[derive(Clone)]
pub(crate) struct Tls(TlsCertificates);

/// Without what it holds.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

impl Tls {
    /// Reads the files. Without a CA of its own, those that the system trusts count.
    ///
    /// # Errors
    /// Which file is missing or wrong, and for which flag it was given.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, String> {
        // The client takes the process's provider, and there is but one.
        let _ = ring::default_provider().install_default();
        let root_cert = files.registry_ca.as_deref().map(authority).transpose()?;
        let client_tls = match (&files.registry_cert, &files.registry_key) {
            (Some(certificate), Some(key)) => Some(own(certificate, key)?),
            (None, None) => None,
            (Some(_), None) => return Err("--registry-cert needs --registry-key too".into()),
            (None, Some(_)) => return Err("--registry-key needs --registry-cert too".into()),
        };
        Ok(Self(TlsCertificates {
            client_tls,
            root_cert,
        }))
    }

    pub(super) fn client(&self, info: ConnectionInfo) -> RedisResult<Client> {
        Client::build_with_tls(info, self.0.clone())
    }
}

fn authority(path: &Path) -> Result<Vec<u8>, String> {
    let pem = read("--registry-ca", path)?;
    certificates("--registry-ca", path, &pem)?;
    Ok(pem)
}

fn own(certificate: &Path, key: &Path) -> Result<ClientTlsConfig, String> {
    let client_cert = read("--registry-cert", certificate)?;
    let client_key = read("--registry-key", key)?;
    let chain = certificates("--registry-cert", certificate, &client_cert)?;
    let private = PrivateKeyDer::from_pem_slice(&client_key).map_err(|_| {
        format!(
            "--registry-key {} holds no private key in PEM",
            key.display()
        )
    })?;
    CertifiedKey::from_der(chain, private, &ring::default_provider()).map_err(|error| {
        let (certificate, key) = (certificate.display(), key.display());
        format!("--registry-key {key} is not that of --registry-cert {certificate}: {error}")
    })?;
    Ok(ClientTlsConfig {
        client_cert,
        client_key,
    })
}

fn read(flag: &str, path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path)
        .map_err(|error| format!("{flag} {} cannot be read: {error}", path.display()))
}

fn certificates(
    flag: &str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, String> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let parsed = parsed.ok().filter(|certificates| !certificates.is_empty());
    parsed.ok_or_else(|| format!("{flag} {} holds no certificate in PEM", path.display()))
}
