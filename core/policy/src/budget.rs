//! How many retries a pool's requests may cost at one balancer: a share of its requests of late, so that servers that fail under
//! load are not sent twice the load.
//!
//! As Finagle's `RetryBudget` does it (<https://finagle.github.io/blog/2016/02/08/retry-budgets/>): each request deposits, each
//! retry withdraws, and a deposit counts for ten seconds. A request costs one atomic addition; only retries take the lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// How many seconds a request counts, the present one included.
const SECONDS: u64 = 10;

/// Seconds that are kept: a few more than count, so that a thread whose clock lags disturbs none that does.
const KEPT: usize = 16;

/// Bits of a slot's count; the bits above say which second it is of.
const COUNT_BITS: u32 = 40;

/// One pool's budget, shared by all threads. Times are on the callers' clock.
#[derive(Debug, Default)]
pub struct Budget {
    requests: Window,
    retries: Mutex<Retries>,
}

#[derive(Debug, Default)]
struct Retries {
    granted: Window,
    /// The latest second that was seen: threads' clocks differ by a little.
    latest: u64,
}

/// Counts by second.
#[derive(Debug, Default)]
struct Window([AtomicU64; KEPT]);

impl Budget {
    /// A request has come.
    pub fn deposit(&self, now: Duration) {
        self.requests.add(now.as_secs());
    }

    /// Whether one more retry may be made; if so it is counted.
    pub fn withdraw(&self, retry: &model::Retry, now: Duration) -> bool {
        let mut retries = self.retries.lock();
        retries.latest = retries.latest.max(now.as_secs());
        let second = retries.latest;
        let share = retry.budget_share * self.requests.sum(second) as f64;
        let least = f64::from(retry.budget_min) * SECONDS as f64;
        let granted = (retries.granted.sum(second) + 1) as f64 <= share.max(least);
        if granted {
            retries.granted.add(second);
        }
        granted
    }
}

impl Window {
    fn add(&self, second: u64) {
        let slot = &self.0[index(second)];
        let mut held = slot.load(Ordering::Relaxed);
        while held >> COUNT_BITS != tag(second) {
            let first = tag(second) << COUNT_BITS | 1;
            match slot.compare_exchange_weak(held, first, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => held = other,
            }
        }
        slot.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted in this second and in those before it that still count.
    fn sum(&self, second: u64) -> u64 {
        let seconds = second.saturating_sub(SECONDS - 1)..=second;
        let counts = seconds.map(|second| {
            let held = self.0[index(second)].load(Ordering::Relaxed);
            let counts = held >> COUNT_BITS == tag(second);
            u64::from(counts) * (held & ((1 << COUNT_BITS) - 1))
        });
        counts.sum()
    }
}

fn index(second: u64) -> usize {
    usize::try_from(second % KEPT as u64).expect("a small number")
}

/// What tells a second from others in the same slot. Never that of a slot nobody has used.
fn tag(second: u64) -> u64 {
    (second + 1) % (1 << (64 - COUNT_BITS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn retry(budget_share: f64, budget_min: u32) -> model::Retry {
        model::Retry {
            budget_share,
            budget_min,
            ..model::Retry::default()
        }
    }

    /// How many retries are granted at this time.
    fn granted(budget: &Budget, retry: &model::Retry, now: Duration) -> usize {
        (0..10_000)
            .take_while(|_| budget.withdraw(retry, now))
            .count()
    }

    #[test]
    fn a_share_of_the_last_ten_seconds_requests_may_be_made_again() {
        let (budget, retry) = (Budget::default(), retry(0.2, 0));
        for second in 0..20 {
            for _ in 0..100 {
                budget.deposit(Duration::from_secs(second));
            }
        }
        assert_eq!(granted(&budget, &retry, Duration::from_secs(19)), 200);
        assert_eq!(granted(&budget, &retry, Duration::from_secs(20)), 0);
    }

    #[test]
    fn without_requests_a_few_retries_may_be_made_still() {
        let (budget, retry) = (Budget::default(), retry(0.2, 3));
        assert_eq!(granted(&budget, &retry, Duration::ZERO), 30);
        assert_eq!(granted(&budget, &retry, Duration::from_secs(9)), 0);
        assert_eq!(granted(&budget, &retry, Duration::from_secs(10)), 30);
    }

    #[test]
    fn a_share_of_nothing_and_no_least_is_none() {
        let budget = Budget::default();
        budget.deposit(Duration::ZERO);
        assert!(!budget.withdraw(&retry(0.0, 0), Duration::ZERO));
    }

    #[test]
    fn threads_lose_no_request_and_grant_no_retry_too_many() {
        let (budget, retry) = (Budget::default(), retry(0.5, 0));
        let granted: usize = std::thread::scope(|scope| {
            let thread = || {
                (0..10_000)
                    .filter(|_| {
                        budget.deposit(Duration::ZERO);
                        budget.withdraw(&retry, Duration::ZERO)
                    })
                    .count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(thread)).collect();
            threads.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(budget.requests.sum(0), 40_000);
        assert!(granted <= 20_000, "{granted}");
    }

    /// What happens next in a schedule.
    #[derive(Debug, Clone, Copy)]
    enum Event {
        Requests(u16),
        Retries(u16),
        /// Milliseconds pass.
        Wait(u16),
        /// A retry by a thread whose clock lags by so many milliseconds.
        Late(u16),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0_u16..300).prop_map(Event::Requests),
            (0_u16..300).prop_map(Event::Retries),
            (0_u16..12_000).prop_map(Event::Wait),
            (0_u16..1000).prop_map(Event::Late),
        ]
    }

    proptest! {
        #[test]
        fn no_schedule_gets_more_retries_than_the_budget_says(
            share in 0.0_f64..=1.0,
            least in 0_u32..5,
            events in proptest::collection::vec(event(), 1..200),
        ) {
            let (budget, retry) = (Budget::default(), retry(share, least));
            let (mut now, mut seen) = (0_u64, 0);
            let (mut deposits, mut withdrawals): (Vec<u64>, Vec<u64>) = Default::default();
            let recent = |times: &[u64], now: u64| {
                times.iter().filter(|at| **at / 1000 + SECONDS > now / 1000).count() as f64
            };
            for event in events {
                let (retries, at) = match event {
                    Event::Wait(millis) => { now += u64::from(millis); (0, now) }
                    Event::Retries(count) => (count, now),
                    Event::Late(lag) => (1, now.saturating_sub(u64::from(lag))),
                    Event::Requests(count) => {
                        for _ in 0..count {
                            budget.deposit(Duration::from_millis(now));
                            deposits.push(now);
                        }
                        (0, now)
                    }
                };
                for _ in 0..retries {
                    seen = seen.max(at);
                    let bound = (share * recent(&deposits, seen)).max(f64::from(least) * 10.0);
                    let before = recent(&withdrawals, seen);
                    if budget.withdraw(&retry, Duration::from_millis(at)) {
                        prop_assert!(before < bound, "{} of {}", before + 1.0, bound);
                        withdrawals.push(seen);
                    } else if at == now {
                        prop_assert!(before + 1.0 > bound, "{} of {}", before, bound);
                    }
                }
            }
        }
    }
}
