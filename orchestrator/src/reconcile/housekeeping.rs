//! Forgets instances that have been silent for long, and says what is wrong with the registry.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::driver::Reconciler;
use crate::fleet::Fleet;
use crate::metrics::Alarm;

/// Forgets instances that nobody needs to wait for any more, while this one leads.
pub(crate) struct Forgetting {
    pub(crate) fleet: Fleet,
    pub(crate) forget_after: Duration,
}

impl Reconciler for Forgetting {
    const PERIOD: Duration = Duration::from_secs(5);

    async fn reconcile(&mut self) {
        let Some(leadership) = self.fleet.leadership() else {
            return;
        };
        let Ok(instances) = self.fleet.registry.instances().await else {
            return;
        };
        for silent in instances.iter().filter(|each| each.age > self.forget_after) {
            let report = &silent.report;
            let (role, instance) = (report.role, report.instance);
            match self.fleet.registry.forget_for(&leadership, instance).await {
                Ok(true) => {
                    tracing::info!(%role, %instance, advertise = report.advertise, "forgot a silent instance");
                }
                Ok(false) => {}
                Err(error) => return self.fleet.failed(leadership, &error),
            }
        }
    }
}

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
        let Ok(settings) = self.fleet.registry.warnings().await else {
            return;
        };
        let view = self.fleet.view();
        let snapshot = view.snapshot.iter();
        let faults = snapshot.flat_map(|snapshot| snapshot.element_faults());
        // All of it was logged as it was met.
        let damage = view.damage.len() + faults.count() + self.fleet.registry.troubles().len();
        self.fleet.metrics.alarm(Alarm::Settings, settings.len());
        self.fleet.metrics.alarm(Alarm::Damage, damage);
        self.say(settings.into_iter().collect());
    }
}
