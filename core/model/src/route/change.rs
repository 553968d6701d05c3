//! What a route changes of requests and answers, and how long it gives them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Unknown, duration};

/// What the server sees in place of what the client asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rewrite {
    /// In place of the prefix or exact path that the route claims; `/` takes it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// In place of the whole path, without the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Fields that are taken away, then put in the place of those of that name, then put beside them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderChanges {
    pub remove: Vec<String>,
    pub set: BTreeMap<String, String>,
    pub add: Vec<FieldValue>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// One field line. It has no room for more: a newer version's line that has is one that this version cannot read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldValue {
    pub name: String,
    pub value: String,
}

impl HeaderChanges {
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

/// HTTP Strict Transport Security: RFC 6797.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hsts {
    #[serde(with = "duration::text")]
    pub max_age: Duration,
    #[serde(default)]
    pub include_subdomains: bool,
    #[serde(default)]
    pub preload: bool,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Times in place of the pool's, of the same meaning.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteTimeouts {
    #[serde(
        with = "duration::optional_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub connect: Option<Duration>,
    #[serde(
        with = "duration::optional_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub per_try: Option<Duration>,
    #[serde(
        with = "duration::optional_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub response: Option<Duration>,
    #[serde(
        with = "duration::optional_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub idle: Option<Duration>,
    #[serde(flatten)]
    pub unknown: Unknown,
}
