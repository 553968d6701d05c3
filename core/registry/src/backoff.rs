//! Delays between tries that fail: growing, and random over their whole range, so that a fleet that lost
//! its registry together does not come back together.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Exponential backoff with full jitter.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    failures: u32,
    random: SmallRng,
}

impl Backoff {
    pub(crate) fn new(random: SmallRng) -> Self {
        Self {
            failures: 0,
            random,
        }
    }

    /// The delay before the next try, after one more failure.
    pub(crate) fn failed(&mut self) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        doubled.min(LONGEST).mul_f64(self.random.random())
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A period that varies by half of itself to either side.
    pub(crate) fn jitter(&mut self, period: Duration) -> Duration {
        period.mul_f64(self.random.random_range(0.5..1.5))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn delays_grow_to_a_limit_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(SmallRng::seed_from_u64(1));
        let longest = |failures: usize, backoff: &mut Backoff| {
            let delays = (0..failures).map(|_| backoff.failed());
            delays.max().unwrap_or_default()
        };
        assert!(longest(2, &mut backoff) <= FIRST * 2);
        let later = longest(100, &mut backoff);
        assert!(later > LONGEST / 2 && later <= LONGEST, "{later:?}");
        backoff.succeeded();
        assert!(backoff.failed() <= FIRST);
    }
}
