//! What can be done to any resource: list all, make one, and by its path show it, replace it, patch it, remove it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::Snapshot;
use serde_json::Value;

use crate::answer::Answer;
use crate::app::App;
use crate::body::Described;
use crate::edit::{self, Plan};
use crate::etag::{self, Conditions};
use crate::extract::{Intent, KeyPath};
use crate::problem::Problem;
use crate::resource::{Resource, render};

pub(crate) async fn list<R: Resource>(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    let snapshot = app.snapshot()?;
    let (all, known) = (R::all(&snapshot).values(), app.known(&snapshot));
    Ok(Json(all.map(|it| R::listed(it, known)).collect()))
}

/// Makes one of the name that its description has.
pub(crate) async fn create<R: Resource>(
    State(app): State<Arc<App>>,
    intent: Intent,
    Described(mut sent, _): Described<R>,
) -> Result<Answer, Problem> {
    let intent = intent.saying(&sent);
    edit::refuse_read_only::<R>(&sent)?;
    let key = R::sent_key(&sent)?;
    R::prepare(Some(&key), &mut sent, &app.means).await?;
    let plan = |snapshot: &Snapshot| {
        if R::find(snapshot, &key).is_some() {
            let (kind, key) = (R::KIND, key.to_string());
            return Err(Problem::Exists { kind, key });
        }
        let after = Some(edit::replacement::<R>(&key, snapshot, &sent)?);
        Ok(Plan {
            key: key.clone(),
            after,
        })
    };
    app.edit::<R>(&intent, Some(&key), plan).await
}

/// The resource, unless its reader has it already.
pub(crate) async fn show<R: Resource>(
    State(app): State<Arc<App>>,
    KeyPath(key): KeyPath<R>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let snapshot = app.snapshot()?;
    let stamped = edit::find::<R>(&snapshot, &key)?;
    let tag = [(header::ETAG, etag::value(stamped.revision))];
    if Conditions::parse(&headers)?.known(stamped.revision) {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    let shown = render(stamped, app.known(&snapshot));
    Ok((tag, Json(shown)).into_response())
}

pub(crate) async fn replace<R: Resource>(
    State(app): State<Arc<App>>,
    KeyPath(key): KeyPath<R>,
    intent: Intent,
    Described(mut sent, _): Described<R>,
) -> Result<Answer, Problem> {
    let intent = intent.saying(&sent);
    edit::drop_read_only::<R>(&mut sent);
    edit::check_names::<R>(&key, &sent)?;
    R::prepare(Some(&key), &mut sent, &app.means).await?;
    let plan = |snapshot: &Snapshot| {
        R::check_place(&key, snapshot)?;
        let after = Some(edit::replacement::<R>(&key, snapshot, &sent)?);
        Ok(Plan {
            key: key.clone(),
            after,
        })
    };
    app.edit::<R>(&intent, Some(&key), plan).await
}

pub(crate) async fn patch<R: Resource>(
    State(app): State<Arc<App>>,
    KeyPath(key): KeyPath<R>,
    intent: Intent,
    Described(mut sent, _): Described<R>,
) -> Result<Answer, Problem> {
    let intent = intent.saying(&sent);
    edit::refuse_read_only::<R>(&sent)?;
    edit::check_names::<R>(&key, &sent)?;
    R::prepare(Some(&key), &mut sent, &app.means).await?;
    let plan = |snapshot: &Snapshot| {
        let after = Some(edit::patched::<R>(&key, snapshot, &sent)?);
        Ok(Plan {
            key: key.clone(),
            after,
        })
    };
    app.edit(&intent, Some(&key), plan).await
}

pub(crate) async fn remove<R: Resource>(
    State(app): State<Arc<App>>,
    KeyPath(key): KeyPath<R>,
    intent: Intent,
) -> Result<Answer, Problem> {
    let plan = |snapshot: &Snapshot| {
        edit::check_presence::<R>(snapshot, &key)?;
        Ok(Plan::<R> {
            key: key.clone(),
            after: None,
        })
    };
    app.edit(&intent, Some(&key), plan).await
}
