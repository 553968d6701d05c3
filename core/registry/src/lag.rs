//! How far the balancers of a fleet are behind, in the registry's own time, and which of them are stale.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Epoch, Instance, Origin, Position, Revision, RevisionId, Role};

use crate::{LOST_AFTER, Observing, View};

/// The lag of each position at which some balancer works, as [`Observing::lag`] has it.
#[derive(Debug, Clone, Default)]
pub struct Lags {
    present: Option<Position>,
    of: BTreeMap<Applied, Option<Duration>>,
}

/// A position by its parts, which have an order.
type Applied = (Epoch, Revision, RevisionId);

fn parts(position: Position) -> Applied {
    (position.epoch, position.revision, position.id)
}

impl Lags {
    /// Asks the registry for the lags of those of these instances that are balancers. `view` says where it stands: of who works
    /// there nothing is asked, so that a fleet that is up to date costs it nothing. Where it does not answer, lags cannot be said.
    pub async fn of<R: Observing + ?Sized>(
        registry: &R,
        instances: &[Instance],
        view: &View,
    ) -> Self {
        let present = view.registry_position.filter(|_| view.current);
        let up_to_date = present.map(|present| (parts(present), Some(Duration::ZERO)));
        let mut of: BTreeMap<_, _> = up_to_date.into_iter().collect();
        let reports = instances.iter().map(|instance| &instance.report);
        let balancers = reports.filter(|report| report.role == Role::Balancer);
        for applied in balancers.filter_map(|balancer| balancer.applied) {
            if of.contains_key(&parts(applied)) {
                continue;
            }
            let Ok(lag) = registry.lag(applied).await else {
                break;
            };
            of.insert(parts(applied), lag);
        }
        Self { present, of }
    }

    /// How long ago the oldest revision was committed that this balancer has not applied. Nothing where it has applied none, or
    /// that cannot be said.
    pub fn lag(&self, instance: &Instance) -> Option<Duration> {
        let applied = instance.report.applied?;
        self.of.get(&parts(applied)).copied().flatten()
    }

    /// Whether what a balancer works by is old: it is lost, works from its own disk or in another epoch, or has not
    /// applied what was committed longer ago than an instance may be silent.
    pub fn is_stale(&self, instance: &Instance) -> bool {
        let is_late = self.lag(instance).is_some_and(|lag| lag > LOST_AFTER);
        let epochs = self.present.zip(instance.report.applied);
        let is_elsewhere = epochs.is_some_and(|(present, applied)| present.epoch != applied.epoch);
        let is_lost = instance.age > LOST_AFTER;
        is_lost || is_late || is_elsewhere || instance.report.origin == Origin::Disk
    }
}
