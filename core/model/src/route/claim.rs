//! Which requests a route claims.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Condition;
use crate::{Unknown, firewall};

/// Which requests a route claims: those that fulfil every part of it. A part that is not given claims any.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claim {
    /// Any of these hosts, without ports: a name, or `*.` and a name, which claims every name under it but not that name.
    pub hosts: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathClaim>,
    /// Any of these methods, as they are written in requests.
    pub methods: Vec<String>,
    /// All of these fields.
    pub headers: Vec<Condition>,
    /// All of these parameters of the query.
    pub query: Vec<Condition>,
    /// A client in any of these networks.
    #[serde(deserialize_with = "firewall::networks")]
    pub networks: Vec<IpNet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A path, compared with the matched form of a request's ([`crate::NormalPath`]), and written as that is. None of them looks at the query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathClaim {
    /// This path and no other.
    Exact(String),
    /// This path, and all below it: `/api` claims `/api` and `/api/a`, and not `/apis`.
    Prefix(String),
    /// Segments that are names in braces stand for any one segment that is not empty: `/users/{id}/photo`; a last one such as `{*rest}`
    /// for one or more, of which the first is not.
    Pattern(String),
}

/// How the client's connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    Http,
    Https,
}

impl Claim {
    pub(super) fn unknown_mut(&mut self) -> Vec<(String, &mut Unknown)> {
        let mut parts = vec![("match".to_owned(), &mut self.unknown)];
        for (list, conditions) in [("headers", &mut self.headers), ("query", &mut self.query)] {
            let named = conditions
                .iter_mut()
                .map(|it| (format!("match.{list}.{}", it.name), &mut it.unknown));
            parts.extend(named);
        }
        parts
    }
}
