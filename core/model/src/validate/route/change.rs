//! What a route may change of requests and answers.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::Problems;
use super::claim::count;
use super::text::{check_path, is_host_name, is_token, is_value};
use crate::{HeaderChanges, Hsts, Rewrite};

/// Fields that frame a message or belong to one connection, and those that the balancer writes.
const RESERVED: [&str; 16] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "expect",
    "max-forwards",
    "http2-settings",
    "via",
    "forwarded",
    "x-request-id",
    "roundhouse-reason",
    "date",
];

const RESERVED_PREFIXES: [&str; 2] = ["proxy-", "x-forwarded-"];

/// RFC 6797 has no bound; a hundred years are for ever.
const MAX_AGE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Some servers read `_` as `-`.
pub(in super::super) fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let mut prefixes = RESERVED_PREFIXES.iter();
    RESERVED.contains(&name.as_str()) || prefixes.any(|prefix| name.starts_with(prefix))
}

pub(super) fn check_rewrite(rewrite: &Rewrite, problems: &mut Problems) {
    if let Some(prefix) = &rewrite.prefix {
        check_path("rewrite.prefix", prefix, problems);
    }
    if let Some(path) = &rewrite.path {
        check_path("rewrite.path", path, problems);
        let rule = "must not be given beside \"rewrite.prefix\"";
        problems.check(rewrite.prefix.is_none(), "rewrite.path", rule);
    }
    let host = rewrite.host.as_ref();
    let is_host = host.is_none_or(|host| {
        let (name, port) = host.split_once(':').unwrap_or((host, "80"));
        is_host_name(name) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let rule = "must be the name of a host, with a port if need be";
    problems.check(is_host, "rewrite.host", rule);
    rewrite.unknown.check("rewrite.", problems);
}

pub(super) fn check_headers(part: &str, changes: &HeaderChanges, problems: &mut Problems) {
    let HeaderChanges {
        remove,
        set,
        add,
        unknown,
    } = changes;
    let added = add.iter().map(|field| (&field.name, &field.value));
    check_names(&format!("{part}.remove"), remove.iter(), problems);
    check_fields(&format!("{part}.set"), set.iter(), problems);
    check_fields(&format!("{part}.add"), added, problems);
    let lower = set.keys().map(|name| name.to_ascii_lowercase());
    let rule = "must name each field once; upper and lower case are the same";
    let distinct = lower.collect::<BTreeSet<_>>().len() == set.len();
    problems.check(distinct, &format!("{part}.set"), rule);
    unknown.check(&format!("{part}."), problems);
}

fn check_fields<'a>(
    field: &str,
    fields: impl Iterator<Item = (&'a String, &'a String)> + Clone,
    problems: &mut Problems,
) {
    check_names(field, fields.clone().map(|(name, _)| name), problems);
    for (name, _) in fields.filter(|(_, value)| !is_value(value)) {
        let rule = "must have a value of at most 2048 bytes, without control characters or spaces around it";
        problems.add(format!("{field}.{}", shown(name)), rule);
    }
}

fn check_names<'a>(
    field: &str,
    names: impl Iterator<Item = &'a String> + Clone,
    problems: &mut Problems,
) {
    count(field, names.clone().count(), problems);
    for name in names {
        let rule = match () {
            () if !is_token(name) => "must be named by 1 to 128 characters of a token",
            () if is_reserved(name) => {
                "must not be changed: it frames the message, belongs to one connection, or is the balancer's to write"
            }
            () => continue,
        };
        problems.add(format!("{field}.{}", shown(name)), rule);
    }
}

/// A name that is sent back is not repeated at any length.
fn shown(name: &str) -> String {
    name.chars().take(128).collect()
}

pub(super) fn check_hsts(hsts: &Hsts, problems: &mut Problems) {
    problems.duration("hsts.max_age", hsts.max_age, Duration::ZERO, MAX_AGE);
    let year = Duration::from_secs(365 * 24 * 3600);
    let may_preload = hsts.include_subdomains && hsts.max_age >= year;
    let rule = "must have \"include_subdomains\", and a \"max_age\" of a year at least: browsers' lists ask for both";
    problems.relation(|it| it.check(!hsts.preload || may_preload, "hsts.preload", rule));
    hsts.unknown.check("hsts.", problems);
}
