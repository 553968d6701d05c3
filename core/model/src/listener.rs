//! What balancers do at one of the addresses where they take connections. The addresses are each balancer's own, by its flags.

mod tls;

use std::ops::Not;

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
    /// Whether `/livez` and `/readyz` are answered here by the balancer itself, before any route: for whoever watches it from outside.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub health: bool,
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
            health: false,
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
            health: _,
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whether_it_answers_about_health_is_said_where_it_does() {
        let quiet: Listener = serde_json::from_value(json!({"id": "http"})).expect("a listener");
        assert!(!quiet.health);
        let written = serde_json::to_value(&quiet).expect("JSON");
        assert!(written.get("health").is_none(), "{written}");
        let mut open = json!({"id": "http", "health": true});
        let listener: Listener = serde_json::from_value(open.clone()).expect("a listener");
        assert!(listener.health && listener.unknown.0.is_empty());
        let written = serde_json::to_value(&listener).expect("JSON");
        assert_eq!(written["health"], json!(true));
        open["health"] = json!("yes");
        serde_json::from_value::<Listener>(open).expect_err("no truth value");
    }
}
