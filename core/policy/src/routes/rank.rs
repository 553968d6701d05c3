//! Which of two routes that claim the same request takes it.

use std::cmp::Reverse;

use model::{Revision, RouteId, Stamped};

use super::paths::{End, PathRule, Segment};

/// A route's place for one of its hosts: of two that claim the same request, the smaller takes it.
///
/// The fields are compared one after the other, and where all but the name are equal the histories of two registries have parted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    priority: Reverse<i32>,
    host: Reverse<HostRank>,
    path: Reverse<Vec<Step>>,
    has_methods: Reverse<bool>,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    /// One more than the length of the shortest network, where some are claimed.
    networks: Reverse<u8>,
    has_scheme: Reverse<bool>,
    created: (Revision, u32),
    id: RouteId,
}

/// A route's place for one host that it claims, or for all where it names none.
#[derive(Debug)]
pub(super) struct Standing {
    /// In lower case.
    pub(super) host: Option<Box<str>>,
    pub(super) rank: Rank,
}

/// How much of a host is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum HostRank {
    Any,
    /// By the length of what comes after `*.`.
    Under(usize),
    Whole,
}

/// How much of a path is claimed, segment by segment: what is written out says more than a segment in braces, that more than
/// `{*rest}`, and that more than what a prefix leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Open,
    Rest,
    Any,
    Literal,
    Closed,
}

impl Standing {
    pub(super) fn all(route: &Stamped<model::Route>, path: &PathRule) -> Vec<Self> {
        let standing = |host: Option<String>| Self {
            rank: Rank::new(route, path, host.as_deref()),
            host: host.map(String::into_boxed_str),
        };
        match route.value.claim.hosts.as_slice() {
            [] => vec![standing(None)],
            hosts => hosts
                .iter()
                .map(|host| standing(Some(host.to_ascii_lowercase())))
                .collect(),
        }
    }
}

impl Rank {
    fn new(route: &Stamped<model::Route>, path: &PathRule, host: Option<&str>) -> Self {
        let claim = &route.value.claim;
        let lengths = claim
            .networks
            .iter()
            .map(|network| network.prefix_len() + 1);
        Self {
            priority: Reverse(route.value.priority),
            host: Reverse(HostRank::of(host)),
            path: Reverse(match claim.path {
                Some(_) => steps(path),
                None => Vec::new(),
            }),
            has_methods: Reverse(!claim.methods.is_empty()),
            headers: Reverse(claim.headers.len()),
            query: Reverse(claim.query.len()),
            networks: Reverse(lengths.min().unwrap_or(0)),
            has_scheme: Reverse(claim.scheme.is_some()),
            created: route.age(),
            id: route.value.id.clone(),
        }
    }

    /// What this one comes before another by.
    pub(super) fn ahead_by(&self, other: &Self) -> &'static str {
        match () {
            () if self.priority != other.priority => "priority",
            () if self.host != other.host => "hosts",
            () if self.path != other.path => "path",
            () if self.has_methods != other.has_methods => "methods",
            () if self.headers != other.headers => "headers",
            () if self.query != other.query => "query",
            () if self.networks != other.networks => "networks",
            () if self.has_scheme != other.has_scheme => "scheme",
            () => "age",
        }
    }
}

impl HostRank {
    fn of(host: Option<&str>) -> Self {
        match host {
            None => Self::Any,
            Some(host) => match host.strip_prefix("*.") {
                Some(name) => Self::Under(name.len()),
                None => Self::Whole,
            },
        }
    }
}

fn steps(path: &PathRule) -> Vec<Step> {
    let segments = path.segments.iter().map(|segment| match segment {
        Segment::Literal(_) => Step::Literal,
        Segment::Any => Step::Any,
    });
    let end = match path.end {
        End::Open => Step::Open,
        End::Rest => Step::Rest,
        End::Closed => Step::Closed,
    };
    segments.chain([end]).collect()
}
