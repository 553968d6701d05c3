//! `/v1/status`: the fleet at a glance, and whatever somebody should look at.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State;
use certificates::{Chain, ChainsById};
use model::{Certificate, Health, Instance, PoolId, Report, Role, Server, ServerState, Snapshot};
use registry::{Lags, Leader, RegistryError, View};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::fleet;
use crate::problem::{Problem, because};
use crate::resource::sealed_to;

/// How long the registry may take to say what the view does not hold.
const ASK_TIME: Duration = Duration::from_secs(2);

/// What the status is made of.
struct Sources {
    view: Arc<View>,
    /// Nothing before any was read.
    snapshot: Option<Arc<Snapshot>>,
    chains: ChainsById,
    leader: Option<Leader>,
    instances: Result<Vec<Instance>, String>,
    lags: Lags,
    warnings: Vec<String>,
    /// Whether the registry holds no head.
    is_forgetful: bool,
    /// What the registry refuses this process, and what it found there by other hands.
    troubles: Vec<RegistryError>,
    /// The fingerprint of what this admin API seals to.
    seals_to: Option<String>,
}

/// Also where the registry cannot be reached, or holds nothing: then of all times somebody asks.
pub(crate) async fn show(State(app): State<Arc<App>>) -> Json<Value> {
    let view = app.view();
    let snapshot = view.snapshot.clone();
    let (survey, warnings, head) = tokio::join!(
        ask(fleet::survey(&*app.registry, &view)),
        ask(app.registry.warnings()),
        ask(app.registry.head()),
    );
    let (instances, lags) = match survey {
        Ok((instances, lags)) => (Ok(instances), lags),
        Err(reason) => (Err(reason), Lags::default()),
    };
    let leader = fleet::leader(&view, Instant::now());
    let warnings = warnings.unwrap_or_default();
    let sources = Sources {
        is_forgetful: head.map_or(view.head_missing, |head| head.is_none()),
        view,
        chains: snapshot
            .as_ref()
            .map_or_else(ChainsById::default, |it| app.chains.of(&it.certificates)),
        snapshot,
        leader,
        instances,
        lags,
        warnings,
        troubles: app.registry.troubles(),
        seals_to: app.means.seal_to.as_ref().map(|it| it.fingerprint().into()),
    };
    Json(status(&sources))
}

async fn ask<T>(question: impl Future<Output = Result<T, RegistryError>>) -> Result<T, String> {
    match tokio::time::timeout(ASK_TIME, question).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("the registry did not answer in time".into()),
    }
}

fn status(sources: &Sources) -> Value {
    let Sources {
        view,
        snapshot,
        leader,
        ..
    } = sources;
    let present = view.registry_position;
    let instances = |role| {
        let of_role = |instances: &Vec<Instance>| {
            let instances = fleet::of_role(instances.clone(), role);
            let summary = |it: &Instance| match role {
                Role::Balancer => fleet::balancer_summary(it, present, &sources.lags),
                Role::Orchestrator | Role::Admin => fleet::summary(it, present),
            };
            instances.iter().map(summary).collect::<Vec<_>>()
        };
        sources.instances.as_ref().ok().map(of_role)
    };
    let snapshot = snapshot.as_deref();
    let certificates = snapshot.into_iter().flat_map(|it| it.certificates.values());
    json!({
        "epoch": snapshot.map(|it| it.position.epoch),
        "revision": snapshot.map(|it| it.position.revision),
        "desired": snapshot.map(|it| it.desired),
        "leader": leader.map(|leader| leader.instance),
        "term": leader.map(|leader| leader.term),
        "connected": view.connected,
        "registry_revision": present.map(|position| position.revision),
        "pools": snapshot.map(|it| it.pools.len()),
        "servers": snapshot.map(servers),
        "certificates": certificates.map(|it| certificate(&it.value, &sources.chains)).collect::<Vec<_>>(),
        "balancers": instances(Role::Balancer),
        "orchestrators": instances(Role::Orchestrator),
        "alarms": alarms(sources),
    })
}

fn servers(snapshot: &Snapshot) -> Value {
    let healths: Vec<_> = snapshot
        .servers
        .keys()
        .map(|key| snapshot.health_of(key))
        .collect();
    let healthy = |health| healths.iter().filter(|it| **it == health).count();
    let servers = || snapshot.servers.values();
    let in_state = |state| {
        servers()
            .filter(|server| server.value.state == state)
            .count()
    };
    json!({
        "total": healths.len(),
        "up": healthy(Health::Up),
        "down": healthy(Health::Down),
        "unknown": healthy(Health::Unknown),
        "draining": in_state(ServerState::Draining),
        "disabled": in_state(ServerState::Disabled),
    })
}

/// Until when a certificate is valid, and which seal key its own is sealed to.
fn certificate(certificate: &Certificate, chains: &ChainsById) -> Value {
    let chain = chains.get(&certificate.id);
    let end = |chain: &Arc<Chain>| humantime::format_rfc3339_seconds(chain.not_after()).to_string();
    json!({
        "id": certificate.id,
        "not_after": chain.map(end),
        "sealed_to": sealed_to(certificate),
    })
}

/// Whatever somebody should look at: what it concerns, what is wrong with it, and for how many things it stands.
fn alarms(sources: &Sources) -> Vec<Value> {
    let mut alarms = Vec::new();
    let mut raise = |kind: &str, subject: String, detail: String| {
        alarms.push(alarm(kind, &subject, &detail, 1));
    };
    let view = &sources.view;
    if sources.is_forgetful {
        let mut reports = sources.instances.iter().flatten().map(|it| &it.report);
        let detail = match reports.any(|report| report.applied.is_some()) {
            true => Problem::Forgetful.to_string(),
            false => "it has lost its memory, or is new".into(),
        };
        raise("memory_lost", "registry".into(), detail);
    }
    match &sources.instances {
        Err(reason) => raise("unreachable", "registry".into(), reason.clone()),
        Ok(_) if !view.connected => {
            let because = because(view.trouble.as_ref());
            let detail = format!("changes do not arrive{because}");
            raise("unreachable", "registry".into(), detail);
        }
        Ok(_) => {}
    }
    if sources.leader.is_none() {
        raise(
            "leaderless",
            "orchestrator".into(),
            "no leader has been heard".into(),
        );
    }
    if let Some(snapshot) = &sources.snapshot {
        pool_alarms(snapshot, sources, &mut raise);
        element_alarms(snapshot, sources, &mut raise);
    }
    for damage in &view.damage {
        raise(
            "damage",
            format!("{} {}", damage.collection, damage.key),
            damage.reason.clone(),
        );
    }
    for trouble in &sources.troubles {
        raise("trouble", "admin API".into(), trouble.to_string());
    }
    for instance in sources.instances.iter().flatten() {
        instance_alarms(instance, &mut raise);
    }
    for warning in &sources.warnings {
        raise("settings", "registry".into(), warning.clone());
    }
    let instances = sources.instances.iter().flatten();
    alarms.extend(instances.flat_map(unnamed_alarms));
    alarms
}

fn alarm(kind: &str, subject: &str, detail: &str, count: u64) -> Value {
    json!({"kind": kind, "subject": subject, "detail": detail, "count": count})
}

fn pool_alarms(
    snapshot: &Snapshot,
    sources: &Sources,
    raise: &mut impl FnMut(&str, String, String),
) {
    // Where something is held back, balancers go by what they know instead.
    let is_held = |pool: &PoolId| {
        let reports = sources.instances.iter().flatten().map(|it| &it.report);
        reports
            .flat_map(|report| &report.holds)
            .any(|hold| hold.pool == *pool)
    };
    for pool in snapshot.pools.keys().filter(|pool| !is_held(pool)) {
        if let Some(detail) = unserved(snapshot, pool) {
            raise("unserved", format!("pool {pool}"), detail);
        }
    }
}

fn element_alarms(
    snapshot: &Snapshot,
    sources: &Sources,
    raise: &mut impl FnMut(&str, String, String),
) {
    for certificate in snapshot.certificates.values() {
        certificate_alarms(&certificate.value, sources, raise);
    }
    for id in snapshot.listeners.keys().filter(|id| !id.is_known()) {
        let detail = "no balancer has a listener of that name: what is set there protects nothing";
        raise("unheeded", format!("listener {id}"), detail.into());
    }
    for fault in snapshot.element_faults() {
        raise(
            "fault",
            format!("{} {}", fault.collection, fault.key),
            fault.reason.clone(),
        );
    }
}

/// Why no server of a pool takes requests, if that is so. A pool that has none is in order, but for the one
/// that gets what nothing else claims.
fn unserved(snapshot: &Snapshot, pool: &PoolId) -> Option<String> {
    let servers = snapshot.servers_of(pool);
    if servers.is_empty() {
        return (*pool == PoolId::standard()).then(|| "it has no server".into());
    }
    let takes = |server: &Server| {
        let active = server.state == ServerState::Active && server.weight > 0;
        active && snapshot.health_of(&server.key()) != Health::Down
    };
    let taken = servers.iter().any(|server| takes(&server.value));
    (!taken).then(|| match servers.len() {
        1 => "its only server takes no requests".into(),
        all => format!("none of its {all} servers takes requests"),
    })
}

fn certificate_alarms(
    certificate: &Certificate,
    sources: &Sources,
    raise: &mut impl FnMut(&str, String, String),
) {
    let subject = || format!("certificate {}", certificate.id);
    let chain = sources.chains.get(&certificate.id);
    if let Some(trouble) = chain.and_then(|chain| chain.trouble(SystemTime::now())) {
        raise("certificate", subject(), trouble);
    }
    let sealed_to = sealed_to(certificate);
    let own = sources.seals_to.as_deref();
    if let Some(own) = own.filter(|own| *own != sealed_to) {
        let detail = format!(
            "its key is sealed to {sealed_to}, and not to {own} as --seal-to says: put it again"
        );
        raise("seal", subject(), detail);
    }
}

fn instance_alarms(instance: &Instance, raise: &mut impl FnMut(&str, String, String)) {
    let report = &instance.report;
    let name = || name(report);
    if fleet::is_lost(instance) {
        let detail = format!("silent for {}", fleet::duration_text(instance.age));
        raise("lost", name(), detail);
    }
    for hold in &report.holds {
        let detail = format!("{} servers of {} held back", hold.size(), hold.pool);
        raise("hold", name(), detail);
    }
    for trouble in &report.troubles {
        raise("trouble", name(), trouble.clone());
    }
    for nack in &report.nacks {
        raise("nack", name(), nack.to_string());
    }
}

/// What an instance counts, and does not name.
fn unnamed_alarms(instance: &Instance) -> Vec<Value> {
    let report = &instance.report;
    let subject = name(report);
    let nacks = report.more_nacks.iter().map(|(kind, count)| {
        let detail = format!("and {count} more of {kind}");
        alarm("nack", &subject, &detail, *count)
    });
    let troubles = (report.more_troubles > 0).then(|| {
        let count = report.more_troubles;
        alarm("trouble", &subject, &format!("and {count} more"), count)
    });
    nacks.chain(troubles).collect()
}

fn name(report: &Report) -> String {
    format!("{} {}", report.role, report.advertise)
}
