//! A route: which requests it claims, and what becomes of them.

mod action;
mod change;
mod claim;
mod condition;

use serde::{Deserialize, Serialize};

use crate::{Firewall, LimitId, Retry, RouteId, Unknown};

pub use action::{Action, Answer, Redirect, RedirectStatus, Share, Split, SplitBy};
pub use change::{FieldValue, HeaderChanges, Hsts, Rewrite, RouteTimeouts};
pub use claim::{Claim, PathClaim, Scheme};
pub use condition::{Condition, Test};

/// A route, as desired. What it does not say is as its pool has it.
///
/// Of the routes that claim a request, the one with the highest priority takes it; among those of one priority the most specific, by
/// host, path, method, headers, query, networks and scheme, in this order; among those the one that was created first.
///
/// A whole host is more specific than a wildcard, and of these the longer one. Paths are compared segment by segment: one that is written
/// out is more specific than one in braces, that more than `{*rest}`, and that more than what a prefix leaves open. Of headers and
/// parameters the more the better; of networks it is the shortest one that counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub id: RouteId,
    /// Goes before how specific a route is.
    #[serde(default)]
    pub priority: i32,
    /// The requests that it claims: all, where nothing is said.
    #[serde(default, rename = "match")]
    pub claim: Claim,
    pub action: Action,
    #[serde(default)]
    pub rewrite: Rewrite,
    /// Of requests, before they go to a server.
    #[serde(default)]
    pub request_headers: HeaderChanges,
    /// Of answers, before they go to the client.
    #[serde(default)]
    pub response_headers: HeaderChanges,
    /// Sent with answers over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hsts: Option<Hsts>,
    #[serde(default)]
    pub timeouts: RouteTimeouts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The longest body of a request, in bytes. 0 takes any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<u64>,
    /// Which clients may use it.
    #[serde(default)]
    pub firewall: Firewall,
    /// Each of which has to let a request pass, before those of its pool.
    #[serde(default)]
    pub limits: Vec<LimitId>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Route {
    /// One that claims everything.
    pub fn new(id: RouteId, action: Action) -> Self {
        Self {
            id,
            priority: 0,
            claim: Claim::default(),
            action,
            rewrite: Rewrite::default(),
            request_headers: HeaderChanges::default(),
            response_headers: HeaderChanges::default(),
            hsts: None,
            timeouts: RouteTimeouts::default(),
            retry: None,
            max_body_bytes: None,
            firewall: Firewall::default(),
            limits: Vec::new(),
            unknown: Unknown::default(),
        }
    }

    /// The fields that this version does not know, wherever it has some, each part under a name that stays the same however many
    /// parts there are.
    pub fn unknown_mut(&mut self) -> Vec<(String, &mut Unknown)> {
        let Self {
            id: _,
            priority: _,
            claim,
            action,
            rewrite,
            request_headers,
            response_headers,
            hsts,
            timeouts,
            retry,
            max_body_bytes: _,
            firewall,
            limits: _,
            unknown,
        } = self;
        let mut parts = vec![
            ("rewrite".to_owned(), &mut rewrite.unknown),
            ("request_headers".to_owned(), &mut request_headers.unknown),
            ("response_headers".to_owned(), &mut response_headers.unknown),
            ("timeouts".to_owned(), &mut timeouts.unknown),
            ("firewall".to_owned(), &mut firewall.unknown),
            (String::new(), unknown),
        ];
        parts.extend(claim.unknown_mut());
        parts.extend(action.unknown_mut());
        parts.extend(
            hsts.iter_mut()
                .map(|it| ("hsts".to_owned(), &mut it.unknown)),
        );
        parts.extend(
            retry
                .iter_mut()
                .map(|it| ("retry".to_owned(), &mut it.unknown)),
        );
        parts
    }
}
