//! What makes a route valid.

mod action;
mod change;
mod claim;
mod text;

pub(super) use change::is_reserved;
pub(super) use text::{is_host_name, is_token};

use super::firewall::check_firewall;
use super::limit::check_limits;
use super::pool::{check_retry, check_times};
use super::{Problem, Problems};
use crate::{Action, PathClaim, Route};

/// The most entries of each list of a route.
const ENTRIES_MAX: usize = 64;

/// Checks a route on its own; that its pools, limits and lists exist is for who sees them.
///
/// # Errors
/// Every problem found.
pub fn validate_route(route: &Route) -> Result<(), Vec<Problem>> {
    let mut problems = Problems::default();
    claim::check(&route.claim, &mut problems);
    action::check(route, &mut problems);
    change::check_rewrite(&route.rewrite, &mut problems);
    check_prefix(route, &mut problems);
    change::check_headers("request_headers", &route.request_headers, &mut problems);
    change::check_headers("response_headers", &route.response_headers, &mut problems);
    if let Some(hsts) = &route.hsts {
        change::check_hsts(hsts, &mut problems);
    }
    let times = &route.timeouts;
    check_times(
        [times.connect, times.per_try, times.response, times.idle],
        &mut problems,
    );
    times.unknown.check("timeouts.", &mut problems);
    if let Some(retry) = &route.retry {
        check_retry(retry, &mut problems);
    }
    check_firewall(&route.firewall, &mut problems);
    check_route_limits(route, &mut problems);
    route.unknown.check("", &mut problems);
    problems.into_result()
}

/// Whether there is a prefix for which another can be put.
fn check_prefix(route: &Route, problems: &mut Problems) {
    let has_prefix = matches!(
        route.claim.path,
        Some(PathClaim::Exact(_) | PathClaim::Prefix(_))
    );
    let rewrite = &route.rewrite;
    let rule = "is for a route that claims an exact path or a prefix";
    let fits = rewrite.prefix.is_none() || has_prefix;
    problems.relation(|it| it.check(fits, "rewrite.prefix", rule));
    let is_answer = matches!(route.action, Action::Answer(_));
    let is_empty = rewrite.prefix.is_none() && rewrite.path.is_none() && rewrite.host.is_none();
    let rule = "must not be given where the balancer answers by itself";
    problems.check(!is_answer || is_empty, "rewrite", rule);
}

/// What the balancer answers by itself is not counted.
fn check_route_limits(route: &Route, problems: &mut Problems) {
    check_limits(&route.limits, problems);
    let goes_to_pool = matches!(route.action, Action::Pool(_) | Action::Split(_));
    problems.check(
        goes_to_pool || route.limits.is_empty(),
        "limits",
        "must not be given where the balancer answers by itself",
    );
}

#[cfg(test)]
mod tests;
