//! The instances of the fleet as the API shows them: what each reports, how far behind it is, whether it is lost.

use std::time::Duration;

use model::{Instance, Position, Role, format_duration};
use registry::{LOST_AFTER, Lags, Leader, Registry, RegistryError, View, standing};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::app::App;

/// The instances, but for those whose place another has taken: nobody waits for them, so they concern nobody.
pub(crate) async fn instances(registry: &dyn Registry) -> Result<Vec<Instance>, RegistryError> {
    let instances = registry.instances().await?;
    Ok(standing(&instances).cloned().collect())
}

/// The instances, and how far behind the balancers among them are.
pub(crate) async fn survey(
    registry: &dyn Registry,
    view: &View,
) -> Result<(Vec<Instance>, Lags), RegistryError> {
    let instances = instances(registry).await?;
    let lags = Lags::of(registry, &instances, view).await;
    Ok((instances, lags))
}

/// Whether a registry that holds no fleet held one: somebody works with a revision of it.
pub(crate) async fn is_forgotten(app: &App) -> bool {
    let instances = app.registry.instances().await.unwrap_or_default();
    instances.iter().any(|it| it.report.applied.is_some())
}

/// Those of one role, in the order of their addresses.
pub(crate) fn of_role(instances: Vec<Instance>, role: Role) -> Vec<Instance> {
    let mut instances = instances;
    instances.retain(|instance| instance.report.role == role);
    instances.sort_by(|a, b| {
        let order = |it: &Instance| (it.report.advertise.clone(), it.report.instance);
        order(a).cmp(&order(b))
    });
    instances
}

pub(crate) fn is_lost(instance: &Instance) -> bool {
    instance.age > LOST_AFTER
}

/// How many revisions it is behind. Nothing where it has applied none of this history.
pub(crate) fn lag(instance: &Instance, present: Option<Position>) -> Option<u64> {
    let (applied, present) = (instance.report.applied?, present?);
    let same = applied.epoch == present.epoch;
    same.then(|| present.revision.0.saturating_sub(applied.revision.0))
}

/// Who leads now. Heartbeats come at the pace of reports, whatever a lease lasts: who is as silent as a lost instance has not been
/// heard.
pub(crate) fn leader(view: &View, now: Instant) -> Option<Leader> {
    view.leader
        .filter(|leader| now.saturating_duration_since(leader.heard) <= LOST_AFTER)
}

/// A duration for people: whole milliseconds.
pub(crate) fn duration_text(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    format_duration(Duration::from_millis(milliseconds))
}

/// What is said of every instance, wherever it is shown.
pub(crate) fn summary(instance: &Instance, present: Option<Position>) -> Map<String, Value> {
    let report = &instance.report;
    fields(json!({
        "id": report.instance,
        "advertise": report.advertise,
        "revision": report.applied.map(|applied| applied.revision),
        "lag": lag(instance, present),
        "lost": is_lost(instance),
    }))
}

/// What is said besides where instances are listed.
fn details(instance: &Instance, present: Option<Position>) -> Map<String, Value> {
    let report = &instance.report;
    let mut details = summary(instance, present);
    details.extend(fields(json!({
        "region": report.region,
        "zone": report.zone,
        "epoch": report.applied.map(|applied| applied.epoch),
        "origin": report.origin,
        "age": duration_text(instance.age),
    })));
    details
}

/// What is said of a balancer, wherever it is shown.
pub(crate) fn balancer_summary(
    instance: &Instance,
    present: Option<Position>,
    lags: &Lags,
) -> Map<String, Value> {
    let mut summary = summary(instance, present);
    summary.extend(staleness(instance, lags));
    summary
}

/// How old what a balancer works by is.
fn staleness(instance: &Instance, lags: &Lags) -> Map<String, Value> {
    let lag = lags.lag(instance);
    let lag_ms = lag.map(|lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX));
    fields(json!({"lag_ms": lag_ms, "stale": lags.is_stale(instance)}))
}

pub(crate) fn balancer(
    instance: &Instance,
    present: Option<Position>,
    lags: &Lags,
) -> Map<String, Value> {
    let report = &instance.report;
    let leaving = report.leaving.iter().map(|(server, load)| {
        let mut leaving = fields(json!(load));
        leaving.insert("server".into(), json!(server));
        leaving
    });
    let mut balancer = details(instance, present);
    balancer.extend(staleness(instance, lags));
    balancer.extend(fields(json!({
        "leaving": leaving.collect::<Vec<_>>(),
        "nacks": report.nacks,
        "more_nacks": report.more_nacks,
        "holds": report.holds,
        "ejected": report.ejected,
    })));
    balancer
}

pub(crate) fn orchestrator(
    instance: &Instance,
    present: Option<Position>,
    leader: Option<Leader>,
) -> Map<String, Value> {
    let leader = leader.filter(|leader| leader.instance == instance.report.instance);
    let mut orchestrator = details(instance, present);
    orchestrator.extend(fields(json!({
        "leads": leader.is_some(),
        "term": leader.map(|leader| leader.term),
        "probes": instance.report.probes,
    })));
    orchestrator
}

fn fields(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(fields) => fields,
        _ => unreachable!("only objects have fields"),
    }
}
