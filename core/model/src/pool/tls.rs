//! How balancers reach a pool's servers: by which protocol, and whether within TLS.

use serde::{Deserialize, Serialize};

use crate::{CertificateId, Unknown};

/// What balancers speak with a pool's servers. Clients may speak another version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1 (RFC 9112).
    #[default]
    Http1,
    /// HTTP/2 (RFC 9113): agreed upon by ALPN within TLS, and with prior knowledge (h2c) without.
    H2,
}

impl Protocol {
    pub const ALL: [Self; 2] = [Self::Http1, Self::H2];
}

/// Whether a pool's servers are reached within TLS, and how they prove who they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolTls {
    pub enabled: bool,
    /// Whether a server must show a certificate that leads to a known root and has its name.
    pub verify: bool,
    /// The roots that servers' certificates must lead to, as PEM. Empty for those of the balancer's host.
    pub ca: String,
    /// The name that is asked for (SNI) and that the certificate must have. Empty for each server's own: the name that it was
    /// added by, else its address.
    pub server_name: String,
    /// What is shown to servers that ask for a certificate.
    pub certificate: Option<CertificateId>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Default for PoolTls {
    fn default() -> Self {
        Self {
            enabled: false,
            verify: true,
            ca: String::new(),
            server_name: String::new(),
            certificate: None,
            unknown: Unknown::default(),
        }
    }
}
