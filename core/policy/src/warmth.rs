//! Slow start: a server that has just come up gets a tenth of its weight at first, and more as evenly as time passes.
//!
//! Weights are compiled into the algorithms' structures, so a pool with such a server is compiled anew every so often while it lasts. That
//! is simpler than thinning out by chance at each pick, and exact for all algorithms: chance would send a tenth of *all* requests to an
//! idle server that has the fewest connections. Pools that hash have no slow start.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::Health;

use crate::tier::WEIGHT_PARTS;

/// What a server begins with.
const FIRST_PARTS: u32 = WEIGHT_PARTS / 10;

/// Into so many steps slow start is divided.
const STEPS: u32 = 20;

/// No step is shorter.
const STEP_MIN: Duration = Duration::from_millis(100);

const NOT_UP: u64 = 0;
const LONG_SINCE: u64 = u64::MAX;

/// Since when an incarnation of a server is up: in milliseconds on the clock that tables are compiled by, plus one.
#[derive(Debug, Default)]
pub(crate) struct Warmth(AtomicU64);

impl Warmth {
    /// Takes in a verdict. In the first table of a process (`is_first`) a server that is up has been so for long.
    pub(crate) fn judge(&self, health: Health, is_first: bool, now: Duration) {
        let since = self.0.load(Ordering::Relaxed);
        let since = match (health, since) {
            (Health::Up, NOT_UP) if is_first => LONG_SINCE,
            (Health::Up, NOT_UP) => millis(now) + 1,
            (Health::Up, since) => since,
            (Health::Down | Health::Unknown, _) => NOT_UP,
        };
        self.0.store(since, Ordering::Relaxed);
    }

    /// How many of `WEIGHT_PARTS` its weight counts, where slow start takes so long. One that is not up and is used all the same
    /// counts in full.
    pub(crate) fn parts(&self, slow_start: Duration, now: Duration) -> u32 {
        match self.elapsed(now) {
            Some(elapsed) if elapsed < slow_start => {
                let progress = elapsed.as_secs_f64() / slow_start.as_secs_f64();
                FIRST_PARTS + (f64::from(WEIGHT_PARTS - FIRST_PARTS) * progress) as u32
            }
            _ => WEIGHT_PARTS,
        }
    }

    /// Whether its weight still grows.
    pub(crate) fn is_growing(&self, slow_start: Duration, now: Duration) -> bool {
        self.elapsed(now)
            .is_some_and(|elapsed| elapsed < slow_start)
    }

    fn elapsed(&self, now: Duration) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            NOT_UP | LONG_SINCE => None,
            since => Some(now.saturating_sub(Duration::from_millis(since - 1))),
        }
    }
}

/// How long the weights of one compilation hold.
pub(crate) fn step(slow_start: Duration) -> Duration {
    (slow_start / STEPS).max(STEP_MIN)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX - 2)
}
