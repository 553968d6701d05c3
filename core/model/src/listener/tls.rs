//! How a listener speaks TLS: which certificates it shows, and which it asks of clients.

use serde::{Deserialize, Serialize};

use crate::{CertificateId, Unknown};

/// How the listener `https` speaks TLS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenerTls {
    /// Those of the registry that it shows, each to clients that ask for one of its names. Empty for all that there are.
    pub certificates: Vec<CertificateId>,
    /// What clients get that ask for no name, or for one that no certificate has. Without it they are refused with the alert
    /// `unrecognized_name` (RFC 6066, 3).
    pub default: Option<CertificateId>,
    pub min_version: TlsVersion,
    /// What it speaks within TLS (RFC 7301), what it likes best first.
    pub alpn: Vec<Alpn>,
    pub client: ClientCertificates,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A version of TLS.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum TlsVersion {
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    #[serde(rename = "1.3")]
    V1_3,
}

impl TlsVersion {
    pub const ALL: [Self; 2] = [Self::V1_2, Self::V1_3];
}

/// A protocol that can be agreed upon within TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Alpn {
    #[serde(rename = "h2")]
    H2,
    #[serde(rename = "http/1.1")]
    Http1,
}

impl Alpn {
    pub const ALL: [Self; 2] = [Self::H2, Self::Http1];
}

/// What a listener asks of clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientCertificates {
    pub verify: ClientVerify,
    /// The roots that clients' certificates must lead to, as PEM.
    pub ca: String,
    /// The field in which servers get the subject (RFC 4514) of a client's certificate. What a client sends under that name itself
    /// is taken away, whether or not it has a certificate.
    pub subject_header: String,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Whether clients need a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientVerify {
    /// None is asked for.
    #[default]
    None,
    /// Who shows none is served; who shows one that does not verify is refused.
    Optional,
    /// Who shows none that verifies is refused.
    Required,
}

impl ClientVerify {
    pub const ALL: [Self; 3] = [Self::None, Self::Optional, Self::Required];
}

impl Default for ListenerTls {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            default: None,
            min_version: TlsVersion::default(),
            alpn: vec![Alpn::H2, Alpn::Http1],
            client: ClientCertificates::default(),
            unknown: Unknown::default(),
        }
    }
}

impl Default for ClientCertificates {
    fn default() -> Self {
        Self {
            verify: ClientVerify::default(),
            ca: String::new(),
            subject_header: "X-Client-Subject".into(),
            unknown: Unknown::default(),
        }
    }
}

impl ListenerTls {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
