//! Inspects every server of every pool while this orchestrator leads, and writes what changed. While it stands by, the
//! servers of pools that ask for a majority, and says what it finds.
//!
//! One loop owns the inspection; probes and the one commit under way are its only tasks. What to probe
//! and what to write is decided by the pure `inspector`; this drives it over the clock and the network.

mod inspector;
mod pacing;
mod probing;
mod schedule;
mod writing;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{Change, ServerKey, Snapshot, Suspicion};
use probe::Failure;
use rand::rngs::SmallRng;
use registry::Leadership;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::quorum::Voices;
use crate::fleet::{Fleet, Tenure};
pub(crate) use inspector::Voice;
use inspector::{Errand, Inspector, Part};
use probing::{Probed, Probing};
use writing::{Writing, Written};

/// How often everything is looked at anew where nothing announced itself.
const PERIOD: Duration = Duration::from_secs(1);

/// How long a new leader waits for its copy of the state to show its predecessor's last verdicts.
const CATCHING_UP: Duration = Duration::from_secs(5);

/// Of the files that this process may open, the share that connections to servers at rest may take. A balancer
/// in the same process needs most of them.
const CONNECTIONS_SHARE: usize = 8;

/// Where the inspection hears of servers that may have failed.
pub(crate) struct Hints {
    pub(crate) suspicions: mpsc::Receiver<Suspicion>,
    pub(crate) lapsed: watch::Receiver<BTreeSet<ServerKey>>,
    /// What the other orchestrators find, where a majority decides.
    pub(crate) voices: watch::Receiver<Voices>,
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
    anchor: Instant,
    random: SmallRng,
}

impl Inspection {
    pub(crate) fn new(fleet: Fleet, hints: Hints, concurrency: usize) -> Self {
        let connections_max = runtime::open_files_max() / CONNECTIONS_SHARE;
        let mut inspector = Inspector::default();
        inspector.restart(Part::StandingBy);
        Self {
            writing: Writing::new(fleet.clone()),
            fleet,
            hints,
            inspector,
            probing: Probing::new(concurrency, connections_max),
            leadership: None,
            begun: false,
            since: Instant::now(),
            anchor: Instant::now(),
            random: rand::make_rng(),
        }
    }

    /// Inspects until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut period = interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next_due = self.next_due();
            tokio::select! {
                () = stop.cancelled() => return,
                _ = period.tick() => self.look().await,
                Ok(()) = self.fleet.views.changed() => self.look().await,
                Ok(()) = self.fleet.tenure.changed() => self.look().await,
                Ok(()) = self.hints.lapsed.changed() => self.look().await,
                Ok(()) = self.hints.voices.changed() => self.hear(),
                Some(suspicion) = self.hints.suspicions.recv() => self.suspect(&suspicion),
                probed = self.probing.next() => self.take_in(probed),
                written = self.writing.next() => self.record(written.as_ref()),
                () = due(next_due) => {}
            }
            self.launch();
            self.tell();
        }
    }

    /// Takes in whether this one leads, what the fleet is now, and who missed a renewal.
    async fn look(&mut self) {
        let tenure = *self.fleet.tenure.borrow_and_update();
        let leadership = tenure.map(|tenure| tenure.leadership);
        if self.leadership != leadership {
            self.restart(leadership);
        }
        self.fleet.views.mark_unchanged();
        match tenure {
            Some(tenure) => self.lead(&tenure).await,
            None => self.stand_by().await,
        }
    }

    fn restart(&mut self, leadership: Option<Leadership>) {
        self.leadership = leadership;
        self.begun = false;
        self.since = Instant::now();
        self.inspector.restart(match leadership {
            Some(_) => Part::Leading,
            None => Part::StandingBy,
        });
        self.fleet.found.send_replace(None);
        self.probing.abandon();
        self.writing.abandon();
        self.fleet.metrics.inspected.set(0);
    }

    async fn lead(&mut self, tenure: &Tenure) {
        let Some(snapshot) = self.fleet.snapshot(&tenure.leadership) else {
            return;
        };
        let caught_up = snapshot.position.revision >= tenure.since.revision;
        self.begun |= caught_up || self.since.elapsed() > CATCHING_UP;
        if !self.begun {
            return;
        }
        self.sync(&snapshot).await;
        let lapsed = self.hints.lapsed.borrow_and_update();
        self.inspector.lapse(&lapsed, self.anchor.elapsed());
    }

    /// Where no pool asks for it, this is nothing.
    async fn stand_by(&mut self) {
        let asked = self.fleet.asks_for_quorum();
        if let Some(snapshot) = self.fleet.followed()
            && (asked || self.inspector.len() > 0)
        {
            self.sync(&snapshot).await;
        }
        self.publish(asked);
    }

    fn publish(&self, asked: bool) {
        let found = asked.then(|| self.inspector.differing());
        self.fleet.found.send_if_modified(|known| {
            let changed = *known != found;
            *known = found;
            changed
        });
    }

    async fn sync(&mut self, snapshot: &Arc<Snapshot>) {
        self.probing.take_in(&snapshot.pools).await;
        let now = self.anchor.elapsed();
        for key in self.inspector.sync(snapshot, now, &mut self.random) {
            self.probing.release(&key, self.inspector.incarnation(&key));
        }
        let inspected = i64::try_from(self.inspector.len()).unwrap_or(i64::MAX);
        self.fleet.metrics.inspected.set(inspected);
    }

    /// Writes what is to be written, or says what was found.
    fn tell(&mut self) {
        let moved = self.inspector.take_moved();
        if self.leadership.is_none() {
            if moved {
                self.publish(self.fleet.asks_for_quorum());
            }
        } else if self.inspector.is_behind() {
            self.writing.begin(|| self.inspector.unwritten());
        }
    }

    fn launch(&mut self) {
        for errand in [Errand::Doubt, Errand::Turn] {
            while self.probing.has_room(errand) {
                let now = self.anchor.elapsed();
                let Some(assignment) = self.inspector.launch(errand, now) else {
                    break;
                };
                self.probing.start(assignment);
            }
        }
    }

    /// When the next probe is due for which there is room.
    fn next_due(&self) -> Option<Instant> {
        let errands = [Errand::Doubt, Errand::Turn].into_iter();
        let possible = errands.filter(|errand| self.probing.has_room(*errand));
        let due = possible.filter_map(|errand| self.inspector.next_due(errand));
        Some(self.anchor + due.min()?)
    }

    fn suspect(&mut self, suspicion: &Suspicion) {
        let now = self.anchor.elapsed();
        self.inspector
            .doubt(&suspicion.server, suspicion.incarnation, now);
    }

    /// What the others find counts while this one leads.
    fn hear(&mut self) {
        let voices = self.hints.voices.borrow_and_update().clone();
        let fresh = voices.iter().flatten().filter(|voice| voice.is_fresh());
        let fresh = i64::try_from(fresh.count()).unwrap_or(i64::MAX);
        self.inspector.hear(voices);
        self.fleet.metrics.heard.set(fresh);
    }

    fn take_in(&mut self, probed: Probed) {
        let outcome = probed
            .outcome
            .as_ref()
            .map_or_else(Failure::kind, |()| "success");
        self.fleet.metrics.probed(outcome, probed.took);
        let now = self.anchor.elapsed();
        let outcome = probed.outcome.clone();
        let transition = self
            .inspector
            .finish(&probed.assignment, outcome, now, &mut self.random);
        let server = &probed.assignment.key;
        if let Some(transition) = transition {
            let (from, to) = (transition.from, transition.to);
            let failure = probed.outcome.as_ref().err().map(ToString::to_string);
            let reason = failure.unwrap_or_default();
            if self.inspector.is_for_majority(server) {
                tracing::info!(%server, %from, %to, reason, "found, for a majority to decide");
            } else {
                tracing::info!(%server, %from, %to, reason, "verdict");
                self.fleet.metrics.changed(to);
            }
        }
        if self.inspector.incarnation(server) == Some(probed.assignment.incarnation) {
            self.probing.keep(probed);
        }
    }

    fn record(&mut self, written: Option<&Written>) {
        let Some(written) = written else { return };
        let now = self.anchor.elapsed();
        self.inspector
            .written(&written.changes, written.position, now);
        for change in &written.changes {
            self.note_majority(change);
        }
    }

    fn note_majority(&self, change: &Change) {
        if let Change::Verdict(server, Some(verdict)) = change
            && self.inspector.is_for_majority(server)
        {
            let (to, reason) = (verdict.health, &verdict.reason);
            tracing::info!(%server, %to, reason, "verdict of a majority");
            self.fleet.metrics.changed(to);
        }
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
