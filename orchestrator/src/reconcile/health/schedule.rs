//! Which server is probed when: spread over the interval by the server's name, varied by chance.
//!
//! Each server has a grid of its own, one slot an interval, at a phase that is a hash of its key; so the
//! probes of a fleet neither come in bursts nor drift into them, and nobody has to keep count of anybody.
//! Times are since an anchor that the caller chooses.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use model::{HealthCheck, ServerKey};

/// When each server is due, and who is next.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    queue: BTreeSet<(Duration, ServerKey)>,
    times: HashMap<ServerKey, Duration>,
}

impl Schedule {
    pub(super) fn set(&mut self, key: &ServerKey, at: Duration) {
        self.remove(key);
        self.times.insert(key.clone(), at);
        self.queue.insert((at, key.clone()));
    }

    pub(super) fn remove(&mut self, key: &ServerKey) {
        if let Some(entry) = self.times.remove_entry(key) {
            self.queue.remove(&(entry.1, entry.0));
        }
    }

    /// When the first one is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes out one that is due.
    pub(super) fn pop(&mut self, now: Duration) -> Option<ServerKey> {
        self.queue.first().filter(|(at, _)| *at <= now)?;
        let (_, key) = self.queue.pop_first()?;
        self.times.remove(&key);
        Some(key)
    }
}

/// One turn on a server's grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) number: u64,
    pub(super) at: Duration,
}

impl Slot {
    /// The first turn of a server that need not be probed at once.
    pub(super) fn first(key: &ServerKey, check: &HealthCheck, now: Duration, chance: f64) -> Self {
        let since = now.saturating_sub(phase(key, check.interval));
        let number = since.as_nanos().div_ceil(check.interval.as_nanos());
        Self::numbered(number, key, check, now, chance)
    }

    /// The turn after that of `number`. Turns that were missed meanwhile are made up by a single one.
    pub(super) fn after(
        number: u64,
        key: &ServerKey,
        check: &HealthCheck,
        now: Duration,
        chance: f64,
    ) -> Self {
        let since = now.saturating_sub(phase(key, check.interval));
        let present = since.as_nanos() / check.interval.as_nanos();
        let next = present.max(u128::from(number) + 1);
        Self::numbered(next, key, check, now, chance)
    }

    /// `chance` is from 0 to 1 and moves the turn by up to half the jitter to either side.
    fn numbered(
        number: u128,
        key: &ServerKey,
        check: &HealthCheck,
        now: Duration,
        chance: f64,
    ) -> Self {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        let turns = u32::try_from(number).unwrap_or(u32::MAX);
        let centre = phase(key, check.interval) + check.interval.saturating_mul(turns);
        let spread = check.interval.mul_f64(check.jitter);
        let at = (centre + spread.mul_f64(chance)).saturating_sub(spread / 2);
        Self {
            number,
            at: at.max(now),
        }
    }
}

/// A server's place within the interval: the same in every orchestrator, and even over many servers.
fn phase(key: &ServerKey, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    // The upper half of the hash as a fraction of one.
    let fraction = f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or(0)) / 2_f64.powi(32);
    interval.mul_f64(fraction)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(number: usize) -> ServerKey {
        format!("default/s{number}").parse().expect("a key")
    }

    fn check(interval: Duration, jitter: f64) -> HealthCheck {
        HealthCheck {
            interval,
            jitter,
            ..HealthCheck::default()
        }
    }

    #[test]
    fn who_is_due_first_comes_first_and_only_once() {
        let mut schedule = Schedule::default();
        schedule.set(&key(1), 3 * SECOND);
        schedule.set(&key(2), 2 * SECOND);
        schedule.set(&key(1), SECOND);
        schedule.set(&key(3), SECOND);
        schedule.remove(&key(3));
        assert_eq!(schedule.next(), Some(SECOND));
        assert_eq!(schedule.pop(SECOND / 2), None);
        assert_eq!(schedule.pop(SECOND), Some(key(1)));
        assert_eq!(schedule.pop(SECOND), None);
        assert_eq!(schedule.pop(2 * SECOND), Some(key(2)));
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn a_thousand_servers_are_spread_over_the_interval() {
        let check = check(2 * SECOND, 0.1);
        let mut tenths = [0; 10];
        for number in 0..1000 {
            let slot = Slot::first(&key(number), &check, Duration::ZERO, 0.5);
            assert!(slot.at < check.interval);
            tenths[(slot.at.as_millis() / 200) as usize] += 1;
        }
        assert!(
            tenths.iter().all(|count| (60..=140).contains(count)),
            "{tenths:?}"
        );
    }

    #[test]
    fn without_jitter_a_server_is_probed_once_an_interval_at_its_own_time() {
        let check = check(2 * SECOND, 0.0);
        let mut slot = Slot::first(&key(7), &check, 100 * SECOND, 0.3);
        for _ in 0..50 {
            let next = Slot::after(slot.number, &key(7), &check, slot.at, 0.9);
            assert_eq!(next.at - slot.at, check.interval);
            slot = next;
        }
    }

    #[test]
    fn turns_missed_are_made_up_by_one() {
        let check = check(SECOND, 0.0);
        let first = Slot::first(&key(7), &check, Duration::ZERO, 0.5);
        let late = first.at + 10 * SECOND + SECOND / 2;
        let made_up = Slot::after(first.number, &key(7), &check, late, 0.5);
        assert_eq!(made_up.at, late);
        let next = Slot::after(made_up.number, &key(7), &check, late, 0.5);
        assert_eq!(next.at, first.at + 11 * SECOND);
    }

    proptest! {
        #[test]
        fn jitter_moves_turns_but_neither_loses_nor_adds_any(
            number in 0_usize..1000,
            jitter in 0.0_f64..=1.0,
            start in 0_u64..1_000_000,
            chances in proptest::collection::vec(0.0_f64..=1.0, 1..50),
        ) {
            let check = check(2 * SECOND, jitter);
            let start = Duration::from_millis(start);
            let mut slot = Slot::first(&key(number), &check, start, 0.5);
            let first = slot;
            for (turn, chance) in (1_u32..).zip(&chances) {
                let next = Slot::after(slot.number, &key(number), &check, slot.at, *chance);
                prop_assert!(next.at >= slot.at);
                let due = first.at + check.interval * turn;
                let off = next.at.abs_diff(due);
                prop_assert!(off <= check.interval, "{off:?} off");
                slot = next;
            }
            prop_assert_eq!(slot.number - first.number, chances.len() as u64);
        }
    }
}
