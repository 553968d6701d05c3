//! What a process counts: one registry of metrics, passed down to the components, never global.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// A role's metrics, all under the prefix `roundhouse_`. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Metrics {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Registry::with_prefix("roundhouse"))))
    }

    /// A component adds its own metrics, under a prefix of its own where it likes.
    pub fn register<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        encode(&mut text, &registry).expect("a String takes whatever is written");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn a_component_counts_through_the_metrics_it_registered() {
        let metrics = Metrics::new();
        let requests: Counter = Counter::default();
        metrics.register(|registry| registry.register("requests", "Requests", requests.clone()));
        requests.inc_by(3);
        let text = metrics.encode();
        assert!(text.contains("roundhouse_requests_total 3\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
