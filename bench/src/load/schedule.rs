//! When requests fall due. Pure: times come from the caller.

use std::time::{Duration, Instant};

/// Where due times come from.
#[derive(Debug)]
pub(super) enum Schedule {
    /// A request is due whenever a connection is free.
    Closed,
    /// Requests are due at even distances, whatever became of the earlier ones.
    Open(Pace),
}

/// A fixed rate.
#[derive(Debug)]
pub(super) struct Pace {
    start: Instant,
    /// Seconds between two requests.
    interval: f64,
    /// Requests that were handed out.
    taken: u64,
}

impl Pace {
    /// So many requests a second from then on.
    pub(super) fn new(start: Instant, rate: f64) -> Self {
        Self {
            start,
            interval: 1.0 / rate,
            taken: 0,
        }
    }

    /// When the next request is due.
    pub(super) fn next_due(&self) -> Instant {
        self.start + Duration::from_secs_f64(self.taken as f64 * self.interval)
    }

    /// The due time of the next request, if it is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next_due();
        (due <= now).then(|| {
            self.taken += 1;
            due
        })
    }
}

impl Schedule {
    /// The time from which the next request's latency counts, if one may be sent now.
    pub(super) fn take(&mut self, now: Instant) -> Option<Instant> {
        match self {
            Self::Closed => Some(now),
            Self::Open(pace) => pace.take(now),
        }
    }

    /// How long each request that is due has been so, the oldest first.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<Duration> {
        match self {
            Self::Closed => Vec::new(),
            Self::Open(pace) => std::iter::from_fn(|| pace.take(now))
                .map(|due| now - due)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn requests_fall_due_at_even_distances() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 1000.0);
        assert_eq!(pace.take(start), Some(start));
        assert_eq!(pace.take(start), None);
        assert_eq!(
            pace.take(start + milliseconds(5)),
            Some(start + milliseconds(1))
        );
        assert_eq!(pace.next_due(), start + milliseconds(2));
    }

    #[test]
    fn a_stall_is_charged_to_every_request_that_fell_due_in_it() {
        let start = Instant::now();
        let mut schedule = Schedule::Open(Pace::new(start, 100.0));
        assert_eq!(schedule.take(start), Some(start));
        let waited = schedule.overdue(start + milliseconds(35));
        assert_eq!(
            waited,
            [milliseconds(25), milliseconds(15), milliseconds(5)]
        );
    }

    #[test]
    fn a_closed_loop_owes_nothing() {
        let now = Instant::now();
        assert_eq!(Schedule::Closed.take(now), Some(now));
        assert!(Schedule::Closed.overdue(now + milliseconds(100)).is_empty());
    }
}
