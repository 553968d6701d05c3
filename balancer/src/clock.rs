//! A thread's clock: read once a tick, so that a deadline costs no system call.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

use crate::codec::HttpDate;

/// A moment, in milliseconds since the balancer started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub(crate) u64);

impl Millis {
    pub(crate) const ZERO: Self = Self(0);
    /// Later than everything.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// As a time since the balancer started.
    pub(crate) fn since_start(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

pub(crate) struct Clock {
    started: Instant,
    now: Cell<Millis>,
    /// Milliseconds since 1970.
    unix_millis: Cell<u64>,
    /// The second that `date` shows, and its text.
    date: Cell<(u64, HttpDate)>,
}

impl Clock {
    /// All threads count from when the balancer started.
    pub(crate) fn new(started: Instant) -> Self {
        let clock = Self {
            started,
            now: Cell::new(Millis::ZERO),
            unix_millis: Cell::new(0),
            date: Cell::new((0, HttpDate::at(SystemTime::now()))),
        };
        clock.advance();
        clock
    }

    /// The time of the last tick.
    pub(crate) fn now(&self) -> Millis {
        self.now.get()
    }

    /// The time of the last tick by the wall clock, in milliseconds since 1970.
    pub(crate) fn unix_millis(&self) -> u64 {
        self.unix_millis.get()
    }

    /// The text of the present second.
    pub(crate) fn date(&self) -> HttpDate {
        self.date.get().1
    }

    /// Makes it this moment.
    #[cfg(test)]
    pub(crate) fn set(&self, now: Millis) {
        self.now.set(now);
    }

    /// Reads the system's clocks.
    pub(crate) fn advance(&self) -> Millis {
        let now = Millis::ZERO.after(self.started.elapsed());
        self.now.set(now);
        let wall = SystemTime::now();
        let since = wall.duration_since(SystemTime::UNIX_EPOCH);
        let since = since.unwrap_or_default();
        self.unix_millis
            .set(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        let second = since.as_secs();
        if self.date.get().0 != second {
            self.date.set((second, HttpDate::at(wall)));
        }
        now
    }
}
