//! Every path of the API, on one page, and the door before all of them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use model::{Certificate, Limit, Listener, NetworkList, Pool, Route, Server};

use crate::access_log;
use crate::app::App;
use crate::auth::Access;
use crate::fleet;
use crate::handlers::{
    document, events, explain, fallback, holds, instances, registrations, resources, revisions,
    secrets, servers, status,
};
use crate::origin;
use crate::problem::{Problem, Uninitialised};
use crate::resource::Resource;

pub(crate) fn router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/v1/pools", all::<Pool>())
        .route("/v1/pools/{pool}", one::<Pool>())
        .route(
            "/v1/pools/{pool}/servers",
            get(servers::list).post(servers::create),
        )
        .route("/v1/pools/{pool}/servers/{server}", one::<Server>())
        .route("/v1/routes", all::<Route>())
        .route("/v1/routes/{route}", one::<Route>().post(explain::explain))
        .route("/v1/listeners", all::<Listener>())
        .route("/v1/listeners/{listener}", one::<Listener>())
        .route("/v1/networks", all::<NetworkList>())
        .route("/v1/networks/{list}", one::<NetworkList>())
        .route("/v1/limits", all::<Limit>())
        .route("/v1/limits/{limit}", one::<Limit>())
        .route("/v1/certificates", all::<Certificate>())
        .route("/v1/certificates/{certificate}", one::<Certificate>())
        .route(
            "/v1/registrations/{pool}/{server}",
            put(registrations::renew).delete(registrations::end),
        )
        .route("/v1/balancers", get(instances::balancers))
        .route("/v1/balancers/{id}", delete(instances::forget_balancer))
        .route("/v1/orchestrators", get(instances::orchestrators))
        .route(
            "/v1/orchestrators/{id}",
            delete(instances::forget_orchestrator),
        )
        .route("/v1/status", get(status::show))
        .route("/v1/revisions", get(revisions::list))
        .route("/v1/revisions/{revision}/restore", post(revisions::restore))
        .route("/v1/export", get(document::export))
        .route("/v1/import", put(document::import))
        .route("/v1/holds", get(holds::list))
        .route("/v1/holds/{pool}/confirm", post(holds::confirm))
        .route("/v1/holds/{pool}/reject", post(holds::reject))
        .route("/v1/secrets/sticky/rotate", post(secrets::rotate_sticky))
        .route("/v1/events", get(events::follow))
        .fallback(fallback::no_such_path)
        .method_not_allowed_fallback(fallback::method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(app), door))
        .layer(from_fn_with_state(Arc::clone(app), access_log::record))
        .with_state(Arc::clone(app))
}

/// What can be done to all resources of a kind.
fn all<R: Resource>() -> MethodRouter<Arc<App>> {
    get(resources::list::<R>).post(resources::create::<R>)
}

/// What can be done to one of them.
fn one<R: Resource>() -> MethodRouter<Arc<App>> {
    get(resources::show::<R>)
        .put(resources::replace::<R>)
        .patch(resources::patch::<R>)
        .delete(resources::remove::<R>)
}

/// Lets in who may, and gives their changes a name.
async fn door(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    if matches!(app.access, Access::Local) {
        origin::check(&parts)?;
    }
    let author = app.access.author(&parts.headers)?;
    parts.extensions.insert(author);
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if response.extensions().get::<Uninitialised>().is_some() && fleet::is_forgotten(&app).await {
        response = Problem::Forgetful.into_response();
    }
    let headers = response.headers_mut();
    // A tag says nothing of health, so that a kept answer could show what is long over.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    Ok(response)
}
