//! Says what is wrong with the registry: its settings, what is in it that cannot be used, and what will not be usable for long.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use crate::driver::Reconciler;
use crate::expiry;
use crate::fleet::Fleet;
use crate::metrics::Alarm;

/// Says which of the registry's settings are not as they should be, once for each, and counts what is damaged.
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
        let snapshot = view.snapshot.iter();
        let faults = snapshot.flat_map(|snapshot| snapshot.element_faults());
        let metrics = &self.fleet.metrics;
        metrics.alarm(Alarm::Settings, settings.len());
        // All of these were logged as they were met.
        metrics.alarm(Alarm::Damage, view.damage.len());
        metrics.alarm(Alarm::Fault, faults.count());
        metrics.alarm(Alarm::Trouble, self.fleet.registry.troubles().len());
        self.say(settings.into_iter().collect());
    }
}
