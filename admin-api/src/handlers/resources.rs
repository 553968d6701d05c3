//! What can be done to any resource by its path: show it, replace it, patch it, remove it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::Snapshot;

use crate::answer::Answer;
use crate::app::App;
use crate::body::JsonObject;
use crate::edit::{self, Plan};
use crate::etag::{self, Conditions};
use crate::extract::Intent;
use crate::problem::Problem;
use crate::resource::{Resource, render};

/// The resource, unless its reader has it already.
pub(crate) async fn show<R: Resource>(
    State(app): State<Arc<App>>,
    path: R::Path,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let snapshot = app.snapshot()?;
    let stamped = edit::find::<R>(&snapshot, &path.into())?;
    let tag = [(header::ETAG, etag::value(stamped.revision))];
    if Conditions::parse(&headers)?.known(stamped.revision) {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    Ok((tag, Json(render(stamped, &snapshot))).into_response())
}

pub(crate) async fn replace<R: Resource>(
    State(app): State<Arc<App>>,
    path: R::Path,
    intent: Intent,
    JsonObject(mut sent): JsonObject,
) -> Result<Answer, Problem> {
    let key: R::Key = path.into();
    let intent = intent.saying(&sent);
    edit::drop_read_only::<R>(&mut sent);
    edit::check_names::<R>(&key, &sent)?;
    R::prepare(&mut sent).await?;
    let plan = |snapshot: &Snapshot| {
        R::check_place(&key, snapshot)?;
        let stored = R::find(snapshot, &key).map(|stored| &stored.value);
        let after = Some(edit::replacement(&key, stored, &sent)?);
        Ok(Plan {
            key: key.clone(),
            after,
        })
    };
    app.edit::<R>(&intent, Some(&key), plan).await
}

pub(crate) async fn patch<R: Resource>(
    State(app): State<Arc<App>>,
    path: R::Path,
    intent: Intent,
    JsonObject(mut sent): JsonObject,
) -> Result<Answer, Problem> {
    let key: R::Key = path.into();
    let intent = intent.saying(&sent);
    edit::refuse_read_only::<R>(&sent)?;
    edit::check_names::<R>(&key, &sent)?;
    R::prepare(&mut sent).await?;
    let plan = |snapshot: &Snapshot| {
        let stored: &R = &edit::find(snapshot, &key)?.value;
        let after = Some(edit::patched(stored, &sent)?);
        Ok(Plan {
            key: key.clone(),
            after,
        })
    };
    app.edit(&intent, Some(&key), plan).await
}

pub(crate) async fn remove<R: Resource>(
    State(app): State<Arc<App>>,
    path: R::Path,
    intent: Intent,
) -> Result<Answer, Problem> {
    let key: R::Key = path.into();
    let plan = |snapshot: &Snapshot| {
        edit::find::<R>(snapshot, &key)?;
        Ok(Plan::<R> {
            key: key.clone(),
            after: None,
        })
    };
    app.edit(&intent, Some(&key), plan).await
}
