//! The certificate that every proxy shows to the client, and its key: of the curve P-256, made once for a folder of work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// The host that it is for.
pub(crate) const HOST: &str = "balancer.test";

/// Where the certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Holds it in a folder of its own, as secrets are mounted, and nothing else.
    pub(crate) folder: PathBuf,
    /// PEM, signed by itself.
    pub(crate) certificate: PathBuf,
    /// PEM, PKCS #8.
    pub(crate) key: PathBuf,
}

impl Identity {
    /// That of a folder for work, made if it is not there yet. Fails where there is no `openssl` to make it with.
    pub(crate) fn within(work: &Path) -> Result<Self, Error> {
        let folder = work.join("certificates");
        let own = folder.join("balancer");
        let identity = Self {
            folder,
            certificate: own.join("tls.crt"),
            key: own.join("tls.key"),
        };
        // The key is written first, so that where there is a certificate there are both.
        if !identity.certificate.exists() {
            fs::create_dir_all(own)?;
            identity.make()?;
        }
        Ok(identity)
    }

    fn make(&self) -> Result<(), Error> {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-noenc", "-days", "3650"])
            .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-subj", &format!("/CN={HOST}")])
            .args(["-addext", &format!("subjectAltName=DNS:{HOST}")])
            .arg("-keyout")
            .arg(&self.key)
            .arg("-out")
            .arg(&self.certificate)
            .output();
        let made = made.map_err(|source| Error::Start {
            name: "openssl".into(),
            source,
        })?;
        if made.status.success() {
            return Ok(());
        }
        Err(Error::Ended {
            name: "openssl".into(),
            said: String::from_utf8_lossy(&made.stderr).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_identity() {
        let work = tempfile::tempdir().expect("a folder");
        let read = || {
            let identity = Identity::within(work.path()).expect("openssl makes it");
            [identity.certificate, identity.key]
                .map(|path| fs::read_to_string(path).expect("it is there"))
        };
        let first = read();
        assert!(first[0].starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(first[1].starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_eq!(read(), first);
    }
}
