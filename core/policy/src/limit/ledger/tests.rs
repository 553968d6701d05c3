use model::{Revision, Stamped};
use serde_json::{Value, json};

use super::*;
use crate::limit::newcomers::NEW_KEYS_MAX;

const SECOND: Duration = Duration::from_secs(1);

fn limit(settings: Value) -> Limit {
    let mut settings = settings;
    settings["id"] = json!("api");
    let limit = serde_json::from_value(settings).expect("a limit");
    Limit::compile(&Arc::new(Stamped::new(Revision(1), limit)))
}

/// How many of so many requests at one moment pass.
fn passing(ledger: &Arc<Ledger>, limit: &Limit, requests: u32, now: Duration) -> usize {
    let passes = |_: &u32| ledger.check(limit, 1, now).outcome.is_ok();
    (0..requests).filter(passes).count()
}

#[test]
fn while_the_registry_is_away_a_balancer_lets_its_share_pass() {
    let ledger = Arc::new(Ledger::new(1_000));
    ledger.set_live(4);
    let limit = limit(json!({"requests": 100}));
    ledger.was_not_heard(&limit, 1, 0, Duration::ZERO);
    assert_eq!(passing(&ledger, &limit, 200, SECOND), 25);
    for second in 2..50 {
        assert_eq!(passing(&ledger, &limit, 200, SECOND * second), 25);
    }
    ledger.set_live(2);
    assert_eq!(passing(&ledger, &limit, 200, SECOND * 100), 50);
}

#[test]
fn while_the_registry_is_away_a_client_is_told_of_the_share() {
    let ledger = Arc::new(Ledger::new(1_000));
    ledger.set_live(2);
    let limit = limit(json!({"requests": 4, "per": "400s"}));
    ledger.was_not_heard(&limit, 1, 0, Duration::ZERO);
    let check = |now| ledger.check(&limit, 1, now);
    let said = |checked: Checked| (checked.remaining, checked.reset);
    assert_eq!(said(check(SECOND)), (1, SECOND * 200));
    assert_eq!(said(check(SECOND)), (0, SECOND * 400));
    let refused = check(SECOND * 51);
    assert_eq!(refused.outcome.as_ref().err(), Some(&Refusal::Rate));
    assert_eq!(said(refused), (0, SECOND * 150));
    assert!(check(SECOND * 201).outcome.is_ok());
    // A bucket that is smaller than the fleet has less than a token for each.
    ledger.set_live(8);
    assert_eq!(said(check(SECOND * 201)), (0, SECOND * 400));
}

#[test]
fn after_an_outage_the_registry_is_told_of_no_more_than_the_share_lacks() {
    // The bucket is given a token in a second, and each of two shares one in two.
    let limit = limit(json!({"requests": 10, "per": "10s"}));
    for (seconds, told) in [(0, 1), (2, 2), (4, 3), (6, 3), (100, 3)] {
        let ledger = Arc::new(Ledger::new(1_000));
        ledger.set_live(2);
        ledger.hear(&limit, 1, 0, 6.0, Duration::ZERO);
        ledger.was_not_heard(&limit, 1, 0, Duration::ZERO);
        for second in (0..=seconds).step_by(2) {
            assert_eq!(passing(&ledger, &limit, 1, SECOND * second), 1);
        }
        let Inquiry::Now { spent, .. } = ledger.ask(&limit, 1, SECOND * (seconds + 1)) else {
            panic!("it is asked about");
        };
        assert_eq!(spent, told, "after {seconds} seconds");
    }
}

#[test]
fn while_the_registry_is_away_a_limit_may_be_open_or_closed() {
    for (setting, passes) in [("open", 9), ("closed", 0)] {
        let ledger = Arc::new(Ledger::new(1_000));
        let limit = limit(json!({"requests": 5, "without_registry": setting}));
        assert_eq!(passing(&ledger, &limit, 2, SECOND), 2);
        ledger.was_not_heard(&limit, 1, 2, SECOND);
        assert_eq!(passing(&ledger, &limit, 9, SECOND), passes);
        ledger.hear(&limit, 1, 0, 5.0, SECOND);
        assert!(passing(&ledger, &limit, 9, SECOND * 2) <= 5);
    }
}

#[test]
fn a_limit_that_is_closed_spends_nothing_on_requests_that_it_refuses() {
    for mode in ["leased", "exact"] {
        let ledger = Arc::new(Ledger::new(1_000));
        ledger.set_live(2);
        let settings =
            json!({"requests": 10, "per": "1000s", "mode": mode, "without_registry": "closed"});
        let limit = limit(settings);
        assert_eq!(passing(&ledger, &limit, 2, SECOND), 2);
        ledger.was_not_heard(&limit, 1, 0, SECOND);
        assert_eq!(passing(&ledger, &limit, 9, SECOND), 0);
        assert_eq!(ledger.settle(&limit, 1, SECOND), 2, "{mode}");
        ledger.set_away(false);
        assert_eq!(passing(&ledger, &limit, 9, SECOND), 3, "{mode}");
    }
}

#[test]
fn a_client_that_is_refused_for_want_of_the_registry_is_told_to_come_later() {
    let ledger = Arc::new(Ledger::new(1_000));
    let limit = limit(json!({"requests": 2, "per": "200s", "without_registry": "closed"}));
    ledger.was_not_heard(&limit, 1, 0, Duration::ZERO);
    let refused = || {
        let checked = ledger.check(&limit, 1, SECOND);
        assert_eq!(checked.outcome.err(), Some(Refusal::Rate));
        (checked.remaining, checked.reset)
    };
    assert_eq!(refused(), (0, CLOSED_FOR));
    // Where there is no token either, one has to come first.
    ledger.hear(&limit, 1, 0, 0.0, SECOND);
    assert_eq!(refused(), (0, SECOND * 100));
    ledger.set_away(true);
    assert_eq!(refused(), (0, SECOND * 100));
}

#[test]
fn an_absent_registry_is_asked_about_a_key_now_and_then() {
    let ledger = Arc::new(Ledger::new(1_000));
    let limit = limit(json!({"requests": 1_000}));
    ledger.was_not_heard(&limit, 0, 0, Duration::ZERO);
    let wakes = |key: &u32| {
        let now = Duration::from_millis(u64::from(*key));
        ledger.check(&limit, u128::from(*key), now).wakes
    };
    assert_eq!((0..1_000).filter(wakes).count(), 9);
}

#[test]
fn only_one_is_woken_for_a_key() {
    let ledger = Arc::new(Ledger::new(1_000));
    let limit = limit(json!({"requests": 10}));
    assert!(ledger.check(&limit, 1, SECOND).wakes);
    assert!(!ledger.check(&limit, 1, SECOND).wakes);
    let asked = Inquiry::Now {
        spent: 2,
        wanted: 0,
    };
    assert_eq!(ledger.ask(&limit, 1, SECOND), asked);
    assert!(!ledger.check(&limit, 1, SECOND).wakes);
    // What was spent meanwhile is told next, but not at once.
    assert!(ledger.hear(&limit, 1, 0, 8.0, SECOND));
    assert!(matches!(ledger.ask(&limit, 1, SECOND), Inquiry::At(_)));
    let later = SECOND * 2;
    assert!(matches!(
        ledger.ask(&limit, 1, later),
        Inquiry::Now { spent: 1, .. }
    ));
    assert!(!ledger.hear(&limit, 1, 0, 8.0, later));
    assert!(ledger.check(&limit, 1, later).wakes);
}

#[test]
fn what_remains_is_the_fleets_and_not_the_share() {
    let ledger = Arc::new(Ledger::new(1_000));
    ledger.set_live(4);
    let limit = limit(json!({"requests": 100}));
    let remaining = || ledger.check(&limit, 1, SECOND).remaining;
    assert_eq!([remaining(), remaining()], [99, 98]);
    assert!(matches!(
        ledger.ask(&limit, 1, SECOND),
        Inquiry::Now { spent: 2, .. }
    ));
    assert_eq!(remaining(), 97);
    ledger.hear(&limit, 1, 0, 98.0, SECOND);
    assert_eq!(remaining(), 96);
}

#[test]
fn keys_that_are_too_many_to_tell_of_have_their_share_here() {
    const FILLING: Duration = Duration::from_secs(1_000);
    /// The time in which one of two balancers has a token.
    const SHARED: Duration = Duration::from_secs(200);
    let ledger = Arc::new(Ledger::default());
    ledger.set_live(2);
    let limit = limit(json!({"requests": 10, "per": "1000s"}));
    let tells = |key: u128, now| {
        let checked = ledger.check(&limit, key, now);
        assert_ne!(checked.is_untold, checked.wakes);
        checked.wakes
    };
    let key = |number: u64| xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes());
    let told = (0..=NEW_KEYS_MAX).filter(|number| tells(key(*number), SECOND));
    let told = told.count() as u64;
    assert!((NEW_KEYS_MAX - NEW_KEYS_MAX / 100..=NEW_KEYS_MAX).contains(&told));
    let untold = key(NEW_KEYS_MAX);
    assert!(!ledger.may_tell(&limit, untold, SECOND));
    let checked = || ledger.check(&limit, untold, SECOND);
    for remaining in (0..4).rev() {
        let passes = checked();
        assert!(passes.outcome.is_ok() && passes.is_untold && !passes.wakes);
        assert_eq!(passes.remaining, remaining, "of the share");
        assert_eq!(passes.reset, (5 - remaining) * SHARED);
    }
    let refused = checked();
    assert!(refused.outcome.is_err() && !refused.wakes && !refused.may_ask);
    assert!(refused.is_untold);
    assert_eq!(refused.reset, SHARED);
    // Who was told of stays so, and who was not has a turn later, with what it lacks by then.
    assert!(ledger.may_tell(&limit, key(0), SECOND));
    let later = SECOND + FILLING;
    assert!(tells(untold, later) && ledger.may_tell(&limit, untold, later));
    let Inquiry::Now { spent, .. } = ledger.ask(&limit, untold, later) else {
        panic!("it is asked about");
    };
    assert_eq!(spent, 1, "the share has filled");
}

#[test]
fn no_more_than_so_many_requests_go_on_at_the_same_time() {
    let ledger = Arc::new(Ledger::new(1_000));
    let limit = limit(json!({"concurrent": 2}));
    let first = ledger.check(&limit, 1, SECOND).outcome.expect("the first");
    let _second = ledger.check(&limit, 1, SECOND).outcome.expect("the second");
    let third = ledger.check(&limit, 1, SECOND).outcome;
    assert_eq!(third.expect_err("too many"), Refusal::Concurrent);
    assert!(ledger.check(&limit, 2, SECOND).outcome.is_ok());
    drop(first);
    assert!(ledger.check(&limit, 1, SECOND).outcome.is_ok());
}

#[test]
fn a_request_that_is_refused_for_its_rate_takes_no_place() {
    let ledger = Arc::new(Ledger::new(1_000));
    let limit = limit(json!({"requests": 1, "concurrent": 2}));
    drop(ledger.check(&limit, 1, SECOND).outcome.expect("the first"));
    for _ in 0..5 {
        let refused = ledger.check(&limit, 1, SECOND);
        assert_eq!(refused.outcome.expect_err("too many"), Refusal::Rate);
        assert_eq!((refused.remaining, refused.reset), (0, SECOND));
    }
    assert!(ledger.check(&limit, 1, SECOND * 3).outcome.is_ok());
}

#[test]
fn a_million_keys_and_more_take_no_more_room_than_there_is() {
    let ledger = Arc::new(Ledger::new(10_000));
    let limit = limit(json!({"requests": 10}));
    for number in 0..1_000_000_u64 {
        let key = xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes());
        let passed = ledger.check(&limit, key, Duration::from_micros(number));
        assert!(passed.outcome.is_ok());
    }
    let keys = ledger.keys();
    assert!((9_000..=10_000).contains(&keys), "{keys}");
}
