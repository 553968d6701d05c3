//! What balancers do at one of the addresses where they take connections. The addresses are each balancer's own, by its flags.

use serde::{Deserialize, Serialize};

use crate::{Firewall, ListenerId, Unknown};

/// A listener, as desired. Where there is none of that name, all is as its defaults say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// `http` for the address of `--listen`.
    pub id: ListenerId,
    /// Judged before the first byte.
    #[serde(default)]
    pub firewall: Firewall,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Listener {
    pub fn new(id: ListenerId) -> Self {
        Self {
            id,
            firewall: Firewall::default(),
            unknown: Unknown::default(),
        }
    }

    /// The fields that this version does not know, wherever it has some, each part under a name that stays the same however many
    /// parts there are.
    pub fn unknown_mut(&mut self) -> Vec<(String, &mut Unknown)> {
        let Self {
            id: _,
            firewall,
            unknown,
        } = self;
        vec![
            ("firewall".to_owned(), &mut firewall.unknown),
            (String::new(), unknown),
        ]
    }
}
