//! A certificate that balancers show to clients or to servers, and its private key, sealed for the balancers alone.

use serde::{Deserialize, Serialize};

use crate::{CertificateId, Unknown};

/// A certificate chain and its key, as desired. Its names and dates are in the chain, and kept nowhere else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    pub id: CertificateId,
    /// PEM (RFC 7468): the certificate itself first, then whatever leads to a root that clients know.
    pub chain: String,
    pub key: KeptKey,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// How a private key is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptKey {
    /// So that nobody can read it but who holds the secret half of a seal key.
    Sealed(SealedKey),
}

/// A private key, sealed by HPKE (RFC 9180) to a public key of the fleet's. It opens under the certificate's own id alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedKey {
    /// The fingerprint of the public key that it is sealed to.
    pub to: String,
    /// Base64 of the encapsulated key and the ciphertext.
    #[serde(rename = "box")]
    pub sealed: String,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Certificate {
    pub fn new(id: CertificateId, chain: String, key: SealedKey) -> Self {
        Self {
            id,
            chain,
            key: KeptKey::Sealed(key),
            unknown: Unknown::default(),
        }
    }

    /// The fields that this version does not know, wherever it has some, each part under a name that stays the same however many
    /// parts there are.
    pub fn unknown_mut(&mut self) -> Vec<(String, &mut Unknown)> {
        let Self {
            id: _,
            chain: _,
            key: KeptKey::Sealed(sealed),
            unknown,
        } = self;
        vec![
            ("key.sealed".to_owned(), &mut sealed.unknown),
            (String::new(), unknown),
        ]
    }
}

impl SealedKey {
    pub fn new(to: String, sealed: String) -> Self {
        Self {
            to,
            sealed,
            unknown: Unknown::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_certificate_is_read_as_it_is_written_with_what_a_newer_version_adds() {
        let written = json!({
            "id": "www", "chain": "-----BEGIN CERTIFICATE-----\n", "note": "x",
            "key": {"sealed": {"to": "0011", "box": "AAAA", "suite": 7}},
        });
        let mut read: Certificate = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), written);
        let parts: Vec<_> = read
            .unknown_mut()
            .into_iter()
            .map(|(name, part)| (name, part.0.len()))
            .collect();
        assert_eq!(parts, [("key.sealed".to_owned(), 1), (String::new(), 1)]);
    }

    #[test]
    fn a_key_that_is_kept_in_another_way_makes_the_certificate_one_for_a_newer_version() {
        for key in [json!({"vault": "x"}), json!("-----BEGIN PRIVATE KEY-----")] {
            let written = json!({"id": "www", "chain": "x", "key": key});
            assert!(serde_json::from_value::<Certificate>(written).is_err());
        }
    }
}
