//! For how long this balancer has been cut off from the registry, and whether that is longer than `--stale-limit` lets it be.
//!
//! Cut off is who does not know whether the state that it works by is the registry's: nothing is heard on the connection on which it
//! follows, or what was heard is in doubt and cannot be read. That counts from when the registry was last heard, and for one that was never
//! in touch, from its start. Time is an argument.

use std::time::Duration;

use registry::View;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Staleness {
    limit: Option<Duration>,
    cut_off_since: Option<Instant>,
}

impl Staleness {
    /// Of a balancer that starts now; without a limit it is never stale.
    pub(super) fn new(limit: Option<Duration>, started: Instant) -> Self {
        Self {
            limit,
            cut_off_since: Some(started),
        }
    }

    /// Takes in whether the registry is followed.
    pub(super) fn note(&mut self, view: &View) {
        self.cut_off_since = match view.current {
            true => None,
            // It may have been in touch between the two views that were seen.
            false => self.cut_off_since.max(view.current_until),
        };
    }

    /// From when on it is stale, unless the registry is followed before.
    pub(super) fn due(&self) -> Option<Instant> {
        self.cut_off_since?.checked_add(self.limit?)
    }

    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| due <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn cut_off(until: Option<Instant>) -> View {
        View {
            current_until: until,
            ..View::default()
        }
    }

    fn in_touch() -> View {
        View {
            current: true,
            ..View::default()
        }
    }

    #[test]
    fn one_that_was_never_in_touch_counts_from_its_start() {
        let start = Instant::now();
        let mut staleness = Staleness::new(Some(LIMIT), start);
        staleness.note(&cut_off(None));
        assert!(!staleness.is_stale(start + LIMIT - Duration::from_millis(1)));
        assert!(staleness.is_stale(start + LIMIT));
    }

    #[test]
    fn one_that_was_in_touch_counts_from_when_the_registry_was_last_heard() {
        let start = Instant::now();
        let mut staleness = Staleness::new(Some(LIMIT), start);
        staleness.note(&in_touch());
        assert_eq!(staleness.due(), None);
        let heard = start + 3 * LIMIT;
        staleness.note(&cut_off(Some(heard)));
        staleness.note(&cut_off(Some(heard)));
        assert_eq!(staleness.due(), Some(heard + LIMIT));
        staleness.note(&in_touch());
        assert!(!staleness.is_stale(heard + 9 * LIMIT));
    }

    #[test]
    fn a_touch_between_two_views_counts() {
        let start = Instant::now();
        let mut staleness = Staleness::new(Some(LIMIT), start);
        let heard = start + LIMIT / 2;
        staleness.note(&cut_off(Some(heard)));
        assert_eq!(staleness.due(), Some(heard + LIMIT));
    }

    #[test]
    fn without_a_limit_it_never_is() {
        let start = Instant::now();
        let staleness = Staleness::new(None, start);
        assert!(!staleness.is_stale(start + Duration::from_secs(1 << 30)));
    }
}
