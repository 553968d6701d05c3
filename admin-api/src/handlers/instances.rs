//! `/v1/balancers` and `/v1/orchestrators`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, State};
use model::{Author, Instance, InstanceId, Role};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::answer::Changed;
use crate::app::App;
use crate::fleet;
use crate::problem::Problem;

pub(crate) async fn balancers(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let view = app.view();
    let (instances, lags) = fleet::survey(&*app.registry, &view).await?;
    let balancers = fleet::of_role(instances, Role::Balancer);
    let render = |it| fleet::balancer(it, view.registry_position, &lags);
    Ok(Json(balancers.iter().map(render).collect()))
}

pub(crate) async fn orchestrators(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let instances = fleet::instances(&*app.registry).await?;
    let view = app.view();
    let leader = fleet::leader(&view, Instant::now());
    let orchestrators = fleet::of_role(instances, Role::Orchestrator);
    let render = |it| fleet::orchestrator(it, view.registry_position, leader);
    Ok(Json(orchestrators.iter().map(render).collect()))
}

/// Forgets a balancer that will not come back, so that nobody waits for it. One that still lives is back
/// with its next report.
pub(crate) async fn forget_balancer(
    State(app): State<Arc<App>>,
    Extension(author): Extension<Author>,
    Path(id): Path<String>,
) -> Result<(Extension<Changed>, Json<Value>), Problem> {
    forget(&app, author, Role::Balancer, &id).await
}

/// The same of an orchestrator, so that nobody is alarmed about it.
pub(crate) async fn forget_orchestrator(
    State(app): State<Arc<App>>,
    Extension(author): Extension<Author>,
    Path(id): Path<String>,
) -> Result<(Extension<Changed>, Json<Value>), Problem> {
    forget(&app, author, Role::Orchestrator, &id).await
}

async fn forget(
    app: &App,
    author: Author,
    role: Role,
    id: &str,
) -> Result<(Extension<Changed>, Json<Value>), Problem> {
    let kind = match role {
        Role::Balancer => "balancer",
        Role::Orchestrator => "orchestrator",
        Role::Admin => "admin API",
    };
    let unknown = || Problem::not_found(kind, id);
    let instance: InstanceId = id.parse().map_err(|_| unknown())?;
    // Also one whose place another has taken.
    let instances = app.registry.instances().await?;
    let is_it = |it: &&Instance| it.report.instance == instance;
    let found = fleet::of_role(instances, role);
    let found = found.iter().find(is_it).ok_or_else(unknown)?;
    if !app.registry.forget(instance).await? {
        return Err(unknown());
    }
    let forgotten = json!({"id": instance, "advertise": found.report.advertise});
    let changed = Changed {
        author,
        revision: None,
    };
    Ok((Extension(changed), Json(forgotten)))
}
