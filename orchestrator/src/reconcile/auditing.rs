//! Says what is wrong with the registry: its settings, what is in it that cannot be used, and what will not be usable for long.
//!
//! What the follower sees is counted as it sees it. What has to be asked for, or changes with time alone, is looked at now and then.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use registry::REPORT_PERIOD;

use crate::driver::Reconciler;
use crate::expiry;
use crate::fleet::Fleet;
use crate::metrics::Alarm;

/// Says which of the registry's settings are not as they should be, once for each, and counts these and certificates.
pub(crate) struct Auditing {
    fleet: Fleet,
    said: BTreeSet<String>,
}

impl Auditing {
    pub(crate) fn new(fleet: Fleet) -> Self {
        Self {
            fleet,
            said: BTreeSet::new(),
        }
    }

    fn say(&mut self, problems: BTreeSet<String>) {
        for problem in problems.difference(&self.said) {
            tracing::warn!("{problem}");
        }
        for problem in self.said.difference(&problems) {
            tracing::info!("no longer: {problem}");
        }
        self.said = problems;
    }
}

impl Reconciler for Auditing {
    const PERIOD: Duration = Duration::from_secs(30);

    async fn reconcile(&mut self) {
        let view = self.fleet.view();
        if let Some(snapshot) = &view.snapshot {
            let troubled = expiry::troubled(&self.fleet.chains, snapshot, SystemTime::now());
            self.fleet.metrics.alarm(Alarm::Certificate, troubled);
        }
        let Ok(settings) = self.fleet.registry.warnings().await else {
            return;
        };
        self.fleet.metrics.alarm(Alarm::Settings, settings.len());
        self.say(settings.into_iter().collect());
    }
}

/// Counts what the registry holds that cannot be used. All of it was logged as it was met.
pub(crate) struct Tally {
    pub(crate) fleet: Fleet,
}

impl Reconciler for Tally {
    /// Troubles come without a new view.
    const PERIOD: Duration = REPORT_PERIOD;

    async fn reconcile(&mut self) {
        let view = self.fleet.view();
        let snapshot = view.snapshot.iter();
        let faults = snapshot.flat_map(|snapshot| snapshot.element_faults());
        let metrics = &self.fleet.metrics;
        metrics.alarm(Alarm::Damage, view.damage.len());
        metrics.alarm(Alarm::Fault, faults.count());
        metrics.alarm(Alarm::Trouble, self.fleet.registry.troubles().len());
    }
}
