//! The table of faults: each row says how something breaks and heals, what is expected, and what must be true meanwhile.

mod balancers;
mod orchestrators;
mod redis;
mod ways;

use std::pin::Pin;
use std::time::Duration;

use crate::stage::{Setup, Stage};

pub(crate) use balancers::BALANCERS;
pub(crate) use orchestrators::ORCHESTRATORS;
pub(crate) use redis::REDIS;
pub(crate) use ways::WAYS;

/// What something does to the stage.
pub(crate) type Act = for<'a> fn(&'a mut Stage) -> Doing<'a>;
pub(crate) type Doing<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// What a fault takes hold of. Two faults go together where these differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Redis,
    Ways,
    Orchestrators,
    Balancers,
}

/// What becomes of the registry's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum History {
    /// It goes on.
    Kept,
    /// The registry lost its memory: an orchestrator restores it under a new epoch.
    Renewed,
}

/// One row.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// What is to happen, in one line.
    pub(crate) expected: &'static str,
    pub(crate) parts: &'static [Part],
    pub(crate) setup: Setup,
    /// How long it holds: in the short form, and in the long one.
    pub(crate) holds: (Duration, Duration),
    /// Whether membership changes already when it begins, or only from then on: where all that a process wrote to its disk counts, and
    /// that process is killed.
    pub(crate) writes_in_flight: bool,
    /// Whether every orchestrator is killed in it: where a registry then loses its memory, what they have on disk may be a tenth of a
    /// second old, and an operator decides.
    pub(crate) kills_orchestrators: bool,
    pub(crate) history: History,
    pub(crate) breaks: Act,
    /// What is done to it again and again while it holds.
    pub(crate) again: Option<Act>,
    /// What must come true while it holds, if nothing else is broken.
    pub(crate) during: Act,
    pub(crate) heals: Act,
    /// Requests that may fail, and why: none but those of the clients of a balancer that the fault itself took away.
    pub(crate) failures: Option<&'static str>,
}

const fn seconds(short: u64, long: u64) -> (Duration, Duration) {
    (Duration::from_secs(short), Duration::from_secs(long))
}

/// A row that breaks nothing, for the others to differ from.
const NOTHING: Fault = Fault {
    name: "",
    expected: "",
    parts: &[],
    setup: Setup {
        sentinels: false,
        clock: None,
        small_disk: false,
    },
    holds: seconds(3, 5),
    writes_in_flight: true,
    kills_orchestrators: false,
    history: History::Kept,
    breaks: |_| Box::pin(async move {}),
    again: None,
    during: |_| Box::pin(async move {}),
    heals: |_| Box::pin(async move {}),
    failures: None,
};

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Fault> {
    REDIS
        .iter()
        .chain(WAYS)
        .chain(ORCHESTRATORS)
        .chain(BALANCERS)
}

impl Fault {
    /// Whether two can hold at once, and an end be expected that needs no operator.
    pub(crate) fn goes_with(&self, other: &Self) -> bool {
        let apart = self.parts.iter().all(|part| !other.parts.contains(part));
        let clocks = self.setup.clock.is_none() || other.setup.clock.is_none();
        let forgets = |fault: &Self| fault.history == History::Renewed;
        let decided = (forgets(self) && other.kills_orchestrators)
            || (forgets(other) && self.kills_orchestrators);
        // Sentinels say where Redis is: no way leads past a proxy there.
        let ways =
            |one: &Self, other: &Self| one.setup.sentinels && other.parts.contains(&Part::Ways);
        apart && clocks && !decided && !ways(self, other) && !ways(other, self)
    }
}
