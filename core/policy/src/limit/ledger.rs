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

/// When a request is told to come again that a closed limit refuses for want of the registry: nobody knows when that answers.
const CLOSED_FOR: Duration = Duration::from_secs(5);

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
    /// When the bucket has a token again, or is full, where the request passes. A guess, where the registry has to answer first.
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

    /// Takes in whether the registry failed to answer just now, whatever it was asked.
    pub fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
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
        if passes {
            return self.passed(limit, key, meter, &terms, wakes);
        }
        let mut refused = Checked::refused(meter, &terms, wakes);
        if is_closed(limit, is_away) {
            refused.reset = refused.reset.max(CLOSED_FOR);
        }
        Checked { may_ask, ..refused }
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

/// Whether every request is refused, for want of the registry.
fn is_closed(limit: &Limit, is_away: bool) -> bool {
    is_away && limit.without_registry() == WithoutRegistry::Closed
}

fn lets_pass(limit: &Limit, meter: &mut Meter, terms: &Terms, now: u64, is_away: bool) -> bool {
    meter.comes(terms, now);
    // Who is refused whatever there is takes nothing away from those that come once the registry is back.
    let has_one = !is_closed(limit, is_away) && meter.spend(terms);
    if is_away {
        meter.spends_alone(terms);
    }
    let is_open = is_away && limit.without_registry() == WithoutRegistry::Open;
    has_one || is_open
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
mod tests;
