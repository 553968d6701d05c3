//! What becomes of the requests that a route claims.

use serde::{Deserialize, Serialize};

use crate::{PoolId, Unknown};

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A server of this pool answers.
    Pool(PoolId),
    /// A server of one of several pools does.
    Split(Split),
    Redirect(Redirect),
    /// The balancer answers by itself.
    Answer(Answer),
}

/// Several pools, each with its share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Split {
    pub pools: Vec<Share>,
    #[serde(default)]
    pub by: SplitBy,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A pool's share of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub pool: PoolId,
    /// Relative to the others': 0 to 1000. 0 sends it nothing.
    pub weight: u16,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// What decides on the pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitBy {
    /// The client's address: the same pool each time, at every balancer, as long as the shares stay; and where they change, no more
    /// clients move than must.
    #[default]
    Client,
    /// Chance, for each request anew.
    Request,
}

/// An answer that sends the client elsewhere. What is not given is as in the request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Redirect {
    pub status: RedirectStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<super::Scheme>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where the scheme is given and this is not: that scheme's own port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// In place of the request's path and query. The route's `rewrite` applies where this is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A redirect's status: RFC 9110, 15.4. 308 where nothing is said, so that no method changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct RedirectStatus(u16);

impl RedirectStatus {
    pub fn code(self) -> u16 {
        self.0
    }
}

impl Default for RedirectStatus {
    fn default() -> Self {
        Self(308)
    }
}

impl TryFrom<u16> for RedirectStatus {
    type Error = String;

    fn try_from(code: u16) -> Result<Self, String> {
        match code {
            301 | 302 | 303 | 307 | 308 => Ok(Self(code)),
            _ => Err(format!(
                "{code} is no redirect: it must be 301, 302, 303, 307 or 308"
            )),
        }
    }
}

impl From<RedirectStatus> for u16 {
    fn from(status: RedirectStatus) -> Self {
        status.0
    }
}

/// An answer that is always the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// 200 to 599.
    pub status: u16,
    #[serde(default)]
    pub body: String,
    #[serde(default = "plain_text")]
    pub content_type: String,
    #[serde(flatten)]
    pub unknown: Unknown,
}

fn plain_text() -> String {
    "text/plain; charset=utf-8".into()
}

impl Action {
    /// The pools that it names.
    pub fn pools(&self) -> impl Iterator<Item = &PoolId> {
        let (one, shares) = match self {
            Self::Pool(pool) => (Some(pool), [].as_slice()),
            Self::Split(split) => (None, split.pools.as_slice()),
            Self::Redirect(_) | Self::Answer(_) => (None, [].as_slice()),
        };
        one.into_iter()
            .chain(shares.iter().map(|share| &share.pool))
    }

    pub(super) fn unknown_mut(&mut self) -> Vec<(String, &mut Unknown)> {
        match self {
            Self::Pool(_) => Vec::new(),
            Self::Split(split) => {
                let mut parts = vec![("action.split".to_owned(), &mut split.unknown)];
                let shares = split.pools.iter_mut();
                parts.extend(
                    shares.map(|it| (format!("action.split.{}", it.pool), &mut it.unknown)),
                );
                parts
            }
            Self::Redirect(redirect) => vec![("action.redirect".to_owned(), &mut redirect.unknown)],
            Self::Answer(answer) => vec![("action.answer".to_owned(), &mut answer.unknown)],
        }
    }
}
