//! How long revisions take from their commit until every worker of this balancer has applied them.
//!
//! A revision carries when it was committed, by the registry's clock, and the registry's clock is known here from the answers to this
//! balancer's reports: no wall clock of any host is asked. What is measured is wrong by as much as that is, at most: by half of
//! the quickest round trip among the last reports.

use std::collections::VecDeque;
use std::time::Duration;

use model::{Moment, Origin, Position, Revision};
use parking_lot::Mutex;
use prometheus_client::metrics::histogram::Histogram;
use registry::{RegistryClock, View};

/// The upper bounds of the buckets, in seconds.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// How many revisions are kept that are not applied yet. Of more, the oldest are not counted.
const UNDER_WAY_MAX: usize = 4096;

/// What is measured, and by which clock. Times are since this balancer's start.
#[derive(Debug)]
pub(crate) struct Propagation {
    clock: Mutex<RegistryClock>,
    seconds: Histogram,
}

impl Propagation {
    pub(crate) fn new() -> Self {
        Self {
            clock: Mutex::default(),
            seconds: Histogram::new(BUCKETS),
        }
    }

    /// Clones count together.
    pub(crate) fn seconds(&self) -> Histogram {
        self.seconds.clone()
    }

    /// By how much what is measured may be wrong; nothing before the registry has answered.
    pub(crate) fn error(&self) -> Option<Duration> {
        self.clock.lock().error()
    }

    /// Takes the registry's time from an answer.
    pub(super) fn hear(&self, sent: Duration, shown: Moment, arrived: Duration) {
        self.clock.lock().hear(sent, shown, arrived);
    }

    /// These have been applied by now.
    fn applied(&self, committed: impl Iterator<Item = Moment>, now: Duration) {
        let Some(now) = self.clock.lock().at(now) else {
            return;
        };
        for committed in committed {
            self.seconds.observe(now.since(committed).as_secs_f64());
        }
    }
}

/// Revisions that were followed and are not applied yet.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    /// Where the registry stood when this was looked at last.
    seen: Option<Position>,
    commits: VecDeque<(Revision, Moment)>,
}

impl UnderWay {
    /// Takes in what has come since the last time. What was there at the first time may be older than this balancer, and what
    /// came as a whole state says nothing of single revisions.
    pub(super) fn take(&mut self, view: &View) {
        let Some(present) = view.registry_position else {
            return;
        };
        if view.origin != Origin::Registry {
            return;
        }
        let seen = self.seen.replace(present);
        let is_later =
            |seen: &Position| seen.epoch == present.epoch && seen.revision <= present.revision;
        let Some(seen) = seen.filter(is_later) else {
            return self.commits.clear();
        };
        let dated = view.dated.iter().copied();
        self.commits
            .extend(dated.filter(|(revision, _)| *revision > seen.revision));
        let surplus = self.commits.len().saturating_sub(UNDER_WAY_MAX);
        self.commits.drain(..surplus);
    }

    /// A table of this position is everywhere.
    pub(super) fn settle(&mut self, position: Position, propagation: &Propagation, now: Duration) {
        let is_known = self.seen.is_some_and(|seen| seen.epoch == position.epoch);
        let commits = self.commits.iter();
        let applied =
            commits.take_while(|(revision, _)| is_known && *revision <= position.revision);
        let applied = applied.count();
        if applied > 0 {
            let committed = self
                .commits
                .drain(..applied)
                .map(|(_, committed)| committed);
            propagation.applied(committed, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Epoch, RevisionId};

    use super::*;

    /// What the registry's clock shows at this balancer's start.
    const START: u64 = 1_764_133_200_000_000;

    fn at(epoch: Epoch, revision: u64) -> Position {
        Position {
            epoch,
            revision: Revision(revision),
            id: RevisionId::random(),
        }
    }

    /// The registry as it is followed at revision `to`, of which the last ones were each committed a millisecond after the other.
    fn view(epoch: Epoch, to: u64, dated: std::ops::RangeInclusive<u64>) -> View {
        let dated = dated.map(|revision| (Revision(revision), Moment(START + revision * 1_000)));
        View {
            origin: Origin::Registry,
            registry_position: Some(at(epoch, to)),
            dated: dated.collect(),
            ..View::default()
        }
    }

    fn propagation() -> Propagation {
        let propagation = Propagation::new();
        propagation.hear(Duration::ZERO, Moment(START), Duration::ZERO);
        propagation
    }

    fn counted(propagation: &Propagation) -> (u64, f64) {
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register("seconds", "Seconds", propagation.seconds());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let value = line.expect("a line").trim();
            value.parse::<f64>().expect("a number")
        };
        (value("seconds_count") as u64, value("seconds_sum"))
    }

    #[test]
    fn each_revision_is_counted_once_it_is_everywhere() {
        let (epoch, propagation) = (Epoch::random(), propagation());
        let mut under_way = UnderWay::default();
        under_way.take(&view(epoch, 5, 1..=5));
        under_way.take(&view(epoch, 8, 1..=8));
        under_way.settle(at(epoch, 5), &propagation, Duration::from_millis(10));
        assert_eq!(
            counted(&propagation).0,
            0,
            "older than this balancer's table"
        );
        under_way.settle(at(epoch, 7), &propagation, Duration::from_millis(10));
        let (count, sum) = counted(&propagation);
        assert_eq!(count, 2);
        assert!((sum - 0.007).abs() < 1e-4, "4 ms and 3 ms: {sum}");
        under_way.take(&view(epoch, 8, 1..=8));
        under_way.settle(at(epoch, 8), &propagation, Duration::from_millis(10));
        assert_eq!(counted(&propagation).0, 3);
    }

    #[test]
    fn another_history_has_nothing_under_way() {
        let (epoch, propagation) = (Epoch::random(), propagation());
        let mut under_way = UnderWay::default();
        under_way.take(&view(epoch, 5, 1..=5));
        under_way.take(&view(epoch, 8, 1..=8));
        let other = Epoch::random();
        under_way.take(&view(other, 9, 9..=9));
        under_way.settle(at(other, 9), &propagation, Duration::from_millis(10));
        under_way.settle(at(epoch, 8), &propagation, Duration::from_millis(10));
        assert_eq!(counted(&propagation).0, 0);
    }

    #[test]
    fn what_seems_to_come_from_the_future_took_no_time() {
        let (epoch, propagation) = (Epoch::random(), propagation());
        let mut under_way = UnderWay::default();
        under_way.take(&view(epoch, 1, 1..=1));
        under_way.take(&view(epoch, 50, 50..=50));
        under_way.settle(at(epoch, 50), &propagation, Duration::from_millis(10));
        assert_eq!(counted(&propagation), (1, 0.0));
    }
}
