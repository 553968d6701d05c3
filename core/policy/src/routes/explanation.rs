//! Why a request goes where it goes, for people.

use model::{PoolId, RouteId};
use serde::Serialize;

use super::host::{HostText, above};
use super::rank::Rank;
use super::{Action, Question, Route, Routes};

/// How many routes that came near are told at most, besides the one that takes the request.
const CONSIDERED_MAX: usize = 20;

/// Which route takes a request, and why none of the others does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The one that takes it. Where there is none, the pool `default` does.
    pub route: Option<RouteId>,
    /// Whether that route's firewall lets the client use it.
    pub is_let_in: bool,
    /// The pools that may answer, each with how likely it does. None where the balancer answers by itself.
    pub pools: Vec<PoolShare>,
    /// The routes that claim the request, or miss it by none of host and path, in the order in which they would take it; after them, in the same
    /// order, those that miss it by its host or its path alone.
    pub considered: Vec<Considered>,
    /// How many more there are of these.
    pub left_out: usize,
}

/// A pool, and how likely it answers: 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PoolShare {
    pub pool: PoolId,
    pub share: f64,
}

/// One route that came near.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Considered {
    pub route: RouteId,
    pub priority: i32,
    /// The parts of its claim that the request does not fulfil.
    pub unmet: Vec<String>,
    /// What the route that takes the request comes before it by, where it claims the request too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outranked_by: Option<&'static str>,
}

pub(super) fn explain(routes: &Routes, question: &Question<'_>) -> Explanation {
    let host = HostText::of(question.host);
    let mut near: Vec<_> = routes
        .iter()
        .map(|route| Near::look(route, question, host.as_bytes()))
        .filter(Near::is_near)
        .collect();
    near.sort_unstable_by_key(|one| (one.is_elsewhere(), one.rank));
    let taker = near.iter().position(|one| one.unmet.is_empty());
    let taken = taker.map(|place| &near[place]);
    let is_told = |place: usize| place < CONSIDERED_MAX || Some(place) == taker;
    let told = near.iter().enumerate().filter(|(place, _)| is_told(*place));
    let considered = told.map(|(_, one)| Considered {
        route: one.route.id().clone(),
        priority: one.route.settings().priority,
        unmet: one.unmet.clone(),
        outranked_by: taken
            .filter(|taken| one.unmet.is_empty() && taken.rank != one.rank)
            .map(|taken| taken.rank.ahead_by(one.rank)),
    });
    let considered: Vec<_> = considered.collect();
    let route = taken.map(|taken| taken.route);
    Explanation {
        route: route.map(|route| route.id().clone()),
        is_let_in: route.is_none_or(|route| route.lets_in(question.client)),
        pools: match route {
            Some(route) => pools(route, question),
            None => vec![PoolShare::whole(&PoolId::standard())],
        },
        left_out: near.len() - considered.len(),
        considered,
    }
}

fn pools(route: &Route, question: &Question<'_>) -> Vec<PoolShare> {
    match route.action() {
        Action::Pool(pool) => vec![PoolShare::whole(pool)],
        Action::Split(split) => {
            let likely = split.likely(question.client).into_iter();
            let shares = likely.map(|(pool, share)| PoolShare {
                pool: pool.clone(),
                share,
            });
            shares.collect()
        }
        Action::Redirect(_) | Action::Answer(_) => Vec::new(),
    }
}

impl PoolShare {
    fn whole(pool: &PoolId) -> Self {
        Self {
            pool: pool.clone(),
            share: 1.0,
        }
    }
}

/// A route, and how near it comes to a request.
struct Near<'a> {
    route: &'a Route,
    rank: &'a Rank,
    unmet: Vec<String>,
}

impl<'a> Near<'a> {
    fn look(route: &'a Route, question: &Question<'_>, host: &[u8]) -> Self {
        let standings = route.standings();
        let claimed = standings.iter().filter(|standing| {
            let name = standing.host.as_deref();
            name.is_none_or(|name| claims(name, host))
        });
        let best = claimed.map(|standing| &standing.rank).min();
        let mut unmet = Vec::new();
        if best.is_none() {
            unmet.push("hosts".to_owned());
        }
        if !route.path().claims(question.path) {
            unmet.push("path".to_owned());
        }
        if let Some(conditions) = route.conditions() {
            unmet.extend(conditions.unmet(question));
        }
        Self {
            route,
            rank: best.unwrap_or(&standings[0].rank),
            unmet,
        }
    }

    fn is_near(&self) -> bool {
        self.unmet.len() <= 1 || !self.is_elsewhere()
    }

    /// Whether it is for another host or another path, as most routes of a fleet are.
    fn is_elsewhere(&self) -> bool {
        let mut unmet = self.unmet.iter();
        unmet.any(|part| part == "hosts" || part == "path")
    }
}

/// Whether a host that a route names is this one, or one above it.
fn claims(name: &str, host: &[u8]) -> bool {
    match name.strip_prefix("*.") {
        Some(name) => above(host).any(|higher| higher == name.as_bytes()),
        None => name.as_bytes() == host,
    }
}
