//! How long somebody has been silent, whatever becomes of the registry's wall clock.
//!
//! An age by the registry's clock is an hour too long where that was set forward since the last report. So a
//! silence counts from when it was first seen, and grows no faster than the observer's own clock.

use std::collections::BTreeMap;
use std::time::Duration;

/// The silences of all who report, as one observer knows them.
#[derive(Debug, Clone)]
pub struct Silences<K> {
    known: BTreeMap<K, Duration>,
    at: Duration,
}

impl<K: Ord> Default for Silences<K> {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            at: Duration::ZERO,
        }
    }
}

impl<K: Ord> Silences<K> {
    /// Takes how long ago each reported, by the registry's clock. `now` is on the observer's own, monotonic one.
    pub fn observe(&mut self, ages: impl IntoIterator<Item = (K, Duration)>, now: Duration) {
        let known = std::mem::take(&mut self.known);
        let passed = now.saturating_sub(self.at);
        let silence = |(key, age): (K, Duration)| {
            let at_most = known
                .get(&key)
                .map_or(Duration::ZERO, |known| *known + passed);
            (key, age.min(at_most))
        };
        self.known = ages.into_iter().map(silence).collect();
        self.at = now;
    }

    /// How long somebody has been silent for certain.
    pub fn of(&self, key: &K) -> Duration {
        self.known.get(key).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3_600);

    /// What is known of one, after ages that were observed at these seconds.
    fn silence(observed: &[(u32, Duration)]) -> Duration {
        let mut silences = Silences::default();
        for (at, age) in observed {
            silences.observe([("one", *age)], SECOND * *at);
        }
        silences.of(&"one")
    }

    #[test]
    fn a_silence_counts_from_when_it_was_first_seen() {
        assert_eq!(silence(&[(7, SECOND * 5)]), Duration::ZERO);
        let observed = [(7, SECOND * 5), (9, SECOND * 7)];
        assert_eq!(silence(&observed), SECOND * 2);
    }

    #[test]
    fn a_report_ends_it() {
        let observed = [(0, SECOND), (60, SECOND * 61), (65, SECOND * 2)];
        assert_eq!(silence(&observed), SECOND * 2);
    }

    #[test]
    fn a_clock_that_is_set_forward_makes_nobody_silent_and_one_set_back_nobody_for_good() {
        let forward = [(0, SECOND), (5, HOUR + SECOND * 6)];
        assert_eq!(silence(&forward), SECOND * 5);
        let back = [(0, SECOND * 2), (5, Duration::ZERO), (605, SECOND * 600)];
        assert_eq!(silence(&back), SECOND * 600);
    }

    #[test]
    fn who_is_gone_is_not_kept() {
        let mut silences = Silences::default();
        silences.observe([("one", SECOND)], Duration::ZERO);
        silences.observe([], SECOND);
        assert!(silences.known.is_empty());
        assert_eq!(silences.of(&"one"), Duration::ZERO);
    }
}
