//! Inspects every server of every pool while this orchestrator leads, and writes what changed.
//!
//! One loop owns the inspection; probes and the one commit under way are its only tasks. What to probe
//! and what to write is decided by the pure `inspector`; this drives it over the clock and the network.

mod inspector;
mod probing;
mod schedule;
mod writing;

use std::collections::BTreeSet;
use std::time::Duration;

use model::{ServerKey, Suspicion};
use probe::Failure;
use rand::rngs::SmallRng;
use registry::Leadership;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::fleet::{Fleet, Tenure};
use inspector::Inspector;
use probing::{Probed, Probing};
use writing::{Writing, Written};

/// How often everything is looked at anew where nothing announced itself.
const PERIOD: Duration = Duration::from_secs(1);

/// How long a new leader waits for its copy of the state to show its predecessor's last verdicts.
const CATCHING_UP: Duration = Duration::from_secs(5);

/// Where the inspection hears of servers that may have failed.
pub(crate) struct Hints {
    pub(crate) suspicions: mpsc::Receiver<Suspicion>,
    pub(crate) lapsed: watch::Receiver<BTreeSet<ServerKey>>,
}

/// The inspection.
pub(crate) struct Inspection {
    fleet: Fleet,
    hints: Hints,
    inspector: Inspector,
    probing: Probing,
    writing: Writing,
    /// The leadership that the inspection is of, and whether it has begun.
    leadership: Option<Leadership>,
    begun: bool,
    since: Instant,
    /// Whether there may be verdicts to write: finding them takes a look at every server.
    unwritten: bool,
    anchor: Instant,
    random: SmallRng,
}

impl Inspection {
    pub(crate) fn new(fleet: Fleet, hints: Hints, concurrency: usize) -> Self {
        Self {
            writing: Writing::new(fleet.clone()),
            fleet,
            hints,
            inspector: Inspector::default(),
            probing: Probing::new(concurrency),
            leadership: None,
            begun: false,
            since: Instant::now(),
            unwritten: false,
            anchor: Instant::now(),
            random: rand::make_rng(),
        }
    }

    /// Inspects until `stop`, whenever this orchestrator leads.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut period = interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next_due = self.next_due();
            tokio::select! {
                () = stop.cancelled() => return,
                _ = period.tick() => self.look(),
                Ok(()) = self.fleet.views.changed() => self.look(),
                Ok(()) = self.fleet.tenure.changed() => self.look(),
                Ok(()) = self.hints.lapsed.changed() => self.look(),
                Some(suspicion) = self.hints.suspicions.recv() => self.suspect(&suspicion),
                probed = self.probing.next() => self.take_in(probed),
                written = self.writing.next() => self.record(written.as_ref()),
                () = due(next_due) => {}
            }
            self.launch();
            if self.unwritten {
                self.unwritten = self.writing.begin(|| self.inspector.unwritten());
            }
        }
    }

    /// Takes in whether this one leads, what the fleet is now, and who missed a renewal.
    fn look(&mut self) {
        self.unwritten = true;
        let tenure = *self.fleet.tenure.borrow_and_update();
        let leadership = tenure.map(|tenure| tenure.leadership);
        if self.leadership != leadership {
            self.restart(leadership);
        }
        if let Some(tenure) = tenure {
            self.sync(&tenure);
        }
    }

    fn restart(&mut self, leadership: Option<Leadership>) {
        self.leadership = leadership;
        self.begun = false;
        self.since = Instant::now();
        self.inspector.clear();
        self.probing.abandon();
        self.writing.abandon();
        self.fleet.metrics.inspected.set(0);
    }

    fn sync(&mut self, tenure: &Tenure) {
        self.fleet.views.mark_unchanged();
        let Some(snapshot) = self.fleet.snapshot(&tenure.leadership) else {
            return;
        };
        let caught_up = snapshot.position.revision >= tenure.since.revision;
        self.begun |= caught_up || self.since.elapsed() > CATCHING_UP;
        if !self.begun {
            return;
        }
        let now = self.anchor.elapsed();
        self.inspector.sync(&snapshot, now, &mut self.random);
        let lapsed = self.hints.lapsed.borrow_and_update().clone();
        self.inspector.lapse(lapsed, now);
        self.probing
            .retain(|key, incarnation| self.inspector.inspects(key, incarnation));
        let inspected = i64::try_from(self.inspector.len()).unwrap_or(i64::MAX);
        self.fleet.metrics.inspected.set(inspected);
    }

    fn launch(&mut self) {
        while self.probing.has_room() {
            let Some(assignment) = self.inspector.launch(self.anchor.elapsed()) else {
                return;
            };
            self.probing.start(assignment);
        }
    }

    /// When the next probe is due, if there is room for it.
    fn next_due(&self) -> Option<Instant> {
        let due = self.inspector.next_due()?;
        self.probing.has_room().then(|| self.anchor + due)
    }

    fn suspect(&mut self, suspicion: &Suspicion) {
        let now = self.anchor.elapsed();
        self.inspector
            .doubt(&suspicion.server, suspicion.incarnation, now);
    }

    fn take_in(&mut self, probed: Probed) {
        let outcome = probed
            .outcome
            .as_ref()
            .map_or_else(Failure::kind, |()| "success");
        self.fleet.metrics.probed(outcome, probed.took);
        let failure = probed.outcome.as_ref().err().map(ToString::to_string);
        let outcome = failure.clone().map_or(Ok(()), Err);
        let now = self.anchor.elapsed();
        let transition = self
            .inspector
            .finish(&probed.assignment, outcome, now, &mut self.random);
        let server = &probed.assignment.key;
        if let Some(transition) = transition {
            let (from, to) = (transition.from, transition.to);
            let reason = failure.unwrap_or_default();
            tracing::info!(%server, %from, %to, reason, "verdict");
            self.fleet.metrics.changed(to);
            self.unwritten = true;
        }
        if self
            .inspector
            .inspects(server, probed.assignment.incarnation)
        {
            self.probing.keep(probed);
        }
    }

    fn record(&mut self, written: Option<&Written>) {
        let Some(written) = written else { return };
        let now = self.anchor.elapsed();
        self.inspector
            .written(&written.changes, written.position, now);
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
