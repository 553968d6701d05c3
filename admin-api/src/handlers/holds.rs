//! `/v1/holds`: mass withdrawals that balancers hold back, and an operator's word on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{
    Change, Collection, Epoch, Hold, HoldDecision, Instance, Pool, PoolId, Revision, Ruling,
    ServerKey, Snapshot,
};
use registry::{Goal, HistoryEntry};
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::app::App;
use crate::body::{OptionalJsonObject, from_json};
use crate::change::Outcome;
use crate::durability::Kept;
use crate::edit;
use crate::extract::{Intent, KeyPath};
use crate::fleet;
use crate::history::pairs;
use crate::problem::Problem;
use crate::rejection::Rejection;

/// How often a rejection is decided anew where others change the fleet meanwhile.
const TRIES: usize = 4;

/// What is held of one pool in one history, all balancers together.
#[derive(Debug, Default)]
struct Held {
    /// The latest revision at which one of them saw it.
    revision: Revision,
    servers: BTreeSet<ServerKey>,
    /// The most that one of them holds back: it may name fewer.
    total: usize,
    balancers: Vec<Value>,
    holds: Vec<Hold>,
}

/// What is held of every pool.
type AllHeld = BTreeMap<(PoolId, Epoch), Held>;

pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let held = gather(&fleet::instances(&*app.registry).await?, |_| true);
    if held.is_empty() {
        app.check_memory().await?;
    }
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

/// Confirms a withdrawal that some balancer holds back: the balancers may do without these servers. It covers what was withdrawn
/// up to the named revision; where none is named, up to what is held now, which it has to cover as a whole.
pub(crate) async fn confirm(
    State(app): State<Arc<App>>,
    KeyPath(pool): KeyPath<Pool>,
    intent: Intent,
    OptionalJsonObject(sent): OptionalJsonObject,
) -> Result<Answer, Problem> {
    let intent = intent.waiting_for_no_drain()?.saying(&sent);
    let named = Named::parse(sent)?;
    let held = gather(&fleet::instances(&*app.registry).await?, |_| true);
    let decide = |snapshot: &Snapshot| {
        edit::find::<Pool>(snapshot, &pool)?;
        let ruling = named.ruling(snapshot, &pool, &held, HoldDecision::Confirm)?;
        let change = Change::Ruling(pool.clone(), Some(ruling.clone()));
        Ok((vec![change], Ruled::of(&pool, &ruling)))
    };
    let outcome = app.change(&intent, decide).await?;
    let (kept, ruled) = app.ruled(outcome).await?;
    let names = Map::from_iter([
        ("pool".into(), json!(pool)),
        ("ruling".into(), ruled.ruling.clone()),
    ]);
    app.answer_ruling(&intent, &kept, names, ruled).await
}

/// Rejects a withdrawal: what was taken away is put back, and verdicts that are held back stay unbelieved.
pub(crate) async fn reject(
    State(app): State<Arc<App>>,
    KeyPath(pool): KeyPath<Pool>,
    intent: Intent,
    OptionalJsonObject(sent): OptionalJsonObject,
) -> Result<Answer, Problem> {
    let intent = intent.waiting_for_no_drain()?.saying(&sent);
    let named = Named::parse(sent)?;
    for _ in 0..TRIES {
        let rejection = app.rejection_of(&pool, &named).await;
        let decide = |seen: &Snapshot| {
            let rejection = rejection.clone()?;
            let changes = rejection.changes(&pool, seen)?;
            let ruled = Ruled::by(&changes, &rejection.ruling);
            Ok((changes, ruled))
        };
        let outcome = match app.change(&intent, decide).await {
            Err(Problem::Contended) => continue,
            outcome => outcome?,
        };
        let (kept, ruled) = app.ruled(outcome).await?;
        let names = Map::from_iter([
            ("pool".into(), json!(pool)),
            ("ruling".into(), ruled.ruling.clone()),
            ("restored".into(), json!(ruled.servers())),
        ]);
        return app.answer_ruling(&intent, &kept, names, ruled).await;
    }
    Err(Problem::Contended)
}

/// What a ruling changed.
struct Ruled {
    /// Null where the history does not say any more.
    ruling: Value,
    elements: BTreeSet<(Collection, String)>,
}

impl Ruled {
    fn of(pool: &PoolId, ruling: &Ruling) -> Self {
        Self {
            ruling: json!(ruling),
            elements: [(Collection::Holds, pool.to_string())].into(),
        }
    }

    fn by(changes: &[Change], ruling: &Ruling) -> Self {
        let elements = changes.iter().map(|it| (it.collection(), it.key()));
        Self {
            ruling: json!(ruling),
            elements: elements.collect(),
        }
    }

    /// The same of one that was made before.
    fn in_history(entry: Option<&HistoryEntry>) -> Self {
        let changed: Vec<_> = entry.into_iter().flat_map(pairs).collect();
        let ruling = changed
            .iter()
            .find(|(it, ..)| it.collection == Collection::Holds);
        let elements = changed
            .iter()
            .map(|(it, ..)| (it.collection, it.key.clone()));
        Self {
            ruling: json!(ruling.and_then(|(_, _, after)| *after)),
            elements: elements.collect(),
        }
    }

    fn servers(&self) -> Vec<&str> {
        let servers = self.elements.iter();
        let servers = servers.filter(|(collection, _)| *collection == Collection::Servers);
        servers.map(|(_, key)| key.as_str()).collect()
    }
}

impl App {
    async fn rejection_of(&self, pool: &PoolId, named: &Named) -> Result<Rejection, Problem> {
        let truth = self.registry.snapshot().await?;
        let truth = truth.ok_or(Problem::Uninitialised)?.snapshot;
        self.seen(truth.position).await;
        // Whoever is lost goes on saying what was ruled on.
        let is_open = |hold: &Hold| {
            let ruling = truth.holds.get(&hold.pool).map(|ruling| &ruling.value);
            ruling.is_none_or(|ruling| !ruling.covers(hold.position))
        };
        let held = gather(&fleet::instances(&*self.registry).await?, is_open);
        let key = (pool.clone(), truth.position.epoch);
        let of_pool = held.get(&key);
        let of_pool = of_pool.ok_or_else(|| Problem::not_found("hold of the pool", pool))?;
        let ruling = named.ruling(&truth, pool, &held, HoldDecision::Reject)?;
        self.rejection(&truth, pool, &of_pool.holds, ruling).await
    }

    /// What a ruling changed, also where that was before.
    async fn ruled(&self, outcome: Outcome<Ruled>) -> Result<(Kept, Ruled), Problem> {
        let kept = match outcome {
            Outcome::Made(kept, ruled) => return Ok((kept, ruled)),
            Outcome::Earlier(kept) => kept,
        };
        let position = kept.committed.position;
        let is_it = |entry: &&HistoryEntry| entry.position == position;
        let history = self.history_until(|history| history.iter().any(|it| is_it(&it)));
        let ruled = Ruled::in_history(history.await?.iter().find(is_it));
        Ok((kept, ruled))
    }

    async fn answer_ruling(
        &self,
        intent: &Intent,
        kept: &Kept,
        names: Map<String, Value>,
        ruled: Ruled,
    ) -> Result<Answer, Problem> {
        let position = kept.committed.position;
        let answer = Answer::bare(names, position.revision);
        let goal = Goal::Changed(position, ruled.elements);
        let waited = match intent.wait {
            Some(wait) => Some(self.wait(wait, &goal).await),
            None => None,
        };
        Ok(answer.after(waited.as_ref()).of_change(intent, kept))
    }
}

fn gather(instances: &[Instance], counts: impl Fn(&Hold) -> bool) -> AllHeld {
    let mut all = AllHeld::new();
    for report in instances.iter().map(|instance| &instance.report) {
        for hold in report.holds.iter().filter(|hold| counts(hold)) {
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
            held.holds.push(hold.clone());
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
        held: &AllHeld,
        decision: HoldDecision,
    ) -> Result<Ruling, Problem> {
        let present = snapshot.position;
        let epoch = self.epoch.unwrap_or(present.epoch);
        if epoch != present.epoch {
            let rule = format!("must be the present one, {}", present.epoch);
            return Err(Problem::field("epoch", rule));
        }
        let held = held.get(&(pool.clone(), epoch));
        let held = held.ok_or_else(|| Problem::not_found("hold of the pool", pool))?;
        let revision = self.revision.unwrap_or(held.revision);
        if revision > present.revision {
            let rule = format!("must be at most the present one, {}", present.revision);
            return Err(Problem::field("revision", rule));
        }
        if let Some(later) = later_ruling(snapshot, pool, revision) {
            let (pool, revision) = (pool.clone(), later.revision);
            return Err(Problem::Overruled { pool, revision });
        }
        if revision < held.revision {
            let rule = format!(
                "must be at least that of what is held now, {}: look at it with roundhouse holds, and rule on that",
                held.revision
            );
            return Err(Problem::field("revision", rule));
        }
        Ok(Ruling {
            epoch,
            revision,
            decision,
            unknown: model::Unknown::default(),
        })
    }
}

/// A ruling on the pool that covers more than one up to this revision would, and that such a one would replace.
fn later_ruling<'a>(
    snapshot: &'a Snapshot,
    pool: &PoolId,
    revision: Revision,
) -> Option<&'a Ruling> {
    let ruling = &snapshot.holds.get(pool)?.value;
    let is_later = ruling.epoch == snapshot.position.epoch && ruling.revision > revision;
    is_later.then_some(ruling)
}
