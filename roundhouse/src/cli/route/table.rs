//! Routes as a table: what each claims, and what becomes of that.

use client::Shown;
use model::{Action, Claim, Condition, PathClaim, Route, Scheme, Test};

use crate::cli::output::columns;

/// The routes, in the order of their names.
pub(in crate::cli) fn text(routes: &[Shown<Route>]) -> String {
    let header = [
        "NAME",
        "PRIORITY",
        "HOSTS",
        "PATH",
        "METHODS",
        "CONDITIONS",
        "ACTION",
    ];
    columns(header, routes.iter().map(|it| row(&it.value)).collect())
}

fn row(route: &Route) -> [String; 7] {
    let claim = &route.claim;
    [
        route.id.to_string(),
        route.priority.to_string(),
        claim.hosts.join(", "),
        claim.path.as_ref().map(path).unwrap_or_default(),
        claim.methods.join(", "),
        conditions(claim),
        action(&route.action),
    ]
}

/// As nginx's users know them: `= /a` is that path alone.
fn path(path: &PathClaim) -> String {
    match path {
        PathClaim::Exact(path) => format!("= {path}"),
        PathClaim::Prefix(path) if path.ends_with('/') => format!("{path}*"),
        PathClaim::Prefix(path) => format!("{path}/*"),
        PathClaim::Pattern(pattern) => pattern.clone(),
    }
}

fn conditions(claim: &Claim) -> String {
    let scheme = claim.scheme.map(|scheme| match scheme {
        Scheme::Http => "http".to_owned(),
        Scheme::Https => "https".to_owned(),
    });
    let headers = claim.headers.iter().map(condition);
    let query = claim.query.iter().map(|it| format!("?{}", condition(it)));
    let networks = claim.networks.iter().map(ToString::to_string);
    let all = scheme.into_iter().chain(headers).chain(query);
    all.chain(networks).collect::<Vec<_>>().join(", ")
}

fn condition(condition: &Condition) -> String {
    let name = &condition.name;
    match &condition.value {
        Test::Present => name.clone(),
        Test::Absent => format!("no {name}"),
        Test::Exact(value) => format!("{name}={value}"),
        Test::Prefix(value) => format!("{name}={value}*"),
    }
}

/// What becomes of requests, in a few words.
pub(super) fn action(action: &Action) -> String {
    match action {
        Action::Pool(pool) => format!("pool {pool}"),
        Action::Split(split) => {
            let shares = split.pools.iter();
            let shares = shares.map(|share| format!("{} {}", share.pool, share.weight));
            format!("split {}", shares.collect::<Vec<_>>().join(", "))
        }
        Action::Redirect(redirect) => format!("redirect {}", redirect.status.code()),
        Action::Answer(answer) => format!("answer {}", answer.status),
    }
}
