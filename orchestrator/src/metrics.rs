//! What an orchestrator counts.

use std::time::Duration;

use model::Health;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// From half a millisecond to what is the longest timeout of a check but one step.
const PROBE_SECONDS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];

/// Something that an operator has to look at, while it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Alarm {
    /// The registry has lost its memory, and nobody may restore it.
    MemoryLost,
    /// The registry's settings are not what they should be.
    Settings,
    /// Something in the registry cannot be used.
    Damage,
}

impl Alarm {
    fn as_str(self) -> &'static str {
        match self {
            Self::MemoryLost => "memory_lost",
            Self::Settings => "settings",
            Self::Damage => "damage",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HealthLabel {
    to: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlarmLabel {
    alarm: &'static str,
}

/// Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    probes: Family<OutcomeLabel, Counter>,
    probe_seconds: Histogram,
    transitions: Family<HealthLabel, Counter>,
    alarms: Family<AlarmLabel, Gauge>,
    pub(crate) inspected: Gauge,
    pub(crate) suspicions: Counter,
    pub(crate) suspicions_dropped: Counter,
    pub(crate) commit_failures: Counter,
    pub(crate) leading: Gauge,
    pub(crate) term: Gauge,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            probes: Family::default(),
            probe_seconds: Histogram::new(PROBE_SECONDS),
            transitions: Family::default(),
            alarms: Family::default(),
            inspected: Gauge::default(),
            suspicions: Counter::default(),
            suspicions_dropped: Counter::default(),
            commit_failures: Counter::default(),
            leading: Gauge::default(),
            term: Gauge::default(),
        };
        metrics.register_health(registry.sub_registry_with_prefix("orchestrator"));
        metrics.register_leading(registry.sub_registry_with_prefix("orchestrator"));
        for alarm in [Alarm::MemoryLost, Alarm::Settings, Alarm::Damage] {
            metrics.alarm(alarm, 0);
        }
        metrics
    }

    fn register_health(&self, registry: &mut Registry) {
        registry.register("probes", "Probes by outcome", self.probes.clone());
        registry.register(
            "probe_seconds",
            "How long probes took",
            self.probe_seconds.clone(),
        );
        registry.register(
            "transitions",
            "Verdicts that changed, by what they became",
            self.transitions.clone(),
        );
        registry.register(
            "inspected_servers",
            "Servers under inspection; none while another leads",
            self.inspected.clone(),
        );
        registry.register(
            "suspicions",
            "Suspicions heard from balancers",
            self.suspicions.clone(),
        );
        registry.register(
            "suspicions_dropped",
            "Suspicions left out since too many came at once",
            self.suspicions_dropped.clone(),
        );
    }

    fn register_leading(&self, registry: &mut Registry) {
        registry.register("leading", "1 while this one leads", self.leading.clone());
        registry.register(
            "term",
            "The term of this one's last leadership",
            self.term.clone(),
        );
        registry.register(
            "commit_failures",
            "Commits that the registry did not take",
            self.commit_failures.clone(),
        );
        registry.register(
            "alarms",
            "What an operator has to look at, by kind",
            self.alarms.clone(),
        );
    }

    pub(crate) fn probed(&self, outcome: &'static str, took: Duration) {
        self.probes.get_or_create(&OutcomeLabel { outcome }).inc();
        self.probe_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn changed(&self, to: Health) {
        let to = match to {
            Health::Unknown => "unknown",
            Health::Up => "up",
            Health::Down => "down",
        };
        self.transitions.get_or_create(&HealthLabel { to }).inc();
    }

    /// How many things of a kind there are to look at; none ends the alarm.
    pub(crate) fn alarm(&self, alarm: Alarm, count: usize) {
        let label = AlarmLabel {
            alarm: alarm.as_str(),
        };
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.alarms.get_or_create(&label).set(count);
    }
}
