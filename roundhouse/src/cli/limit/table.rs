//! Limits as a table: what each counts and bounds, and who is held to it.

use model::{Limit, LimitMode, LimitPart, format_duration};

use super::Listed;
use crate::cli::output::{columns, shortened};
use crate::cli::words::word;

/// How many of those who name a limit a row names, so that it stays one line on a terminal.
const USERS_MAX: usize = 3;

/// The limits, in the order of their names, with the routes and pools that name each.
pub(in crate::cli) fn text(limits: &[Listed]) -> String {
    let header = [
        "NAME",
        "BY",
        "REQUESTS",
        "BURST",
        "CONCURRENT",
        "MODE",
        "ALONE",
        "EXEMPT",
        "USED BY",
    ];
    columns(header, limits.iter().map(row).collect())
}

fn row(listed: &Listed) -> [String; 9] {
    let limit = &listed.limit.value;
    let by: Vec<_> = limit.by.iter().map(spelt).collect();
    [
        limit.id.to_string(),
        by.join(", "),
        requests(limit),
        or_none(limit.capacity() as usize),
        or_none(limit.concurrent as usize),
        mode(limit),
        alone(limit),
        or_none(limit.exempt.len()),
        shortened(listed.used_by.clone(), USERS_MAX),
    ]
}

fn requests(limit: &Limit) -> String {
    match limit.requests {
        0 => String::new(),
        requests => format!("{requests}/{}", format_duration(limit.per)),
    }
}

fn or_none(number: usize) -> String {
    match number {
        0 => String::new(),
        number => number.to_string(),
    }
}

/// Who counts, if anything is counted but what runs, and how long that is waited for, if each request has to.
fn mode(limit: &Limit) -> String {
    let mode = word(&limit.mode);
    match limit.mode {
        _ if limit.requests == 0 => String::new(),
        LimitMode::Leased => mode,
        LimitMode::Exact => format!("{mode} {}", format_duration(limit.deadline)),
    }
}

/// What holds while the registry does not answer.
fn alone(limit: &Limit) -> String {
    match limit.requests {
        0 => String::new(),
        _ => word(&limit.without_registry),
    }
}

fn spelt(part: &LimitPart) -> String {
    match part {
        LimitPart::Client => "client".to_owned(),
        LimitPart::Route => "route".to_owned(),
        LimitPart::Host => "host".to_owned(),
        LimitPart::Header(name) => format!("header:{name}"),
    }
}
