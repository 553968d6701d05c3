//! How long to wait before trying again: exponentially longer, with full jitter, so that a fleet which
//! lost the same thing at the same time does not come back for it at the same time.

use std::time::Duration;

use rand::{Rng, RngExt};

/// Growing pauses between tries. Chance is an argument; sleeping is the caller's.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    /// What the next pause is drawn from: zero to this.
    bound: Duration,
}

impl Backoff {
    /// The first pause is at most `first`; each bound after it doubles, up to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            bound: first.min(longest),
        }
    }

    /// The pause before the next try.
    pub fn next_pause(&mut self, random: &mut impl Rng) -> Duration {
        let pause = random.random_range(Duration::ZERO..=self.bound);
        self.bound = self.bound.saturating_mul(2).min(self.longest);
        pause
    }

    /// It worked: the next failure starts again with a short pause.
    pub fn reset(&mut self) {
        self.bound = self.first.min(self.longest);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn pauses_stay_below_a_bound_that_doubles_up_to_the_longest() {
        for seed in 0..200 {
            let mut random = SmallRng::seed_from_u64(seed);
            let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
            for bound in [100, 200, 350, 350] {
                let pause = backoff.next_pause(&mut random);
                assert!(
                    pause <= Duration::from_millis(bound),
                    "{pause:?} > {bound} ms"
                );
            }
            backoff.reset();
            assert!(backoff.next_pause(&mut random) <= Duration::from_millis(100));
        }
    }

    #[test]
    fn two_that_failed_together_do_not_try_again_together() {
        let pause = |seed| {
            let mut random = SmallRng::seed_from_u64(seed);
            Backoff::new(Duration::from_secs(1), Duration::from_secs(1)).next_pause(&mut random)
        };
        assert_ne!(pause(1), pause(2));
    }
}
