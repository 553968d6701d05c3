//! Forgets instances that have been silent for long: nobody waits for them any more.

use std::time::Duration;

use model::{Instance, InstanceId};
use registry::Silences;
use tokio::time::Instant;

use crate::driver::Reconciler;
use crate::fleet::Fleet;

/// Forgets instances that nobody needs to wait for any more, while this one leads.
pub(crate) struct Forgetting {
    fleet: Fleet,
    forget_after: Duration,
    /// Of all instances, also while this one does not lead.
    silences: Silences<InstanceId>,
    anchor: Instant,
}

impl Forgetting {
    pub(crate) fn new(fleet: Fleet, forget_after: Duration) -> Self {
        Self {
            fleet,
            forget_after,
            silences: Silences::default(),
            anchor: Instant::now(),
        }
    }
}

impl Reconciler for Forgetting {
    const PERIOD: Duration = Duration::from_secs(5);

    async fn reconcile(&mut self) {
        let Ok(instances) = self.fleet.registry.instances().await else {
            return;
        };
        let ages = instances.iter().map(|it| (it.report.instance, it.age));
        self.silences.observe(ages, self.anchor.elapsed());
        let Some(leadership) = self.fleet.leadership() else {
            return;
        };
        let silent = |it: &&Instance| self.silences.of(&it.report.instance) > self.forget_after;
        for silent in instances.iter().filter(silent) {
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
