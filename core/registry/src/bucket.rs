//! Token buckets of limits: what the script `take` does in Redis, as plain data, for the memory backend.
//!
//! A bucket is one number, the moment at which it will be full again (GCRA's theoretical arrival time): a token that is taken puts
//! it off by the time in which one is added. One whose moment has come is full, as is one that was never used: so forgetting it
//! changes nothing, and what expires is garbage alone.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use model::LimitId;

/// One bucket of a limit: that of the requests whose parts have this hash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketName {
    pub limit: LimitId,
    pub key: u128,
}

/// As it is in the name of its key.
impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:032x}", self.limit, self.key)
    }
}

/// What a balancer asks of one bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Take {
    pub bucket: BucketName,
    /// The time in which the bucket is given one token.
    pub interval: Duration,
    /// Tokens of a full bucket.
    pub capacity: u32,
    /// Tokens that were spent already: they are taken even if there are none, up to as many as make the bucket empty twice.
    pub spent: u32,
    /// Tokens to take on top, as far as there are some.
    pub wanted: u32,
}

/// What a bucket had.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Taken {
    /// Of the tokens that were wanted.
    pub granted: u32,
    /// Tokens that are left; below zero where more were spent than there were.
    pub level: f64,
}

/// All buckets, by name: the microsecond, since any fixed moment, at which each will be full.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    full_at: HashMap<BucketName, f64>,
    /// With so many, those that are full are forgotten.
    crowded: usize,
}

/// Fewer buckets than this are no matter.
const CROWDED_MIN: usize = 1024;

impl Buckets {
    /// Takes from one bucket; `now` is the registry's time.
    pub(crate) fn take(&mut self, take: &Take, now: Duration) -> Taken {
        let now = now.as_micros() as f64;
        let interval = take.interval.as_secs_f64() * 1e6;
        let capacity = f64::from(take.capacity);
        // A clock that was set back keeps nobody waiting for as long as it was.
        let latest = now + 2.0 * capacity * interval;
        let known = self.full_at.get(&take.bucket).copied();
        let mut full_at = known.unwrap_or(now).max(now);
        full_at = (full_at + f64::from(take.spent) * interval).min(latest);
        let level = capacity - (full_at - now) / interval;
        let granted = level.floor().clamp(0.0, f64::from(take.wanted));
        full_at += granted * interval;
        if full_at > now {
            self.full_at.insert(take.bucket.clone(), full_at);
            self.forget_full(now);
        }
        Taken {
            granted: granted as u32,
            level: level - granted,
        }
    }

    fn forget_full(&mut self, now: f64) {
        if self.full_at.len() > self.crowded.max(CROWDED_MIN) {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.crowded = 2 * self.full_at.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn take(key: u128, spent: u32, wanted: u32) -> Take {
        Take {
            bucket: BucketName {
                limit: "api".parse().expect("a name"),
                key,
            },
            interval: SECOND / 10,
            capacity: 10,
            spent,
            wanted,
        }
    }

    #[test]
    fn buckets_that_are_full_again_are_forgotten() {
        let mut buckets = Buckets::default();
        for key in 0..100_000 {
            let now = SECOND * u32::try_from(key / 100).expect("it fits");
            assert_eq!(buckets.take(&take(key, 0, 1), now).granted, 1);
            assert!(buckets.full_at.len() <= CROWDED_MIN + 1);
        }
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nobody_waiting_for_long() {
        let mut buckets = Buckets::default();
        buckets.take(&take(1, 0, 10), SECOND * 3600);
        let taken = buckets.take(&take(1, 0, 1), SECOND);
        assert_eq!((taken.granted, taken.level), (0, -10.0));
        assert_eq!(buckets.take(&take(1, 0, 1), SECOND * 4).granted, 1);
    }
}
