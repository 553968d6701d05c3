//! What balancers do at one of the addresses where they take connections. The addresses are each balancer's own, by its flags.

mod tls;

use serde::{Deserialize, Serialize};

use crate::{Firewall, ListenerId, Unknown};

pub use tls::{Alpn, ClientCertificates, ClientVerify, ListenerTls, TlsVersion};

/// A listener, as desired. Where there is none of that name, all is as its defaults say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// `http` for the address of `--listen`, `https` for that of `--listen-tls`.
    pub id: ListenerId,
    /// Judged before the first byte.
    #[serde(default)]
    pub firewall: Firewall,
    /// For the listener `https` alone.
    #[serde(default, skip_serializing_if = "ListenerTls::is_default")]
    pub tls: ListenerTls,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Listener {
    pub fn new(id: ListenerId) -> Self {
        Self {
            id,
            firewall: Firewall::default(),
            tls: ListenerTls::default(),
            unknown: Unknown::default(),
        }
    }

    /// The fields that this version does not know, wherever it has some, each part under a name that stays the same however many
    /// parts there are.
    pub fn unknown_mut(&mut self) -> Vec<(String, &mut Unknown)> {
        let Self {
            id: _,
            firewall,
            tls,
            unknown,
        } = self;
        vec![
            ("firewall".to_owned(), &mut firewall.unknown),
            ("tls.client".to_owned(), &mut tls.client.unknown),
            ("tls".to_owned(), &mut tls.unknown),
            (String::new(), unknown),
        ]
    }
}
