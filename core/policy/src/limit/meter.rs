//! One key's meter at one balancer.
//!
//! - `share`: what may be spent before the registry hears of it. When the registry was heard, it is the bucket's level divided by the
//!   number of balancers that live; from then on it grows as the bucket does, divided likewise. So all balancers together spend no more
//!   than what is there, however unevenly requests come; and where the registry does not answer, the same goes on, which is the limit
//!   divided by the number of balancers.
//! - `spent`: tokens spent of the share that the registry has not heard of. They are told within 10 ms, or within 100 ms where the share
//!   will last for more than 200 ms; and taken from the bucket even if it is empty: what was too much is missing later, since a level
//!   below zero makes shares below zero.
//! - `leased`: tokens that were taken from the bucket ahead of need. They are asked for where the share does not cover what this balancer
//!   is about to be asked for, and are never more than the bucket is given in 20 ms, or one.
//!
//! - `left`: what the bucket had when it was heard, less what was spent here since. Where that is more than a token for each balancer, a
//!   request for which the share has none waits for the registry's word: so one balancer can pass what the others leave, such as all of a
//!   client's burst. In a bucket that is kept empty there is no more, and nobody waits.
//! - `is_untold`: the registry does not hear of this key, since its limit has too many new ones. It has its share, and no more, until
//!   there is room.
//!
//! What can be too much: a share that stems from long ago, when others had not yet emptied the bucket. That is no more than the bucket's
//! capacity for all balancers together, or one request at each, and is made up for by what comes after.

use std::time::Duration;

/// The registry is told of a key, or asked for more of it, no more often than this.
pub(super) const GAP: u64 = 10_000;

/// Nor more often than this where the share outlasts twice this time, at the pace at which requests come.
const GAP_AMPLE: u64 = 100_000;

/// Nobody is woken to ask later than this from now: a request that comes later does that.
const SOON: u64 = 100_000;

/// Tokens are leased for what is expected within this time.
const AHEAD: f64 = 20_000.0;

/// What was leased and not used for so long is forgotten: the bucket had time to make up for it.
const LEASED_FOR: u64 = 1_000_000;

/// So close to one token is one: many small parts seldom make a whole.
const WHOLE: f64 = 1.0 - 1e-6;

/// What a limit says, for a fleet of so many balancers. Times are in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// In which a bucket is given a token.
    interval: f64,
    capacity: f64,
    /// Balancers that live.
    live: f64,
}

impl Terms {
    pub(super) fn new(interval: Duration, capacity: u32, live: u32) -> Self {
        Self {
            interval: (interval.as_secs_f64() * 1e6).max(f64::MIN_POSITIVE),
            capacity: f64::from(capacity),
            live: f64::from(live.max(1)),
        }
    }

    /// Of a key of which the registry does not hear: the share is a bucket of its own, which nobody else spends of.
    pub(super) fn of_share(&self) -> Self {
        Self {
            interval: self.interval * self.live,
            capacity: self.share_max(),
            live: 1.0,
        }
    }

    /// The share of a full bucket.
    fn share_max(&self) -> f64 {
        self.capacity / self.live
    }

    /// The least share of which a token is spent: one, but of a bucket that is smaller than the fleet the share of a full one.
    fn share_min(&self) -> f64 {
        self.share_max().min(1.0) * WHOLE
    }

    /// How long until a bucket of this level has a token, or as much of one as it ever has.
    pub(super) fn wait(&self, level: f64) -> Duration {
        let lacks = self.capacity.min(1.0) - level;
        Duration::from_micros((lacks.max(0.0) * self.interval) as u64)
    }

    /// How long an empty one takes to be full, in nanoseconds.
    pub(super) fn filling_nanos(&self) -> u64 {
        (self.capacity * self.interval * 1e3) as u64
    }

    /// How long until it is full.
    pub(super) fn fills_in(&self, level: f64) -> Duration {
        Duration::from_micros(((self.capacity - level).max(0.0) * self.interval) as u64)
    }
}

/// One key's meter. Moments are in microseconds since the balancer started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meter {
    share: f64,
    /// When the share was brought up to date.
    at: u64,
    /// When the registry was heard.
    heard_at: u64,
    /// How long after that its bucket has a token.
    wait: u64,
    /// What the bucket had then, without what was spent here since.
    left: f64,
    /// When tokens were leased last.
    leased_at: u64,
    /// When the demand began to be counted.
    counted_from: u64,
    leased: u32,
    spent: u32,
    /// What was spent and is being told.
    told: u32,
    /// Requests since then, whether or not they passed.
    demand: u32,
    /// Requests at this moment.
    pub(super) in_flight: u32,
    /// Whether the share outlasted twice `GAP_AMPLE` when the registry was asked last.
    is_ample: bool,
    /// The registry is asked, or will be.
    pub(super) is_asked: bool,
    /// The registry is not told of this key, and the share is all that there is.
    pub(super) is_untold: bool,
}

impl Meter {
    /// Of a key that nothing is known of: its bucket is taken to be full.
    pub(super) fn new(terms: &Terms, now: u64) -> Self {
        Self {
            share: terms.share_max(),
            at: now,
            heard_at: now.saturating_sub(GAP),
            wait: 0,
            left: terms.capacity,
            leased_at: now,
            counted_from: now,
            leased: 0,
            spent: 0,
            told: 0,
            demand: 0,
            in_flight: 0,
            is_ample: false,
            is_asked: false,
            is_untold: false,
        }
    }

    /// One of which the registry is not told yet.
    pub(super) fn untold(terms: &Terms, now: u64) -> Self {
        Self {
            is_untold: true,
            ..Self::new(terms, now)
        }
    }

    /// From now on the registry is told of the key: first of what the share lacks by now.
    pub(super) fn tell(&mut self, terms: &Terms, now: u64) {
        self.fill(terms, now);
        self.spent = self.lacks(terms);
        self.is_untold = false;
    }

    /// What was spent does not reach the registry, whose bucket fills meanwhile as the share does: it will be told of no more than the
    /// share lacks. Else whoever kept to the share in a long outage would have to wait after it.
    pub(super) fn spends_alone(&mut self, terms: &Terms) {
        self.spent = self.spent.min(self.lacks(terms));
    }

    /// Tokens that the share has less than a full one, a part of one counting as one.
    fn lacks(&self, terms: &Terms) -> u32 {
        (terms.share_max() - self.share).ceil() as u32
    }

    /// A request has come, whether or not it will pass.
    pub(super) fn comes(&mut self, terms: &Terms, now: u64) {
        self.fill(terms, now);
        self.demand = self.demand.saturating_add(1);
    }

    /// Spends a token, if there is one, for a request that has come.
    pub(super) fn spend(&mut self, terms: &Terms) -> bool {
        if self.leased > 0 {
            self.leased -= 1;
            return true;
        }
        let has_one = self.share >= terms.share_min();
        if has_one {
            self.share -= 1.0;
            self.left -= 1.0;
            self.spent = self.spent.saturating_add(1);
        }
        has_one
    }

    fn fill(&mut self, terms: &Terms, now: u64) {
        let elapsed = now.saturating_sub(self.at) as f64;
        let grown = self.share + elapsed / (terms.interval * terms.live);
        self.share = grown.min(terms.share_max());
        self.at = self.at.max(now);
        if now.saturating_sub(self.leased_at) > LEASED_FOR {
            self.leased = 0;
        }
    }

    /// Whether the bucket, when the registry was heard, had more than a token for each balancer that was not spent here: then it may
    /// have one where the share has none.
    pub(super) fn may_have_more(&self, terms: &Terms) -> bool {
        !self.is_untold && self.left >= terms.live
    }

    /// Whether the registry has to hear of it: of what was spent, or that more is needed than there is.
    pub(super) fn needs_registry(&self, terms: &Terms, now: u64) -> bool {
        let is_soon = self.due() <= now + SOON;
        !self.is_untold && is_soon && (self.spent > 0 || self.wanted(terms, now) > 0)
    }

    /// When the registry may be asked: where there is nothing to tell, not before it has something to give.
    pub(super) fn due(&self) -> u64 {
        let gap = match self.is_ample {
            true => GAP_AMPLE,
            false => GAP,
        };
        let wait = match self.spent {
            0 => self.wait.max(gap),
            _ => gap,
        };
        self.heard_at + wait
    }

    /// Requests that will come within a time, if they come as they have.
    fn expected(&self, within: f64, now: u64) -> f64 {
        let elapsed = now.saturating_sub(self.counted_from).max(GAP) as f64;
        f64::from(self.demand) / elapsed * within
    }

    /// The tokens that are needed on top of those that there are.
    fn wanted(&self, terms: &Terms, now: u64) -> u32 {
        let expected = self.expected(AHEAD, now);
        let most = (AHEAD / terms.interval).ceil();
        let has = f64::from(self.leased) + self.share.max(0.0).floor();
        (expected.ceil().min(most) - has).max(0.0) as u32
    }

    /// What the registry is to be told and asked for: tokens that were spent, and those that are wanted.
    pub(super) fn ask(&mut self, terms: &Terms, now: u64) -> (u32, u32) {
        self.fill(terms, now);
        let wanted = self.wanted(terms, now);
        self.is_ample = self.share > self.expected(2.0 * GAP_AMPLE as f64, now);
        self.demand = 0;
        self.counted_from = now;
        self.told = std::mem::take(&mut self.spent);
        (self.told, wanted)
    }

    /// Takes in what the bucket had: tokens that were granted, and what is left.
    pub(super) fn hear(&mut self, terms: &Terms, granted: u32, level: f64, now: u64) {
        self.leased = self.leased.saturating_add(granted);
        self.leased_at = now;
        // What was spent meanwhile was there still when the registry looked.
        self.share = (level / terms.live).min(terms.share_max()) - f64::from(self.spent);
        self.at = self.at.max(now);
        self.told = 0;
        self.heard_at = now;
        self.wait = terms.wait(level).as_micros() as u64;
        self.left = level - f64::from(self.spent);
    }

    /// The registry did not hear what it was told.
    pub(super) fn was_not_heard(&mut self, terms: &Terms, spent: u32, now: u64) {
        self.fill(terms, now);
        self.spent = self.spent.saturating_add(spent);
        self.spends_alone(terms);
        self.told = 0;
        self.is_ample = false;
        self.heard_at = now;
        self.wait = 0;
        self.left = 0.0;
    }

    /// The level of the bucket of these terms, as far as can be told from here.
    pub(super) fn level(&self, terms: &Terms) -> f64 {
        let spent = f64::from(self.spent) + f64::from(self.told);
        // Spending takes one token from the share, and one from the bucket, not one for each balancer.
        let level = (self.share + spent) * terms.live - spent + f64::from(self.leased);
        level.min(terms.capacity)
    }
}
