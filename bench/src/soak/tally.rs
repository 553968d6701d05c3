//! What clients saw: how many requests of each kind, how they ended, and how long they took.

use hdrhistogram::Histogram;

use super::chaos::Troubles;

/// Failures that are told in full, at most.
const EXAMPLES_MAX: usize = 20;

/// The longest time that is told from longer ones, in microseconds.
const LATENCY_MAX_US: u64 = 300_000_000;

/// A request's kind, by what may be done where it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It can be sent again: a method that is idempotent, with a body of bounded size or none.
    Repeatable,
    /// It can only be sent again where nothing of it had been sent.
    Once,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    Answered,
    /// The balancer answered for a server, with this reason; none where an answer that is not 200 has none.
    Refused {
        status: u16,
        reason: Option<String>,
    },
    /// The balancer's connection broke.
    Broken(String),
}

/// Ends that are counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) answered: u64,
    /// Failed although it need not have.
    pub(super) unforced: u64,
    /// Failed once it had been sent to a server, and could not be sent again.
    pub(super) forced: u64,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) repeatable: Counts,
    pub(super) once: Counts,
    pub(super) troubles: Troubles,
    /// Some of what failed although it need not have.
    pub(super) examples: Vec<String>,
    /// In microseconds, of what was answered.
    pub(super) latencies: Histogram<u64>,
}

/// Reasons by which the balancer says that no byte of the request went to a server.
const NOTHING_SENT: [&str; 8] = [
    "server-connect-failed",
    "no-server-available",
    "no-pool",
    "queue-full",
    "queue-timeout",
    "circuit-open",
    "too-many-connections",
    "too-many-connections-of-client",
];

impl Default for Tally {
    fn default() -> Self {
        Self {
            repeatable: Counts::default(),
            once: Counts::default(),
            troubles: Troubles::new(),
            examples: Vec::new(),
            latencies: Histogram::new_with_max(LATENCY_MAX_US, 3)
                .expect("three digits up to minutes are possible"),
        }
    }
}

impl Tally {
    pub(super) fn count(&mut self, kind: Kind, ending: &Ending, took_us: u64) {
        let counts = match kind {
            Kind::Repeatable => &mut self.repeatable,
            Kind::Once => &mut self.once,
        };
        if *ending == Ending::Answered {
            counts.answered += 1;
            self.latencies.saturating_record(took_us);
        } else if kind == Kind::Repeatable || !ending.was_sent() {
            counts.unforced += 1;
            if self.examples.len() < EXAMPLES_MAX {
                self.examples
                    .push(format!("{kind:?}, after {took_us} us: {ending:?}"));
            }
        } else {
            counts.forced += 1;
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        for (mine, theirs) in [
            (&mut self.repeatable, &other.repeatable),
            (&mut self.once, &other.once),
        ] {
            mine.answered += theirs.answered;
            mine.unforced += theirs.unforced;
            mine.forced += theirs.forced;
        }
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES_MAX);
        self.latencies
            .add(&other.latencies)
            .expect("both have the same bounds");
    }

    /// Requests that failed although they need not have.
    pub(super) fn unforced(&self) -> u64 {
        self.repeatable.unforced + self.once.unforced
    }

    /// For whoever watches.
    pub(super) fn summary(&self) -> String {
        let lines = [
            format!("repeatable: {:?}", self.repeatable),
            format!("once: {:?}", self.once),
            format!("{:?}", self.troubles),
        ];
        lines
            .into_iter()
            .chain(self.examples.iter().cloned())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl Ending {
    /// Whether a server may have got some of it. A connection that the balancer breaks says nothing, nor does an answer
    /// without a reason, which counts against it.
    fn was_sent(&self) -> bool {
        match self {
            Self::Answered => true,
            Self::Refused {
                reason: Some(reason),
                ..
            } => !NOTHING_SENT.contains(&reason.as_str()),
            Self::Refused { reason: None, .. } | Self::Broken(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: &str) -> Ending {
        Ending::Refused {
            status: 502,
            reason: Some(reason.into()),
        }
    }

    #[test]
    fn a_repeatable_request_need_never_fail() {
        let mut tally = Tally::default();
        tally.count(Kind::Repeatable, &refused("server-connection-lost"), 1);
        tally.count(Kind::Repeatable, &Ending::Answered, 1);
        assert_eq!(
            (tally.repeatable.unforced, tally.repeatable.answered),
            (1, 1)
        );
        assert_eq!(tally.examples.len(), 1);
    }

    #[test]
    fn any_other_may_fail_once_it_was_sent_and_only_then() {
        let mut tally = Tally::default();
        tally.count(Kind::Once, &refused("server-connection-lost"), 1);
        tally.count(Kind::Once, &refused("server-connect-failed"), 1);
        tally.count(Kind::Once, &Ending::Broken("closed".into()), 1);
        assert_eq!((tally.once.forced, tally.once.unforced), (1, 2));
        assert_eq!(tally.unforced(), 2);
    }

    #[test]
    fn a_long_wait_is_not_cut_short() {
        let mut all = Tally::default();
        all.count(Kind::Repeatable, &Ending::Answered, 5_000_000);
        assert!(all.latencies.max() >= 5_000_000);
    }

    #[test]
    fn tallies_add_up() {
        let mut all = Tally::default();
        for took in [10, 20] {
            let mut one = Tally::default();
            one.count(Kind::Repeatable, &Ending::Answered, took);
            one.count(Kind::Once, &Ending::Broken("closed".into()), took);
            all.add(one);
        }
        assert_eq!((all.repeatable.answered, all.once.unforced), (2, 2));
        assert_eq!((all.examples.len(), all.latencies.len()), (2, 2));
    }
}
