//! `/v1/pools/{pool}/servers`: listing and creating; what a server's own path can do is in `resources`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{Pool, PoolId, Server, ServerId, ServerKey, Snapshot};
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::app::App;
use crate::body::{JsonObject, from_json};
use crate::edit::{self, Plan};
use crate::extract::{Intent, KeyPath};
use crate::problem::Problem;
use crate::resource::{Resource, check_pool, next_id, render};

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    KeyPath(pool): KeyPath<Pool>,
) -> Result<Json<Value>, Problem> {
    let snapshot = app.snapshot()?;
    check_pool(&pool, &snapshot)?;
    let servers = snapshot.servers_of(&pool);
    Ok(Json(
        servers
            .into_iter()
            .map(|server| render(server, app.known(&snapshot)))
            .collect(),
    ))
}

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    KeyPath(pool): KeyPath<Pool>,
    intent: Intent,
    JsonObject(mut sent): JsonObject,
) -> Result<Answer, Problem> {
    let intent = intent.saying(&sent);
    edit::refuse_read_only::<Server>(&sent)?;
    check_name(&pool, &sent)?;
    let id = sent.get("id").map(|id| from_json::<ServerId>(id.clone()));
    let id = id.transpose().map_err(|problem| problem.at("id"))?;
    let key = id.map(|id| ServerKey::new(pool.clone(), id));
    Server::prepare(key.as_ref(), &mut sent, &app.means).await?;
    let plan = |snapshot: &Snapshot| {
        check_pool(&pool, snapshot)?;
        let next = || ServerKey::new(pool.clone(), next_id(snapshot, &pool));
        let key = key.clone().unwrap_or_else(next);
        if Server::find(snapshot, &key).is_some() {
            let key = key.to_string();
            return Err(Problem::Exists {
                kind: Server::KIND,
                key,
            });
        }
        let after = Some(edit::replacement::<Server>(&key, snapshot, &sent)?);
        Ok(Plan { key, after })
    };
    app.edit::<Server>(&intent, key.as_ref(), plan).await
}

fn check_name(pool: &PoolId, sent: &Map<String, Value>) -> Result<(), Problem> {
    let named = sent.get("pool").is_none_or(|sent| *sent == json!(pool));
    let rule = || format!("must be {:?}, as in the path", pool.as_str());
    if named {
        Ok(())
    } else {
        Err(Problem::field("pool", rule()))
    }
}
