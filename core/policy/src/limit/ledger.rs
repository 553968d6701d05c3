//! What one balancer knows of all keys of all limits, for all of its threads. Each part of it is behind a lock that is held for a few
//! steps. It is bounded: a key that had to make room begins anew, as one whose bucket is full; the registry knows better, and is heard
//! within milliseconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use model::WithoutRegistry;
use parking_lot::Mutex;

use super::Limit;
use super::meter::{Meter, Terms};
use super::slots::Slots;

/// Parts with a lock each.
const PARTS: usize = 64;

/// Keys that are known at a time, at most: about 100 MB.
const KEYS_MAX: usize = 1 << 20;

/// While the registry does not answer, it is asked about one key in this time, in microseconds.
const PROBE_EACH: u64 = 100_000;

/// One balancer's ledger.
#[derive(Debug)]
pub struct Ledger {
    parts: Vec<Mutex<Slots>>,
    /// Balancers that live, as far as is known; this one is.
    live: AtomicU32,
    /// The registry did not answer when it was asked last.
    is_away: AtomicBool,
    /// When it may be asked next while it does not answer.
    probe_at: AtomicU64,
}

/// What the ledger says of a request.
#[derive(Debug)]
pub struct Checked {
    /// The place of one that may go on; or why it may not.
    pub outcome: Result<InUse, Refusal>,
    /// Tokens of the key's bucket, as far as is known here; none where the limit counts no requests.
    pub remaining: u32,
    /// When the bucket has a token again, or is full, where the request passes.
    pub reset: Duration,
    /// Whether the registry has to be asked about the key by whoever can: [`Ledger::ask`].
    pub wakes: bool,
    /// It is refused for what this balancer may spend by itself; the registry may have more for it.
    pub may_ask: bool,
    /// It was counted here alone, since the new keys of its limit were too many to tell the registry of.
    pub is_untold: bool,
}

/// Why a request may not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Too many in the time.
    Rate,
    /// Too many at the same time.
    Concurrent,
}

/// What the registry is to be told and asked about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inquiry {
    /// Tokens that were spent already, and those that are wanted on top.
    Now { spent: u32, wanted: u32 },
    /// Not before this moment.
    At(Duration),
    /// Nothing any more.
    Nothing,
}

/// A request that counts among those at the same time until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct InUse {
    /// Where it is counted, if it is.
    of: Option<(Arc<Ledger>, u128)>,
}

impl InUse {
    /// Whether it counts at all: where the limit says nothing of requests at the same time, there is nothing to hold.
    pub fn counts(&self) -> bool {
        self.of.is_some()
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some((ledger, key)) = self.of.take()
            && let Some(meter) = ledger.part(key).lock().get(key)
        {
            meter.in_flight = meter.in_flight.saturating_sub(1);
        }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new(KEYS_MAX)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Ledger {
    /// One of at most so many keys.
    pub fn new(keys_max: usize) -> Self {
        let part = || Mutex::new(Slots::new(keys_max / PARTS));
        Self {
            parts: (0..PARTS).map(|_| part()).collect(),
            live: AtomicU32::new(1),
            is_away: AtomicBool::new(false),
            probe_at: AtomicU64::new(0),
        }
    }

    /// Says how many balancers live.
    pub fn set_live(&self, balancers: u32) {
        self.live.store(balancers.max(1), Ordering::Relaxed);
    }

    /// The number of balancers that the limits are divided by where it comes to that.
    pub fn live(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }

    /// Whether the registry did not answer when it was asked last.
    pub fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// Keys that are known.
    pub fn keys(&self) -> usize {
        self.parts.iter().map(|part| part.lock().len()).sum()
    }

    /// Whether a request of this key may go on, at once. `now` is since the balancer started, as everywhere here.
    pub fn check(self: &Arc<Self>, limit: &Limit, key: u128, now: Duration) -> Checked {
        self.decide(limit, key, now, self.is_away())
    }

    /// The same where the registry was asked for this very request, and did not answer in time.
    pub fn check_alone(self: &Arc<Self>, limit: &Limit, key: u128, now: Duration) -> Checked {
        self.decide(limit, key, now, true)
    }

    fn decide(self: &Arc<Self>, limit: &Limit, key: u128, now: Duration, is_away: bool) -> Checked {
        let at = micros(now);
        let terms = self.terms(limit);
        let settings = limit.settings();
        let mut part = self.part(key).lock();
        let Some(meter) = meter_of(&mut part, limit, key, &terms, at) else {
            return Checked::uncounted();
        };
        if settings.concurrent > 0 && meter.in_flight >= settings.concurrent {
            return Checked::crowded();
        }
        let passes = settings.requests == 0 || lets_pass(limit, meter, &terms, at, is_away);
        let wakes = settings.requests > 0 && !limit.is_exact() && self.wakes(meter, &terms, at);
        let may_ask = !is_away && meter.may_have_more(&terms);
        let terms = match is_away || meter.is_untold {
            true => terms.of_share(),
            false => terms,
        };
        match passes {
            true => self.passed(limit, key, meter, &terms, wakes),
            false => Checked {
                may_ask,
                ..Checked::refused(meter, &terms, wakes)
            },
        }
    }

    /// What is said of a request that is one too many at the same time, which is known without the registry.
    pub fn check_crowd(&self, limit: &Limit, key: u128) -> Option<Checked> {
        let concurrent = limit.settings().concurrent;
        let is_crowded = |meter: &mut Meter| meter.in_flight >= concurrent;
        let mut part = self.part(key).lock();
        let crowded = concurrent > 0 && part.get(key).is_some_and(is_crowded);
        crowded.then(Checked::crowded)
    }

    /// The same of a request of which the registry said whether it passes.
    pub fn enter(
        self: &Arc<Self>,
        limit: &Limit,
        key: u128,
        passes: bool,
        now: Duration,
    ) -> Checked {
        let at = micros(now);
        let terms = self.terms(limit);
        let concurrent = limit.settings().concurrent;
        let mut part = self.part(key).lock();
        let Some(meter) = part.get_or_add(key, || Meter::new(&terms, at)) else {
            return Checked::uncounted();
        };
        if concurrent > 0 && meter.in_flight >= concurrent {
            return Checked::crowded();
        }
        match passes {
            true => self.passed(limit, key, meter, &terms, false),
            false => Checked::refused(meter, &terms, false),
        }
    }

    fn passed(
        self: &Arc<Self>,
        limit: &Limit,
        key: u128,
        meter: &mut Meter,
        terms: &Terms,
        wakes: bool,
    ) -> Checked {
        let level = meter.level(terms);
        let counts = limit.settings().concurrent > 0;
        meter.in_flight += u32::from(counts);
        Checked {
            outcome: Ok(InUse {
                of: counts.then(|| (Arc::clone(self), key)),
            }),
            // A whole token may be a millionth short of one.
            remaining: (level + 1e-6).max(0.0) as u32,
            reset: terms.fills_in(level),
            wakes,
            may_ask: false,
            is_untold: meter.is_untold,
        }
    }

    /// Whether somebody is to ask the registry about the key, who is then taken to do so.
    fn wakes(&self, meter: &mut Meter, terms: &Terms, now: u64) -> bool {
        let wakes = !meter.is_asked
            && meter.needs_registry(terms, now)
            && (!self.is_away() || self.may_probe(now));
        meter.is_asked |= wakes;
        wakes
    }

    /// Whether the registry, which does not answer, may be asked again.
    fn may_probe(&self, now: u64) -> bool {
        let next = |at: u64| (at <= now).then_some(now + PROBE_EACH);
        self.probe_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .is_ok()
    }

    /// Whether the registry may be told of a request's key: not while the new ones of its limit are too many.
    pub fn may_tell(&self, limit: &Limit, key: u128, now: Duration) -> bool {
        let terms = self.terms(limit);
        let mut part = self.part(key).lock();
        let meter = meter_of(&mut part, limit, key, &terms, micros(now));
        meter.is_none_or(|meter| !meter.is_untold)
    }

    /// Whether a request may wait for the registry: not while that does not answer, but for one now and then.
    pub fn may_wait(&self, now: Duration) -> bool {
        !self.is_away() || self.may_probe(micros(now))
    }

    /// What the registry is to be told and asked about a key, for whoever was woken.
    pub fn ask(&self, limit: &Limit, key: u128, now: Duration) -> Inquiry {
        let now = micros(now);
        let terms = self.terms(limit);
        let mut part = self.part(key).lock();
        let Some(meter) = part.get(key) else {
            return Inquiry::Nothing;
        };
        if meter.due() > now {
            return Inquiry::At(Duration::from_micros(meter.due()));
        }
        let (spent, wanted) = meter.ask(&terms, now);
        meter.is_asked = spent > 0 || wanted > 0;
        match meter.is_asked {
            true => Inquiry::Now { spent, wanted },
            false => Inquiry::Nothing,
        }
    }

    /// Tokens of a key that were spent and the registry has not heard of: for a request that asks about it anyway.
    pub fn settle(&self, limit: &Limit, key: u128, now: Duration) -> u32 {
        let terms = self.terms(limit);
        let mut part = self.part(key).lock();
        let meter = part.get(key);
        meter.map_or(0, |meter| meter.ask(&terms, micros(now)).0)
    }

    /// Takes in what the bucket had. Whether there is more to ask already, for the same one to do.
    pub fn hear(&self, limit: &Limit, key: u128, granted: u32, level: f64, now: Duration) -> bool {
        self.is_away.store(false, Ordering::Relaxed);
        let now = micros(now);
        let terms = self.terms(limit);
        let mut part = self.part(key).lock();
        let Some(meter) = part.get_or_add(key, || Meter::new(&terms, now)) else {
            return false;
        };
        meter.hear(&terms, granted, level, now);
        meter.is_asked = !limit.is_exact() && meter.needs_registry(&terms, now);
        meter.is_asked
    }

    /// The registry does not answer, so that it has not heard of these tokens.
    pub fn was_not_heard(&self, limit: &Limit, key: u128, spent: u32, now: Duration) {
        let at = micros(now);
        self.is_away.store(true, Ordering::Relaxed);
        self.probe_at.store(at + PROBE_EACH, Ordering::Relaxed);
        if let Some(meter) = self.part(key).lock().get(key) {
            meter.was_not_heard(&self.terms(limit), spent, at);
            meter.is_asked = false;
        }
    }

    /// Nobody asks about the key, though somebody was woken to.
    pub fn is_not_asked(&self, key: u128) {
        if let Some(meter) = self.part(key).lock().get(key) {
            meter.is_asked = false;
        }
    }

    fn terms(&self, limit: &Limit) -> Terms {
        Terms::new(limit.interval(), limit.settings().capacity(), self.live())
    }

    fn part(&self, key: u128) -> &Mutex<Slots> {
        // Bits by which the slots are not sorted.
        &self.parts[(key >> 122) as usize % PARTS]
    }
}

/// The meter of a request's key.
fn meter_of<'a>(
    part: &'a mut Slots,
    limit: &Limit,
    key: u128,
    terms: &Terms,
    now: u64,
) -> Option<&'a mut Meter> {
    let new = match limit.settings().requests {
        // There is nothing to tell.
        0 => Meter::new,
        _ => Meter::untold,
    };
    let meter = part.get_or_add(key, || new(terms, now))?;
    if meter.is_untold && limit.tells_one_more(terms, now) {
        meter.tell(terms, now);
    }
    Some(meter)
}

fn lets_pass(limit: &Limit, meter: &mut Meter, terms: &Terms, now: u64, is_away: bool) -> bool {
    let has_one = meter.spend(terms, now);
    if is_away {
        meter.spends_alone(terms);
    }
    match limit.without_registry() {
        WithoutRegistry::Open if is_away => true,
        WithoutRegistry::Closed if is_away => false,
        WithoutRegistry::Share | WithoutRegistry::Open | WithoutRegistry::Closed => has_one,
    }
}

impl Checked {
    /// There is no room to count.
    fn uncounted() -> Self {
        Self {
            outcome: Ok(InUse { of: None }),
            remaining: 0,
            reset: Duration::ZERO,
            wakes: false,
            may_ask: false,
            is_untold: false,
        }
    }

    fn refused(meter: &Meter, terms: &Terms, wakes: bool) -> Self {
        Self {
            outcome: Err(Refusal::Rate),
            remaining: 0,
            reset: terms.wait(meter.level(terms)),
            wakes,
            may_ask: false,
            is_untold: meter.is_untold,
        }
    }

    /// Nobody knows when the first of those at the same time ends.
    fn crowded() -> Self {
        Self {
            outcome: Err(Refusal::Concurrent),
            remaining: 0,
            reset: Duration::from_secs(1),
            wakes: false,
            may_ask: false,
            is_untold: false,
        }
    }
}

#[cfg(test)]
mod tests {
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
}
