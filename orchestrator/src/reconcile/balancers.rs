//! Counts the fleet's balancers, and those of them that work by something old.

use std::time::Duration;

use model::{Instance, Role};
use registry::{Lags, RegistryError, standing};

use crate::driver::Reconciler;
use crate::fleet::Fleet;

/// Counts while this one leads. Otherwise, and while the registry cannot be asked, nothing is said: not even that there are none.
pub(crate) struct Counting {
    pub(crate) fleet: Fleet,
}

impl Reconciler for Counting {
    const PERIOD: Duration = Duration::from_secs(2);

    async fn reconcile(&mut self) {
        let counted = match self.fleet.leadership() {
            Some(_) => self.count().await.ok(),
            None => None,
        };
        self.fleet.metrics.balancers(counted);
    }
}

impl Counting {
    /// How many are fresh, and how many stale.
    async fn count(&self) -> Result<(usize, usize), RegistryError> {
        let registry = &*self.fleet.registry;
        let instances = registry.instances().await?;
        // Whose place another has taken is no part of the fleet any more.
        let instances: Vec<Instance> = standing(&instances).cloned().collect();
        let lags = Lags::of(registry, &instances, &self.fleet.view()).await;
        let balancers = instances
            .iter()
            .filter(|it| it.report.role == Role::Balancer);
        let (stale, fresh): (Vec<_>, Vec<_>) = balancers.partition(|it| lags.is_stale(it));
        Ok((fresh.len(), stale.len()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use model::{Epoch, InstanceId, Origin, Position, Report, RevisionId, Snapshot, Term};
    use registry::{Committing, Leadership, Memory, View};
    use tokio::sync::watch;

    use super::*;
    use crate::fleet::Tenure;
    use crate::metrics::Metrics;

    fn report(applied: Position, origin: Origin) -> Report {
        let instance = InstanceId::random();
        Report {
            applied: Some(applied),
            origin,
            ..Report::new(instance, Role::Balancer, instance.to_string())
        }
    }

    fn text(registry: &prometheus_client::registry::Registry) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).expect("text");
        text
    }

    #[tokio::test]
    async fn the_leader_counts_who_is_stale_and_another_says_nothing() {
        let registry = Arc::new(Memory::new());
        let first = Snapshot::first(Epoch::random(), RevisionId::random());
        assert_eq!(registry.seed(&first).await, Ok(true));
        let position = first.position;
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = since_epoch.expect("after 1970");
        registry.tamper(|store| {
            store.report(&report(position, Origin::Registry), now);
            store.report(&report(position, Origin::Disk), now);
            let lost = report(position, Origin::Registry);
            store.report(&lost, now - Duration::from_secs(60));
        });
        let view = View {
            registry_position: Some(position),
            current: true,
            ..View::default()
        };
        let instance = InstanceId::random();
        let leadership = Leadership {
            instance,
            epoch: position.epoch,
            term: Term(1),
        };
        let tenure = watch::Sender::new(Some(Tenure {
            leadership,
            since: position,
        }));
        let mut metrics = prometheus_client::registry::Registry::default();
        let fleet = Fleet {
            registry,
            instance,
            views: watch::Sender::new(Arc::new(view)).subscribe(),
            tenure: tenure.subscribe(),
            refused: watch::Sender::default(),
            doubts: Arc::default(),
            metrics: Metrics::register(&mut metrics),
            chains: Arc::default(),
            found: watch::Sender::default(),
        };
        let mut counting = Counting { fleet };
        counting.reconcile().await;
        let said = text(&metrics);
        for line in [
            "balancers{state=\"fresh\"} 1",
            "balancers{state=\"stale\"} 2",
        ] {
            assert!(said.contains(line), "{said}");
        }
        tenure.send_replace(None);
        counting.reconcile().await;
        assert!(!text(&metrics).contains("balancers{"));
    }
}
