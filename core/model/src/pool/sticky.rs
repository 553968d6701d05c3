//! Sticky sessions: what keeps a client with the server that it was with before.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Unknown, duration};

/// By what a client is known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StickyKind {
    /// By nothing: the pool's algorithm chooses for each request.
    #[default]
    None,
    /// By a cookie of the balancer's own, which names the server and tells nobody which one that is.
    Cookie,
    /// By the client's address, behind proxies that are trusted.
    Source,
    /// By a cookie that the application sets.
    ApplicationCookie,
    /// By a header that the client sends.
    Header,
}

/// Whether a browser sends the balancer's cookie with requests that other sites cause (draft-ietf-httpbis-rfc6265bis, 5.6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SameSite {
    /// With those that lead to this site.
    #[default]
    Lax,
    /// With none.
    Strict,
    /// With all. Browsers take such a cookie over TLS alone.
    None,
}

/// How requests of one client stay with one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sticky {
    pub kind: StickyKind,
    /// The name of the cookie or header. The balancer's own cookie needs none: its name then follows from the pool's, so that the
    /// pools of one site do not overwrite one another's.
    pub name: String,
    /// How long the browser keeps the balancer's cookie after each answer; 0 until it is closed.
    #[serde(with = "duration::text")]
    pub lifetime: Duration,
    pub same_site: SameSite,
    /// Whether a server that drains keeps its clients, for as long as `timeouts.drain` says.
    pub while_draining: bool,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Default for Sticky {
    fn default() -> Self {
        Self {
            kind: StickyKind::default(),
            name: String::new(),
            lifetime: Duration::ZERO,
            same_site: SameSite::default(),
            while_draining: true,
            unknown: Unknown::default(),
        }
    }
}

impl Sticky {
    /// Whether a server that drains keeps its clients for a while.
    pub fn outlasts_drain(&self) -> bool {
        self.while_draining && self.kind != StickyKind::None
    }
}
