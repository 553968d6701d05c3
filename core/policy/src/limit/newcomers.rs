//! How many keys of a limit the registry is told of. Whoever chooses what a request is counted by, such as a header, can make up keys
//! without end, and each of them is a bucket in the registry until that is full again.

use std::sync::atomic::{AtomicU64, Ordering};

/// New keys of one limit, at most, in the time in which a bucket fills.
pub(super) const NEW_KEYS_MAX: u64 = 1 << 17;

/// Lets so many in within that time, and as many at once after a quiet one.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    /// When as many may come at once as after a quiet time, in nanoseconds since the balancer started.
    clear_at: AtomicU64,
}

impl Newcomers {
    /// Whether one more may come now, where a bucket fills in so long; both in nanoseconds.
    pub(super) fn let_in(&self, fills_in: u64, now: u64) -> bool {
        // At least a nanosecond for each: so many cannot come in less.
        let fills_in = fills_in.max(NEW_KEYS_MAX);
        let each = fills_in.div_ceil(NEW_KEYS_MAX);
        let one_more = |clear_at: u64| {
            let clear_at = clear_at.max(now).saturating_add(each);
            (clear_at - now <= fills_in).then_some(clear_at)
        };
        self.clear_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn let_in(newcomers: &Newcomers, fills_in: u64, now: u64) -> u64 {
        let tries = 2 * NEW_KEYS_MAX;
        let one = |_: &u64| newcomers.let_in(fills_in, now);
        (0..tries).filter(one).count() as u64
    }

    #[test]
    fn in_the_time_in_which_a_bucket_fills_no_more_come_than_may() {
        for fills_in in [SECOND / 10, SECOND, 86_400 * SECOND, u64::MAX / 2] {
            let newcomers = Newcomers::default();
            let at_once = let_in(&newcomers, fills_in, 5 * SECOND);
            assert!((NEW_KEYS_MAX - NEW_KEYS_MAX / 100..=NEW_KEYS_MAX).contains(&at_once));
            assert_eq!(let_in(&newcomers, fills_in, 5 * SECOND), 0);
            let half = let_in(&newcomers, fills_in, 5 * SECOND + fills_in / 2);
            assert!(
                half.abs_diff(NEW_KEYS_MAX / 2) < NEW_KEYS_MAX / 100,
                "{half}"
            );
        }
    }

    #[test]
    fn buckets_that_fill_at_once_are_nobodys_concern() {
        let newcomers = Newcomers::default();
        for now in 0..1_000_000 {
            assert!(newcomers.let_in(0, 10 * now));
        }
    }
}
