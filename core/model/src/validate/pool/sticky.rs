//! What makes the settings of sticky sessions valid.

use std::time::Duration;

use super::{Problems, SECOND, is_name};
use crate::{Sticky, StickyKind};

/// Browsers keep no cookie for longer.
const LIFETIME_MAX: Duration = Duration::from_secs(400 * 24 * 3600);

pub(super) fn check_sticky(sticky: &Sticky, problems: &mut Problems) {
    check_name(sticky, problems);
    let lifetime = sticky.lifetime;
    problems.check(
        lifetime.is_zero() || (SECOND..=LIFETIME_MAX).contains(&lifetime),
        "sticky.lifetime",
        "must be 0s, or from 1s to 400days",
    );
    let default = Sticky::default();
    let of_cookies = [
        ("sticky.lifetime", lifetime == default.lifetime),
        ("sticky.same_site", sticky.same_site == default.same_site),
    ];
    // Where the kind is none, they are kept for when there is stickiness again.
    let has_cookie = matches!(sticky.kind, StickyKind::Cookie | StickyKind::None);
    for (field, is_default) in of_cookies {
        let rule = "is for the kind cookie alone: null takes it away";
        problems.relation(|it| it.check(has_cookie || is_default, field, rule));
    }
    sticky.unknown.check("sticky.", problems);
}

fn check_name(sticky: &Sticky, problems: &mut Problems) {
    let name = sticky.name.as_bytes();
    let named = is_name(name);
    let (holds, rule) = match sticky.kind {
        StickyKind::None | StickyKind::Cookie => (
            named || name.is_empty(),
            "must be 1 to 128 characters of a token, or not be given",
        ),
        StickyKind::Source => (
            name.is_empty(),
            "must not be given for the client's address; null takes it away",
        ),
        StickyKind::ApplicationCookie => (
            named,
            "must name the application's cookie: 1 to 128 characters of a token",
        ),
        StickyKind::Header => (
            named,
            "must name the header: 1 to 128 characters of a token",
        ),
    };
    problems.relation(|it| it.check(holds, "sticky.name", rule));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::validate_pool;

    /// The fields of a pool with this stickiness that break a rule.
    fn broken(sticky: &Value) -> Vec<String> {
        let pool = json!({"id": "default", "sticky": sticky});
        let pool = serde_json::from_value(pool).expect("a pool's shape");
        let problems = validate_pool(&pool).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn the_balancers_own_cookie_needs_no_name_and_what_others_set_does() {
        assert!(broken(&json!({"kind": "cookie"})).is_empty());
        assert!(
            broken(&json!({"kind": "cookie", "name": "lb", "lifetime": "1h", "same_site": "none"}))
                .is_empty()
        );
        assert_eq!(
            broken(&json!({"kind": "cookie", "name": "a=b"})),
            ["sticky.name"]
        );
        for kind in ["application_cookie", "header"] {
            assert_eq!(broken(&json!({"kind": kind})), ["sticky.name"]);
            assert_eq!(
                broken(&json!({"kind": kind, "name": "a b"})),
                ["sticky.name"]
            );
            assert!(broken(&json!({"kind": kind, "name": "X-User"})).is_empty());
        }
        assert!(broken(&json!({"kind": "source"})).is_empty());
        assert_eq!(
            broken(&json!({"kind": "source", "name": "x"})),
            ["sticky.name"]
        );
    }

    #[test]
    fn what_is_said_of_a_cookie_needs_one() {
        let settings = json!({"kind": "source", "lifetime": "1h", "same_site": "strict"});
        assert_eq!(broken(&settings), ["sticky.lifetime", "sticky.same_site"]);
        let kept = json!({"kind": "none", "name": "lb", "lifetime": "1h", "same_site": "strict"});
        assert!(broken(&kept).is_empty());
    }

    #[test]
    fn a_lifetime_is_one_that_a_browser_can_keep() {
        let lifetime = |text: &str| broken(&json!({"kind": "cookie", "lifetime": text}));
        for good in ["0s", "1s", "400days"] {
            assert!(lifetime(good).is_empty(), "{good}");
        }
        for bad in ["1ms", "401days"] {
            assert_eq!(lifetime(bad), ["sticky.lifetime"], "{bad}");
        }
    }

    #[test]
    fn a_field_that_is_not_known_is_named() {
        assert_eq!(
            broken(&json!({"kind": "none", "sameSite": "lax"})),
            ["sticky.sameSite"]
        );
    }
}
