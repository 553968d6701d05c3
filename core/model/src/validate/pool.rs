//! What makes a pool valid.

use std::time::Duration;

use super::limit::check_limits;
use super::tls::check_pool;
use super::{Problem, Problems};
use crate::{CheckKind, HashOn, HealthCheck, Outlier, Pool, Retry, StatusRange, Timeouts};

mod sticky;

use sticky::check_sticky;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Checks a pool on its own.
///
/// # Errors
/// Every problem found.
pub fn validate_pool(pool: &Pool) -> Result<(), Vec<Problem>> {
    let mut problems = Problems::default();
    check_hashing(pool, &mut problems);
    check_health(&pool.health, &mut problems);
    check_outlier(&pool.outlier, &mut problems);
    check_retry(&pool.retry, &mut problems);
    check_timeouts(&pool.timeouts, &mut problems);
    check_load(pool, &mut problems);
    check_limits(&pool.limits, &mut problems);
    problems.share("panic_threshold", pool.panic_threshold);
    problems.share("guard.withdrawal_share", pool.guard.withdrawal_share);
    pool.guard.unknown.check("guard.", &mut problems);
    pool.probes.unknown.check("probes.", &mut problems);
    check_pool(&pool.tls, &mut problems);
    check_sticky(&pool.sticky, &mut problems);
    pool.unknown.check("", &mut problems);
    problems.into_result()
}

fn check_hashing(pool: &Pool, problems: &mut Problems) {
    let hash = &pool.hash;
    let name = hash.name.as_bytes();
    let named = is_name(name);
    let (holds, rule) = if hash.on == HashOn::Path {
        (
            name.is_empty(),
            "must not be given for the path; null takes it away",
        )
    } else {
        let rule = "must name the header, cookie or parameter: 1 to 128 characters of a token";
        (named, rule)
    };
    problems.relation(|it| it.check(holds, "hash.name", rule));
    problems.off_or("hash.bound", hash.bound, 1.01, 1000.0);
    hash.unknown.check("hash.", problems);
}

/// Whether it can be the name of a header or cookie: a token (RFC 9110, 5.6.2).
fn is_name(name: &[u8]) -> bool {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    (1..=128).contains(&name.len()) && name.iter().all(token)
}

fn check_outlier(outlier: &Outlier, problems: &mut Problems) {
    let deviations = outlier.success_rate_deviations;
    problems.off_or("outlier.success_rate_deviations", deviations, 0.1, 100.0);
    let factor = outlier.latency_factor;
    problems.off_or("outlier.latency_factor", factor, 1.01, 1000.0);
    let least = 100 * MILLISECOND;
    problems.duration("outlier.interval", outlier.interval, least, HOUR);
    problems.duration("outlier.ejection", outlier.ejection, least, HOUR);
    let (most, least) = (outlier.ejection_max, outlier.ejection.max(least));
    problems.relation(|it| it.duration("outlier.ejection_max", most, least, 24 * HOUR));
    problems.check(
        outlier.servers_min >= 2,
        "outlier.servers_min",
        "must be at least 2: fewer cannot be compared",
    );
    problems.check(
        outlier.requests_min >= 1,
        "outlier.requests_min",
        "must be at least 1",
    );
    problems.share("outlier.jitter", outlier.jitter);
    problems.share("outlier.ejected_share", outlier.ejected_share);
    outlier.unknown.check("outlier.", problems);
}

pub(super) fn check_retry(retry: &Retry, problems: &mut Problems) {
    problems.check(retry.retries <= 10, "retry.retries", "must be from 0 to 10");
    problems.check(
        retry.replay_bytes <= 16 * 1024 * 1024,
        "retry.replay_bytes",
        "must be at most 16777216",
    );
    let gateway = |range: &StatusRange| range.first >= 502 && range.last <= 504;
    problems.check(
        retry.statuses.len() <= 3 && retry.statuses.iter().all(gateway),
        "retry.statuses",
        "must hold nothing but 502, 503 and 504",
    );
    problems.share("retry.budget_share", retry.budget_share);
    problems.duration("retry.backoff", retry.backoff, Duration::ZERO, 60 * SECOND);
    let (most, least) = (retry.backoff_max, retry.backoff);
    problems.relation(|it| it.duration("retry.backoff_max", most, least, 60 * SECOND));
    retry.unknown.check("retry.", problems);
}

fn check_load(pool: &Pool, problems: &mut Problems) {
    problems.duration("queue.timeout", pool.queue.timeout, MILLISECOND, HOUR);
    problems.check(
        pool.queue.length <= 1_000_000,
        "queue.length",
        "must be at most 1000000",
    );
    problems.duration("slow_start", pool.slow_start, Duration::ZERO, HOUR);
    pool.queue.unknown.check("queue.", problems);
    pool.circuit.unknown.check("circuit.", problems);
}

fn check_timeouts(timeouts: &Timeouts, problems: &mut Problems) {
    let Timeouts {
        connect,
        per_try,
        response,
        idle,
        drain,
        unknown,
    } = timeouts;
    let times = [connect, per_try, response, idle];
    check_times(times.map(|time| Some(*time)), problems);
    problems.duration("timeouts.drain", *drain, Duration::ZERO, 24 * HOUR);
    unknown.check("timeouts.", problems);
}

/// The times to connect, of one try, until the response and between bytes, as far as they are given.
pub(super) fn check_times(times: [Option<Duration>; 4], problems: &mut Problems) {
    let bounds = [
        ("timeouts.connect", HOUR),
        ("timeouts.per_try", HOUR),
        ("timeouts.response", 24 * HOUR),
        ("timeouts.idle", 24 * HOUR),
    ];
    for ((field, most), time) in bounds.into_iter().zip(times) {
        if let Some(time) = time {
            problems.duration(field, time, MILLISECOND, most);
        }
    }
}

fn check_health(health: &HealthCheck, problems: &mut Problems) {
    check_request(health, problems);
    check_service(health, problems);
    check_only_for_others(health, problems);
    problems.duration("health.interval", health.interval, 100 * MILLISECOND, HOUR);
    problems.duration(
        "health.timeout",
        health.timeout,
        10 * MILLISECOND,
        60 * SECOND,
    );
    for (field, in_a_row) in [("health.rise", health.rise), ("health.fall", health.fall)] {
        let holds = (1..=100).contains(&in_a_row);
        problems.check(holds, field, "must be from 1 to 100");
    }
    problems.share("health.jitter", health.jitter);
    let ranges = (1..=16).contains(&health.status.len()) || health.kind != CheckKind::Http;
    let rule = "must hold 1 to 16 statuses or ranges";
    problems.relation(|it| it.check(ranges, "health.status", rule));
    health.unknown.check("health.", problems);
}

fn check_request(health: &HealthCheck, problems: &mut Problems) {
    let target = health.path.as_bytes();
    let printable = target
        .iter()
        .all(|byte| byte.is_ascii_graphic() && *byte != b'#');
    problems.check(
        target.first() == Some(&b'/') && printable && target.len() <= 2048,
        "health.path",
        "must begin with '/' and hold at most 2048 printable ASCII characters, no '#'",
    );
    let host = health.host.as_ref();
    let is_host = host.is_none_or(|host| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        (1..=255).contains(&host.len()) && host.bytes().all(allowed)
    });
    problems.check(
        is_host,
        "health.host",
        "must be a host name or an address, with a port if need be",
    );
}

fn check_service(health: &HealthCheck, problems: &mut Problems) {
    let name = &health.service;
    problems.check(
        name.len() <= 255 && !name.contains(char::is_control),
        "health.service",
        "must be at most 255 bytes without control characters",
    );
}

/// What a check of this kind does not ask by.
fn check_only_for_others(health: &HealthCheck, problems: &mut Problems) {
    let default = HealthCheck::default();
    let settings = [
        ("path", health.path == default.path, "kind http"),
        ("host", health.host == default.host, "kinds http and grpc"),
        ("status", health.status == default.status, "kind http"),
        ("service", health.service == default.service, "kind grpc"),
    ];
    for (setting, is_default, kinds) in settings {
        let is_foreign = health.kind.foreign().contains(&setting);
        let rule = format!("is for the {kinds} alone: null takes it away");
        let field = format!("health.{setting}");
        problems.relation(|it| it.check(is_default || !is_foreign, &field, rule));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The fields of a pool with these settings that break a rule.
    fn broken(settings: Value) -> Vec<String> {
        let mut pool = settings;
        pool["id"] = json!("default");
        let pool = serde_json::from_value(pool).expect("a pool's shape");
        let problems = validate_pool(&pool).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn a_pool_is_hashed_by_something_that_has_a_name_or_by_the_path() {
        for on in ["header", "cookie", "query"] {
            assert_eq!(broken(json!({"hash": {"on": on}})), ["hash.name"]);
            assert!(broken(json!({"hash": {"on": on, "name": "User-Id"}})).is_empty());
        }
        assert!(broken(json!({"algorithm": "hash", "hash": {"on": "path"}})).is_empty());
        let named = json!({"hash": {"on": "path", "name": "x", "bound": 1.0}});
        assert_eq!(broken(named), ["hash.name", "hash.bound"]);
    }

    #[test]
    fn only_a_gateways_own_statuses_are_tried_again() {
        let statuses = |list: &[&str]| broken(json!({"retry": {"statuses": list}}));
        assert!(statuses(&["502-504"]).is_empty());
        assert!(statuses(&["503"]).is_empty());
        assert_eq!(statuses(&["500-504"]), ["retry.statuses"]);
    }

    #[test]
    fn one_try_may_be_given_all_the_time_that_there_is() {
        let timeouts = |per_try: &str, response: &str| {
            broken(json!({"timeouts": {"per_try": per_try, "response": response}}))
        };
        assert!(timeouts("10s", "2s").is_empty());
        assert!(broken(json!({"timeouts": {"response": "2s"}})).is_empty());
        assert_eq!(timeouts("0s", "2s"), ["timeouts.per_try"]);
    }

    #[test]
    fn only_known_settings_of_the_probes_are_taken() {
        assert!(broken(json!({"probes": {"from": "quorum"}})).is_empty());
        assert_eq!(
            broken(json!({"probes": {"form": "quorum"}})),
            ["probes.form"]
        );
    }

    #[test]
    fn each_setting_of_the_load_has_its_bounds() {
        let settings = json!({
            "outlier": {"ejected_share": 1.5, "servers_min": 1, "ejection": "2m", "ejection_max": "1m"},
            "queue": {"timeout": "0s", "lenght": 1},
            "slow_start": "2h",
            "panic_threshold": -0.1,
        });
        assert_eq!(
            broken(settings),
            [
                "outlier.ejection_max",
                "outlier.servers_min",
                "outlier.ejected_share",
                "queue.timeout",
                "slow_start",
                "queue.lenght",
                "panic_threshold"
            ]
        );
    }
}
