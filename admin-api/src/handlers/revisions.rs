//! `/v1/revisions`: the latest desired changes, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use model::Entry;
use registry::HistoryEntry;
use serde_json::{Value, json};

use crate::app::App;
use crate::problem::Problem;
use crate::query::Parameters;

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 1_000;

pub(crate) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::parse(&uri, &["limit"])?;
    let limit = parameters
        .get("limit")
        .map_or(Ok(LIMIT_DEFAULT), parse_limit)?;
    let history = app.registry.history(limit).await?;
    Ok(Json(history.iter().map(revision).collect()))
}

fn parse_limit(text: &str) -> Result<usize, Problem> {
    let limit = text
        .parse()
        .ok()
        .filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| Problem::field("limit", format!("must be from 1 to {LIMIT_MAX}")))
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

/// Each element that was touched, before and after; stamps left out, since the revision says when.
fn changes(entry: &HistoryEntry) -> Vec<Value> {
    let pairs = entry.before.iter().zip(&entry.after);
    let value = |element: &Entry| element.value.as_ref()?.get("value").cloned();
    let change = |(before, after): (&Entry, &Entry)| {
        json!({
            "collection": after.collection,
            "key": after.key,
            "before": value(before),
            "after": value(after),
        })
    };
    pairs.map(change).collect()
}
