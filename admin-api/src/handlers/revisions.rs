//! `/v1/revisions`: the latest desired changes, newest first, and the way back to one of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use model::{Entry, Epoch, Revision, Snapshot};
use registry::HistoryEntry;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::app::App;
use crate::body::{OptionalJsonObject, from_json};
use crate::diff::diff;
use crate::extract::{Intent, RevisionPath};
use crate::history::{page_start, pairs};
use crate::problem::Problem;
use crate::query::Parameters;

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 1_000;

/// The longest reason that is kept, in bytes.
const REASON_MAX: usize = 500;

/// Which part of the history is asked for.
struct Page {
    limit: usize,
    /// The revision that the page before ended with.
    before: Option<Revision>,
    /// The epoch of that one: the newest where none is named.
    epoch: Option<Epoch>,
}

pub(crate) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Json<Value>, Problem> {
    let page = Page::parse(&Parameters::parse(&uri, &["limit", "before", "epoch"])?)?;
    let enough = |history: &[HistoryEntry]| history.len() >= page.start(history) + page.limit;
    let history = app.history_until(enough).await?;
    if history.is_empty() {
        app.check_memory().await?;
    }
    let entries = history.iter().skip(page.start(&history)).take(page.limit);
    Ok(Json(entries.map(revision).collect()))
}

/// Makes the desired state what it was at a revision, as a new one.
pub(crate) async fn restore(
    State(app): State<Arc<App>>,
    RevisionPath(revision): RevisionPath,
    intent: Intent,
    OptionalJsonObject(sent): OptionalJsonObject,
) -> Result<Answer, Problem> {
    let mut intent = intent.waiting_for_no_drain()?.saying(&sent);
    let Asked { reason, epoch } = Asked::parse(sent)?;
    intent.reason = reason.unwrap_or_else(|| format!("restore of revision {revision}"));
    let seen = app.snapshot()?;
    let wanted = match app.fleet_at(&seen, revision, epoch).await {
        Ok(wanted) => wanted,
        Err(problem) => return app.answered_before(&intent, &seen, problem).await,
    };
    let wanted = |_: &Snapshot| Ok(wanted.clone());
    app.make_whole(&intent, wanted).await
}

/// What the body of a restore may say.
struct Asked {
    reason: Option<String>,
    /// The epoch that the revision is of, for who wants to be sure that it is still the present one.
    epoch: Option<Epoch>,
}

impl Asked {
    fn parse(mut sent: Map<String, Value>) -> Result<Self, Problem> {
        let (reason, epoch) = (sent.remove("reason"), sent.remove("epoch"));
        if let Some(unknown) = sent.keys().next() {
            return Err(vec![model::Problem::unknown_field(unknown)].into());
        }
        let epoch = epoch.map(from_json).transpose();
        let epoch = epoch.map_err(|problem| problem.at("epoch"))?;
        let reason: Option<String> = reason
            .map(from_json)
            .transpose()
            .map_err(|problem| problem.at("reason"))?;
        if reason
            .as_ref()
            .is_some_and(|text| text.is_empty() || text.len() > REASON_MAX)
        {
            let rule = format!("must be 1 to {REASON_MAX} bytes");
            return Err(Problem::field("reason", rule));
        }
        Ok(Self { reason, epoch })
    }
}

impl Page {
    fn parse(parameters: &Parameters) -> Result<Self, Problem> {
        let limit = parameters.get("limit");
        let before = parameters.get("before").map(parse_revision).transpose()?;
        let epoch = parameters.get("epoch").map(parse_epoch).transpose()?;
        if epoch.is_some() && before.is_none() {
            let rule = "is that of the revision in before: name before too";
            return Err(Problem::field("epoch", rule));
        }
        Ok(Self {
            limit: limit.map_or(Ok(LIMIT_DEFAULT), parse_limit)?,
            before,
            epoch,
        })
    }

    fn start(&self, history: &[HistoryEntry]) -> usize {
        let newest = history.first().map(|entry| entry.position.epoch);
        match (self.before, self.epoch.or(newest)) {
            (Some(before), Some(epoch)) => page_start(history, epoch, before),
            _ => 0,
        }
    }
}

fn parse_limit(text: &str) -> Result<usize, Problem> {
    let limit = text
        .parse()
        .ok()
        .filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| Problem::field("limit", format!("must be from 1 to {LIMIT_MAX}")))
}

fn parse_revision(text: &str) -> Result<Revision, Problem> {
    let revision = text.parse().map(Revision);
    revision.map_err(|_| Problem::field("before", "must be the number of a revision"))
}

fn parse_epoch(text: &str) -> Result<Epoch, Problem> {
    let epoch = text.parse();
    epoch.map_err(|_| Problem::field("epoch", "must be an epoch's id, as an entry has it"))
}

fn revision(entry: &HistoryEntry) -> Value {
    json!({
        "revision": entry.position.revision,
        "epoch": entry.position.epoch,
        "id": entry.position.id,
        "time": humantime::format_rfc3339_millis(entry.time).to_string(),
        "author": entry.author,
        "reason": entry.reason,
        "changes": changes(entry),
    })
}

/// Each element that was touched, before and after, and what differs; stamps left out, since the revision says when.
fn changes(entry: &HistoryEntry) -> Vec<Value> {
    let change = |(after, old, new): (&Entry, Option<&Value>, Option<&Value>)| {
        json!({
            "collection": after.collection,
            "key": after.key,
            "diff": diff(old, new),
            "before": old,
            "after": new,
        })
    };
    pairs(entry).map(change).collect()
}
