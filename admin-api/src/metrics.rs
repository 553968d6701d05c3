//! What the admin API counts.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use crate::wait::Until;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    /// The route, not the path: names of pools and servers are no labels.
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitLabels {
    until: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    changes: Counter,
    waits: Family<WaitLabels, Counter>,
    wait_seconds: Histogram,
    short_of_replicas: Counter,
}

impl Metrics {
    pub(crate) fn register(metrics: &runtime::Metrics) -> Self {
        let these = Self {
            requests: Family::default(),
            changes: Counter::default(),
            waits: Family::default(),
            wait_seconds: Histogram::new([0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0]),
            short_of_replicas: Counter::default(),
        };
        metrics.register(|registry| {
            let registry = registry.sub_registry_with_prefix("admin");
            registry.register(
                "requests",
                "Requests by route and status",
                these.requests.clone(),
            );
            registry.register(
                "changes",
                "Changes that were committed",
                these.changes.clone(),
            );
            registry.register(
                "waits",
                "Waits for the fleet, by how they ended",
                these.waits.clone(),
            );
            let help = "How long waits for the fleet took";
            registry.register("wait_seconds", help, these.wait_seconds.clone());
            let help = "Changes that fewer replicas than --durability asks for are known to have";
            registry.register("short_of_replicas", help, these.short_of_replicas.clone());
        });
        these
    }

    pub(crate) fn requested(&self, method: &str, route: &str, status: u16) {
        let (method, route) = (method.into(), route.into());
        let labels = RequestLabels {
            method,
            route,
            status,
        };
        self.requests.get_or_create(&labels).inc();
    }

    pub(crate) fn changed(&self) {
        self.changes.inc();
    }

    pub(crate) fn fell_short(&self) {
        self.short_of_replicas.inc();
    }

    pub(crate) fn waited(&self, until: Until, done: bool, took: Duration) {
        let outcome = if done { "done" } else { "late" };
        let until = until.as_str();
        self.waits
            .get_or_create(&WaitLabels { until, outcome })
            .inc();
        self.wait_seconds.observe(took.as_secs_f64());
    }
}
