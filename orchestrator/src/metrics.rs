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
    /// Collections hold something else than the registry's head says.
    Damage,
    /// Elements cannot be read.
    Fault,
    /// The registry refuses this process something, or holds under a key what other hands wrote there.
    Trouble,
    /// Certificates have expired, or will soon.
    Certificate,
}

impl Alarm {
    const ALL: [Self; 6] = [
        Self::MemoryLost,
        Self::Settings,
        Self::Damage,
        Self::Fault,
        Self::Trouble,
        Self::Certificate,
    ];

    /// As `/v1/status` names it too.
    fn as_str(self) -> &'static str {
        match self {
            Self::MemoryLost => "memory_lost",
            Self::Settings => "settings",
            Self::Damage => "damage",
            Self::Fault => "fault",
            Self::Trouble => "trouble",
            Self::Certificate => "certificate",
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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    probes: Family<OutcomeLabel, Counter>,
    probe_seconds: Histogram,
    transitions: Family<HealthLabel, Counter>,
    alarms: Family<AlarmLabel, Gauge>,
    balancers: Family<StateLabel, Gauge>,
    pub(crate) inspected: Gauge,
    pub(crate) heard: Gauge,
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
            balancers: Family::default(),
            inspected: Gauge::default(),
            heard: Gauge::default(),
            suspicions: Counter::default(),
            suspicions_dropped: Counter::default(),
            commit_failures: Counter::default(),
            leading: Gauge::default(),
            term: Gauge::default(),
        };
        metrics.register_health(registry.sub_registry_with_prefix("orchestrator"));
        metrics.register_leading(registry.sub_registry_with_prefix("orchestrator"));
        for alarm in Alarm::ALL {
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
            "Servers under inspection; while another leads, those on which a majority decides",
            self.inspected.clone(),
        );
        registry.register(
            "quorum_heard",
            "Other orchestrators whose words count where a majority decides; none while another leads",
            self.heard.clone(),
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
        registry.register(
            "balancers",
            "Balancers by whether what they work by is fresh or stale; none is said while another leads",
            self.balancers.clone(),
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

    /// How many balancers are fresh, and how many stale; nothing where that is not known.
    pub(crate) fn balancers(&self, counted: Option<(usize, usize)>) {
        let Some((fresh, stale)) = counted else {
            return self.balancers.clear();
        };
        for (state, count) in [("fresh", fresh), ("stale", stale)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.balancers
                .get_or_create(&StateLabel { state })
                .set(count);
        }
    }
}
