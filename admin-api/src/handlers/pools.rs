//! `/v1/pools`: listing and creating; what a pool's own path can do is in `resources`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{Pool, PoolId};
use serde_json::Value;

use crate::answer::Answer;
use crate::app::App;
use crate::body::{JsonObject, from_json};
use crate::edit::{self, Plan};
use crate::extract::Intent;
use crate::problem::Problem;
use crate::resource::{Resource, render};

pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let snapshot = app.snapshot()?;
    let pools = snapshot.pools.values();
    Ok(Json(pools.map(|pool| render(pool, &snapshot)).collect()))
}

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    intent: Intent,
    JsonObject(sent): JsonObject,
) -> Result<Answer, Problem> {
    let intent = intent.saying(&sent);
    edit::refuse_read_only::<Pool>(&sent)?;
    let id = sent
        .get("id")
        .ok_or_else(|| Problem::field("id", "is required"))?;
    let id: PoolId = from_json(id.clone()).map_err(|problem| problem.at("id"))?;
    let plan = |snapshot: &model::Snapshot| {
        if snapshot.pools.contains_key(&id) {
            let key = id.to_string();
            return Err(Problem::Exists {
                kind: Pool::KIND,
                key,
            });
        }
        let after = Some(edit::replacement(&id, None, &sent)?);
        Ok(Plan {
            key: id.clone(),
            after,
        })
    };
    app.edit::<Pool>(&intent, Some(&id), plan).await
}
