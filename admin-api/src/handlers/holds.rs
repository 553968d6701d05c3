//! `/v1/holds`: mass withdrawals that balancers hold back, and an operator's word on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{
    Change, Epoch, HoldDecision, Instance, Pool, PoolId, Revision, Ruling, ServerKey, Snapshot,
};
use registry::Goal;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::app::App;
use crate::body::{OptionalJsonObject, from_json};
use crate::change::Outcome;
use crate::edit;
use crate::extract::{Intent, PoolPath};
use crate::fleet;
use crate::problem::Problem;
use crate::wait::Until;

/// What is held of one pool in one history, all balancers together.
#[derive(Debug, Default)]
struct Held {
    /// The latest revision at which one of them saw it.
    revision: Revision,
    servers: BTreeSet<ServerKey>,
    /// The most that one of them holds back: it may name fewer.
    total: usize,
    balancers: Vec<Value>,
}

pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let held = gather(&fleet::instances(&*app.registry).await?);
    let json = |((pool, epoch), held): (&(PoolId, Epoch), &Held)| {
        json!({
            "pool": pool,
            "epoch": epoch,
            "revision": held.revision,
            "servers": held.servers,
            "total": held.total,
            "balancers": held.balancers,
        })
    };
    Ok(Json(held.iter().map(json).collect()))
}

/// Confirms a withdrawal: the balancers may do without these servers. It covers what was withdrawn up to
/// the named revision; where none is named, up to what is held now.
pub(crate) async fn confirm(
    State(app): State<Arc<App>>,
    PoolPath(pool): PoolPath,
    intent: Intent,
    OptionalJsonObject(sent): OptionalJsonObject,
) -> Result<Answer, Problem> {
    if intent.wait.is_some_and(|wait| wait.until == Until::Drained) {
        return Err(Problem::field("wait", "must be applied"));
    }
    let intent = intent.saying(&sent);
    let named = Named::parse(sent)?;
    let held = gather(&fleet::instances(&*app.registry).await?);
    let decide = |snapshot: &Snapshot| {
        edit::find::<Pool>(snapshot, &pool)?;
        let ruling = named.ruling(snapshot, &pool, &held)?;
        Ok((
            vec![Change::Ruling(pool.clone(), Some(ruling.clone()))],
            ruling,
        ))
    };
    let (committed, ruling) = match app.change(&intent, decide).await? {
        Outcome::Made(committed, ruling) => (committed, Some(ruling)),
        Outcome::Earlier(committed) => (committed, None),
    };
    let names = Map::from_iter([
        ("pool".into(), json!(pool)),
        ("ruling".into(), json!(ruling)),
    ]);
    let answer = Answer::bare(names, committed.position.revision);
    let waited = match intent.wait {
        Some(wait) => Some(app.wait(wait, &Goal::Applied(committed.position)).await),
        None => None,
    };
    Ok(answer.after(waited.as_ref()).of_change(&intent, &committed))
}

fn gather(instances: &[Instance]) -> BTreeMap<(PoolId, Epoch), Held> {
    let mut all: BTreeMap<_, Held> = BTreeMap::new();
    for report in instances.iter().map(|instance| &instance.report) {
        for hold in &report.holds {
            let held = all
                .entry((hold.pool.clone(), hold.position.epoch))
                .or_default();
            held.revision = held.revision.max(hold.position.revision);
            held.servers.extend(hold.servers.iter().cloned());
            held.total = held.total.max(hold.size()).max(held.servers.len());
            held.balancers.push(json!({
                "id": report.instance,
                "advertise": report.advertise,
                "revision": hold.position.revision,
            }));
        }
    }
    all
}

/// What the client named of the hold.
struct Named {
    epoch: Option<Epoch>,
    revision: Option<Revision>,
}

impl Named {
    fn parse(mut sent: Map<String, Value>) -> Result<Self, Problem> {
        let mut take = |field: &str| sent.remove(field);
        let (epoch, revision) = (take("epoch"), take("revision"));
        if let Some(unknown) = sent.keys().next() {
            return Err(vec![model::Problem::unknown_field(unknown)].into());
        }
        let epoch = epoch
            .map(from_json)
            .transpose()
            .map_err(|problem| problem.at("epoch"))?;
        let revision = revision.map(from_json).transpose();
        let revision = revision.map_err(|problem| problem.at("revision"))?;
        Ok(Self { epoch, revision })
    }

    fn ruling(
        &self,
        snapshot: &Snapshot,
        pool: &PoolId,
        held: &BTreeMap<(PoolId, Epoch), Held>,
    ) -> Result<Ruling, Problem> {
        let present = snapshot.position;
        let epoch = self.epoch.unwrap_or(present.epoch);
        if epoch != present.epoch {
            let rule = format!("must be the present one, {}", present.epoch);
            return Err(Problem::field("epoch", rule));
        }
        let held = held.get(&(pool.clone(), epoch)).map(|held| held.revision);
        let revision = self
            .revision
            .or(held)
            .ok_or_else(|| Problem::not_found("hold", pool))?;
        if revision > present.revision {
            let rule = format!("must be at most the present one, {}", present.revision);
            return Err(Problem::field("revision", rule));
        }
        let decision = HoldDecision::Confirm;
        Ok(Ruling {
            epoch,
            revision,
            decision,
        })
    }
}
