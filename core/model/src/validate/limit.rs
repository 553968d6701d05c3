//! What makes a limit valid.

use std::time::Duration;

use super::firewall::check_networks;
use super::route::is_token;
use super::{Problem, Problems};
use crate::{Limit, LimitId, LimitPart};

/// The most parts of a request that make a key.
const PARTS_MAX: usize = 8;
/// The most limits that one route or pool names.
const LIMITS_MAX: usize = 8;
/// The most tokens of a bucket.
const TOKENS_MAX: u32 = 1_000_000_000;
/// A bucket gets tokens no faster, on average, in a second.
const RATE_MAX: f64 = 1e6;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Checks a limit on its own.
///
/// # Errors
/// Every problem found.
pub fn validate_limit(limit: &Limit) -> Result<(), Vec<Problem>> {
    let mut problems = Problems::default();
    check_parts(&limit.by, &mut problems);
    let rule = "must be at least 1 where concurrent sets no bound";
    let bounds = limit.requests > 0 || limit.concurrent > 0;
    problems.relation(|it| it.check(bounds, "requests", rule));
    problems.duration("per", limit.per, MILLISECOND, DAY);
    check_rate(limit, &mut problems);
    problems.duration("deadline", limit.deadline, MILLISECOND, 10 * SECOND);
    let rule = "must name at most 1000 networks";
    problems.check(limit.exempt.len() <= 1_000, "exempt", rule);
    check_networks("exempt", limit.exempt.iter().enumerate(), &mut problems);
    limit.unknown.check("", &mut problems);
    problems.into_result()
}

fn check_parts(by: &[LimitPart], problems: &mut Problems) {
    let rule = format!("must name at most {PARTS_MAX} parts, none twice");
    let is_new = |(index, part)| !by[..index].contains(part);
    let all_new = by.iter().enumerate().all(is_new);
    problems.check(by.len() <= PARTS_MAX && all_new, "by", rule);
    for (index, part) in by.iter().enumerate() {
        let LimitPart::Header(name) = part else {
            continue;
        };
        let rule = "must be a header's name: 1 to 128 characters of a token";
        problems.check(is_token(name), &format!("by[{index}].header"), rule);
    }
}

fn check_rate(limit: &Limit, problems: &mut Problems) {
    let tokens = |field: &str, value: u32, problems: &mut Problems| {
        let rule = format!("must be at most {TOKENS_MAX}");
        problems.check(value <= TOKENS_MAX, field, rule);
    };
    tokens("requests", limit.requests, problems);
    // Of a time that is too short, that alone is said.
    let has_rate = limit.per >= MILLISECOND;
    let is_bounded = f64::from(limit.requests) <= RATE_MAX * limit.per.as_secs_f64();
    let rule = "must be at most 1000000 in a second";
    problems.relation(|it| it.check(!has_rate || is_bounded, "requests", rule));
    if let Some(burst) = limit.burst {
        tokens("burst", burst, problems);
        problems.check(burst > 0, "burst", "must be at least 1");
        let rule = "is for a limit that counts requests";
        problems.relation(|it| it.check(limit.requests > 0, "burst", rule));
    }
}

/// The limits that a route or a pool names; that they exist is for who sees them.
pub(super) fn check_limits(limits: &[LimitId], problems: &mut Problems) {
    let rule = format!("must name at most {LIMITS_MAX} limits, none twice");
    let is_new = |(index, id)| !limits[..index].contains(id);
    let all_new = limits.iter().enumerate().all(is_new);
    problems.check(limits.len() <= LIMITS_MAX && all_new, "limits", rule);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The fields of a limit with these settings that break a rule.
    fn broken(settings: Value) -> Vec<String> {
        let mut limit = settings;
        limit["id"] = json!("a");
        let limit = serde_json::from_value(limit).expect("a limit's shape");
        let problems = validate_limit(&limit).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn a_limit_bounds_something() {
        assert_eq!(broken(json!({})), ["requests"]);
        assert!(broken(json!({"requests": 1})).is_empty());
        assert!(broken(json!({"concurrent": 1})).is_empty());
        assert_eq!(broken(json!({"concurrent": 1, "burst": 5})), ["burst"]);
        assert_eq!(broken(json!({"requests": 1, "burst": 0})), ["burst"]);
    }

    #[test]
    fn each_setting_has_its_bounds() {
        let settings = json!({
            "by": ["client", "client", {"header": "no token"}],
            "requests": 2_000, "per": "1ms", "deadline": "0s", "bursts": 3,
        });
        let fields = ["by", "by[2].header", "requests", "deadline", "bursts"];
        assert_eq!(broken(settings), fields);
        assert_eq!(broken(json!({"requests": 1, "per": "25h"})), ["per"]);
        let exempt = json!({"requests": 1, "exempt": ["10.0.0.0/8", "10.1.2.3/8"]});
        assert_eq!(broken(exempt), ["exempt[1]"]);
        let timeless = json!({"requests": 1, "per": "0s", "burst": 0});
        assert_eq!(broken(timeless), ["per", "burst"]);
    }
}
