//! What the registry's clock shows, as a process knows it from the answers that carry its time.
//!
//! No host's wall clock is read. Each answer gives the registry's time at some moment between the request's
//! sending and its arrival, on the process's own monotonic clock: the two clocks differ by no less and no more than that
//! allows. Of the last answers the quickest counts, so that the error is at most half of its round trip, and what the two clocks
//! drift apart within those few answers.

use std::collections::VecDeque;
use std::time::Duration;

use model::Moment;

/// Of how many answers the quickest counts. At a report a second, that is how long a drift may add up.
const ANSWERS: usize = 16;

/// By how much two clocks may drift apart within so many answers, generously. Where answers disagree by more, the registry's clock was set,
/// or it is another registry's.
const DRIFT: i64 = 1_000;

/// Bounds of what the registry's clock is ahead of one's own, in microseconds.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    least: i64,
    most: i64,
}

impl Bounds {
    fn width(self) -> i64 {
        self.most - self.least
    }

    fn contradict(self, other: Self) -> bool {
        self.least > other.most + DRIFT || other.least > self.most + DRIFT
    }
}

/// The estimate. Times are durations on one monotonic clock of the process.
#[derive(Debug, Clone, Default)]
pub struct RegistryClock {
    answers: VecDeque<Bounds>,
}

impl RegistryClock {
    /// Takes an answer that showed this time.
    pub fn hear(&mut self, sent: Duration, shown: Moment, arrived: Duration) {
        let shown = i64::try_from(shown.0).unwrap_or(i64::MAX / 2);
        let bounds = Bounds {
            least: shown - microseconds(arrived),
            // What is shown leaves out what is less than a microsecond.
            most: shown + 1 - microseconds(sent),
        };
        if self
            .quickest()
            .is_some_and(|known| known.contradict(bounds))
        {
            self.answers.clear();
        }
        if self.answers.len() == ANSWERS {
            self.answers.pop_front();
        }
        self.answers.push_back(bounds);
    }

    /// What the registry's clock shows, about. Nothing before the first answer.
    pub fn at(&self, now: Duration) -> Option<Moment> {
        let bounds = self.quickest()?;
        let ahead = bounds.least + bounds.width() / 2;
        let shown = u64::try_from(microseconds(now) + ahead);
        shown.ok().map(Moment)
    }

    /// By how much that may be wrong, but for a drift.
    pub fn error(&self) -> Option<Duration> {
        let half = self.quickest()?.width() / 2 + 1;
        u64::try_from(half).ok().map(Duration::from_micros)
    }

    fn quickest(&self) -> Option<Bounds> {
        let answers = self.answers.iter().copied();
        answers.min_by_key(|bounds| bounds.width())
    }
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the registry's clock is ahead of the process's, in microseconds.
    const AHEAD: u64 = 1_764_133_200_000_000;

    /// Hears an answer that took these times there and back, and says when it arrived.
    fn heard(clock: &mut RegistryClock, sent: u64, there: u64, back: u64, ahead: u64) -> u64 {
        let (read, arrived) = (sent + there, sent + there + back);
        let micros = Duration::from_micros;
        clock.hear(micros(sent), Moment(read + ahead), micros(arrived));
        arrived
    }

    fn off_by(clock: &RegistryClock, now: u64, ahead: u64) -> Duration {
        let shown = clock.at(Duration::from_micros(now)).expect("an answer");
        Duration::from_micros(shown.0.abs_diff(now + ahead))
    }

    #[test]
    fn nothing_is_known_before_the_first_answer() {
        let clock = RegistryClock::default();
        assert_eq!(
            (clock.at(Duration::from_secs(1)), clock.error()),
            (None, None)
        );
    }

    #[test]
    fn a_slow_answer_after_a_quick_one_makes_nothing_worse() {
        let mut clock = RegistryClock::default();
        heard(&mut clock, 0, 100, 100, AHEAD);
        let error = clock.error();
        let now = heard(&mut clock, 1_000_000, 5, 900_000, AHEAD);
        assert_eq!(clock.error(), error);
        assert!(off_by(&clock, now, AHEAD) <= Duration::from_micros(101));
    }

    #[test]
    fn the_quickest_answer_is_forgotten_before_clocks_have_drifted_far() {
        let mut clock = RegistryClock::default();
        heard(&mut clock, 0, 1, 1, AHEAD);
        for second in 1..=ANSWERS as u64 {
            heard(&mut clock, second * 1_000_000, 100, 100, AHEAD);
        }
        assert_eq!(clock.error(), Some(Duration::from_micros(101)));
    }

    proptest! {
        #[test]
        fn the_error_is_never_more_than_half_of_the_quickest_round_trip(
            trips in prop::collection::vec((0..5_000_u64, 0..5_000_u64, 0..2_000_000_u64), 1..50),
        ) {
            let mut clock = RegistryClock::default();
            let mut now = 0;
            for (there, back, pause) in trips {
                now = heard(&mut clock, now + pause, there, back, AHEAD);
                let error = clock.error().expect("an answer");
                prop_assert!(error <= Duration::from_micros((there + back) / 2 + 2));
                prop_assert!(off_by(&clock, now, AHEAD) <= error);
            }
        }

        #[test]
        fn a_registrys_clock_that_was_set_is_known_from_the_next_answer_on(
            before in prop::collection::vec((0..500_u64, 0..500_u64), 1..30),
            hours in 1..3_u64,
            forward in any::<bool>(),
            (there, back) in (0..5_000_u64, 0..5_000_u64),
        ) {
            let mut clock = RegistryClock::default();
            let mut now = 0;
            for (there, back) in before {
                now = heard(&mut clock, now + 1_000_000, there, back, AHEAD);
            }
            let hours = hours * 3_600_000_000;
            let ahead = if forward { AHEAD + hours } else { AHEAD - hours };
            now = heard(&mut clock, now + 1_000_000, there, back, ahead);
            prop_assert!(off_by(&clock, now, ahead) <= clock.error().expect("an answer"));
        }
    }
}
