//! What makes a route's action valid.

use std::collections::BTreeSet;

use super::super::Problems;
use super::text::{LENGTH_MAX, is_host_name, is_value};
use crate::{Action, Answer, Claim, NormalPath, PathClaim, Redirect, Route, Split, WEIGHT_MAX};

/// The most pools of a split.
const POOLS_MAX: usize = 32;

/// The longest answer of a balancer's own, in bytes.
const BODY_MAX: usize = 64 * 1024;

pub(super) fn check(route: &Route, problems: &mut Problems) {
    match &route.action {
        Action::Pool(_) => {}
        Action::Split(split) => check_split(split, problems),
        Action::Redirect(redirect) => check_redirect(route, redirect, problems),
        Action::Answer(answer) => check_answer(answer, problems),
    }
}

fn check_split(split: &Split, problems: &mut Problems) {
    let field = "action.split.pools";
    let pools = &split.pools;
    let rule = format!("must hold 1 to {POOLS_MAX}");
    problems.check((1..=POOLS_MAX).contains(&pools.len()), field, rule);
    let distinct: BTreeSet<_> = pools.iter().map(|share| &share.pool).collect();
    let rule = "must name each pool once";
    problems.check(distinct.len() == pools.len(), field, rule);
    let some_weight = pools.iter().any(|share| share.weight > 0);
    let rule = "must give one pool a weight above 0 at least";
    problems.check(some_weight || pools.is_empty(), field, rule);
    for (index, share) in pools.iter().enumerate() {
        let field = format!("{field}[{index}].weight");
        let rule = format!("must be from 0 to {WEIGHT_MAX}");
        problems.check(share.weight <= WEIGHT_MAX, &field, rule);
    }
    split.unknown.check("action.split.", problems);
    for share in pools {
        let prefix = format!("action.split.{}.", share.pool);
        share.unknown.check(&prefix, problems);
    }
}

fn check_redirect(route: &Route, redirect: &Redirect, problems: &mut Problems) {
    let rewrite = &route.rewrite;
    let changes_path =
        redirect.path.is_some() || rewrite.path.is_some() || rewrite.prefix.is_some();
    let changes = redirect.scheme.is_some()
        || redirect.host.is_some()
        || redirect.port.is_some()
        || changes_path;
    let rule =
        "must say another scheme, host, port or path: the client would ask for the same again";
    problems.relation(|it| it.check(changes, "action.redirect", rule));
    let rule =
        "leads back to what the route claims: the client would ask for the same again, for ever";
    // Older versions took it.
    let is_endless = changes && leads_back(route, redirect);
    problems.relation(|it| it.check_sent(!is_endless, "action.redirect", rule));
    let host = redirect.host.as_ref();
    let rule = "must be the name of a host, without a port";
    let is_host = host.is_none_or(|host| is_host_name(host));
    problems.check(is_host, "action.redirect.host", rule);
    let rule = "must be from 1 to 65535";
    problems.check(redirect.port != Some(0), "action.redirect.port", rule);
    let path = redirect.path.as_ref();
    let is_path = path.is_none_or(|path| {
        let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\".contains(&byte);
        // A second slash would make it the name of a host.
        path.starts_with('/')
            && !path.starts_with("//")
            && path.len() <= LENGTH_MAX
            && path.bytes().all(allowed)
    });
    let rule = format!(
        "must begin with one '/' and hold at most {LENGTH_MAX} printable ASCII characters, no '\"', '<', '>' or '\\'"
    );
    problems.check(is_path, "action.redirect.path", rule);
    let rule = "must not be given for a redirect: \"action.redirect.host\" is the host that the client is sent to";
    problems.check(rewrite.host.is_none(), "rewrite.host", rule);
    redirect.unknown.check("action.redirect.", problems);
}

/// Whether a redirect says nothing but what the route claims by name, so that it claims the client's next request too. Of one place among many
/// that it claims, another route may be meant to take the requests.
fn leads_back(route: &Route, redirect: &Redirect) -> bool {
    let claim = &route.claim;
    let scheme = redirect.scheme;
    let same_scheme = scheme.is_none_or(|scheme| claim.scheme == Some(scheme));
    let mut hosts = claim.hosts.iter();
    let host = redirect.host.as_ref();
    let same_host = host.is_none_or(|host| hosts.any(|it| it.eq_ignore_ascii_case(host)));
    // No claim names a port.
    let same_place = same_scheme && same_host && redirect.port.is_none();
    // A cookie that comes with the redirect may be what the next request is told by.
    let differs = !claim.headers.is_empty() && !route.response_headers.is_empty();
    let status = redirect.status.code();
    same_place && !differs && keeps_path(route, redirect) && keeps_method(&claim.methods, status)
}

fn keeps_path(Route { claim, rewrite, .. }: &Route, redirect: &Redirect) -> bool {
    if let Some(path) = &redirect.path {
        return leads_to_claimed(claim, path);
    }
    match (&rewrite.path, &rewrite.prefix, &claim.path) {
        (Some(path), _, _) => exact(claim) == Some(path),
        (None, Some(prefix), Some(PathClaim::Exact(path))) => prefix == path,
        // A slash at the end of a prefix makes no other one.
        (None, Some(prefix), Some(PathClaim::Prefix(path))) => {
            prefix.trim_end_matches('/') == path.trim_end_matches('/')
        }
        (None, prefix, _) => prefix.is_none(),
    }
}

/// Whether a path is the only one that is claimed, and the query behind it, or none, fulfils all that is asked of queries.
fn leads_to_claimed(claim: &Claim, target: &str) -> bool {
    let target = target.split_once('#').map_or(target, |(before, _)| before);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let normal = NormalPath::of(path.as_bytes());
    let is_claimed = |claimed: &str| normal.is_ok_and(|it| it.matched() == claimed.as_bytes());
    let mut conditions = claim.query.iter();
    exact(claim).is_some_and(is_claimed) && conditions.all(|it| it.holds_of_query(query.as_bytes()))
}

/// The only path that is claimed, where there is but one.
fn exact(claim: &Claim) -> Option<&str> {
    match claim.path.as_ref()? {
        PathClaim::Exact(path) => Some(path),
        PathClaim::Pattern(pattern) if !pattern.contains('{') => Some(pattern),
        PathClaim::Prefix(_) | PathClaim::Pattern(_) => None,
    }
}

/// Whether a client that is sent elsewhere asks by a claimed method again (RFC 9110, 15.4).
fn keeps_method(claimed: &[String], status: u16) -> bool {
    let keeps = |method: &String| match status {
        303 => method == "GET" || method == "HEAD",
        301 | 302 => method != "POST",
        _ => true,
    };
    claimed.is_empty() || claimed.iter().any(keeps)
}

fn check_answer(answer: &Answer, problems: &mut Problems) {
    let field = "action.answer.status";
    let is_status = (200..=599).contains(&answer.status);
    problems.check(is_status, field, "must be from 200 to 599");
    let field = "action.answer.body";
    let may_have_body = !matches!(answer.status, 204 | 205 | 304);
    let rule = "must be empty: an answer of this status has none";
    let fits = may_have_body || answer.body.is_empty();
    problems.relation(|it| it.check(fits, field, rule));
    let rule = format!("must hold at most {BODY_MAX} bytes");
    problems.check(answer.body.len() <= BODY_MAX, field, rule);
    let kind = &answer.content_type;
    let rule = "must be a media type such as \"text/plain\"";
    let is_kind = is_value(kind) && kind.is_ascii() && kind.contains('/');
    problems.check(is_kind, "action.answer.content_type", rule);
    answer.unknown.check("action.answer.", problems);
}
