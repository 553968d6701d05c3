//! What makes a route's claim valid.

use std::collections::BTreeSet;

use super::super::Problems;
use super::super::firewall::check_networks;
use super::ENTRIES_MAX;
use super::text::{LENGTH_MAX, check_path, is_host_name, is_token, is_value};
use crate::{Claim, Condition, PathClaim, Test};

/// Those that everybody knows (RFC 9110, 9.3; RFC 5789), and that nobody writes in another way.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

pub(super) fn check(claim: &Claim, problems: &mut Problems) {
    check_hosts(&claim.hosts, problems);
    match &claim.path {
        None => {}
        Some(PathClaim::Exact(path)) => check_path("match.path.exact", path, problems),
        Some(PathClaim::Prefix(path)) => {
            let field = "match.path.prefix";
            check_path(field, path, problems);
            let rule = "must not end in '/': a prefix claims itself and all below it";
            problems.check(path == "/" || !path.ends_with('/'), field, rule);
        }
        Some(PathClaim::Pattern(pattern)) => check_pattern(pattern, problems),
    }
    check_methods(&claim.methods, problems);
    check_conditions("match.headers", &claim.headers, is_token, problems);
    let is_parameter = |name: &str| (1..=128).contains(&name.len());
    check_conditions("match.query", &claim.query, is_parameter, problems);
    count("match.networks", claim.networks.len(), problems);
    check_networks(
        "match.networks",
        claim.networks.iter().enumerate(),
        problems,
    );
    claim.unknown.check("match.", problems);
}

pub(super) fn count(field: &str, entries: usize, problems: &mut Problems) {
    let rule = format!("must hold at most {ENTRIES_MAX}");
    problems.check(entries <= ENTRIES_MAX, field, rule);
}

fn check_hosts(hosts: &[String], problems: &mut Problems) {
    count("match.hosts", hosts.len(), problems);
    let is_host = |host: &String| {
        let name = host.strip_prefix("*.").unwrap_or(host);
        is_host_name(name) || is_address(host)
    };
    problems.check(
        hosts.iter().all(is_host),
        "match.hosts",
        "must hold names such as \"example.org\", or \"*.example.org\" for those under it, without a port",
    );
    let lower = hosts.iter().map(|host| host.to_ascii_lowercase());
    problems.check(
        lower.collect::<BTreeSet<_>>().len() == hosts.len(),
        "match.hosts",
        "must name each host once; upper and lower case are the same",
    );
}

fn check_methods(methods: &[String], problems: &mut Problems) {
    let field = "match.methods";
    count(field, methods.len(), problems);
    problems.check(
        methods.iter().all(|method| is_token(method)),
        field,
        "must hold methods as requests write them, such as \"GET\"",
    );
    for method in methods {
        let mut known = METHODS.into_iter();
        let meant = known.find(|known| known.eq_ignore_ascii_case(method));
        // Older versions took others.
        if let Some(meant) = meant.filter(|meant| meant != method) {
            let rule = format!(
                "has {method:?}, and methods are case-sensitive (RFC 9110, 9.1): {meant:?} is probably meant"
            );
            problems.refuse_sent(field, rule);
        }
    }
}

/// IPv6, as it stands in a URL.
fn is_address(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    inner.is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

fn check_pattern(pattern: &str, problems: &mut Problems) {
    let field = "match.path.pattern";
    // What is in braces is no part of a path; a name that needs no encoding stands for it.
    let mut path = String::new();
    let mut names = BTreeSet::new();
    let segments: Vec<&str> = pattern.split('/').skip(1).collect();
    for (place, segment) in segments.iter().enumerate() {
        path.push('/');
        let Some(inner) = segment
            .strip_prefix('{')
            .and_then(|it| it.strip_suffix('}'))
        else {
            path.push_str(segment);
            continue;
        };
        let is_last = place + 1 == segments.len();
        let name = inner.strip_prefix('*').unwrap_or(inner);
        let rule = "may have \"{*name}\" as its last segment alone";
        problems.check(is_last || name == inner, field, rule);
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let rule = "must name each segment in braces by letters, digits and '_'";
        let is_name = (1..=63).contains(&name.len()) && name.bytes().all(word);
        problems.check(is_name, field, rule);
        problems.check(names.insert(name), field, "must use each name once");
        path.push('x');
    }
    if !pattern.starts_with('/') || pattern.len() > LENGTH_MAX {
        let rule = format!("must begin with '/' and hold at most {LENGTH_MAX} bytes");
        return problems.add(field, rule);
    }
    if path.contains(['{', '}']) {
        let rule = "may have braces around whole segments alone";
        return problems.add(field, rule);
    }
    check_path(field, &path, problems);
}

fn check_conditions(
    list: &str,
    conditions: &[Condition],
    is_name: impl Fn(&str) -> bool,
    problems: &mut Problems,
) {
    count(list, conditions.len(), problems);
    let names = conditions.iter().all(|condition| is_name(&condition.name));
    problems.check(
        names,
        list,
        "must name each by 1 to 128 characters of a token",
    );
    let is_text = |condition: &Condition| match &condition.value {
        Test::Present | Test::Absent => true,
        Test::Exact(text) | Test::Prefix(text) => is_value(text),
    };
    let rule =
        format!("must compare with at most {LENGTH_MAX} bytes, no controls, no spaces around");
    problems.check(conditions.iter().all(is_text), list, rule);
    let has_prefix =
        |condition: &Condition| !matches!(&condition.value, Test::Prefix(text) if text.is_empty());
    let rule = "must not have an empty prefix: \"present\" says that it is there";
    problems.check(conditions.iter().all(has_prefix), list, rule);
    for condition in conditions {
        let prefix = format!("{list}.{}.", condition.name);
        condition.unknown.check(&prefix, problems);
    }
}
