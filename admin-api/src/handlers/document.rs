//! `/v1/export` and `/v1/import`: the whole desired state as one document, for those who keep it in a file.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::{Fleet, Snapshot};

use crate::answer::Answer;
use crate::app::App;
use crate::body::Document;
use crate::etag::{self, Conditions};
use crate::extract::Intent;
use crate::import::Imported;
use crate::problem::Problem;
use crate::query::Parameters;

/// How a document is imported.
#[derive(Debug)]
pub(crate) struct Manner {
    intent: Intent,
    is_dry_run: bool,
    /// Whether what the document does not hold is removed, of the kinds that it says something of.
    prunes: bool,
}

impl<S: Sync> FromRequestParts<S> for Manner {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let [wait, timeout] = Intent::PARAMETERS;
        let known = [wait, timeout, "dry_run", "prune"];
        let parameters = Parameters::parse(&parts.uri, &known)?;
        let is_dry_run = parameters.flag("dry_run")?;
        if is_dry_run && parameters.get(wait).is_some() {
            let rule = "is for a change that is made, and a dry run makes none";
            return Err(Problem::field(wait, rule));
        }
        Ok(Self {
            intent: Intent::read(parts, &parameters)?.waiting_for_no_drain()?,
            is_dry_run,
            prunes: parameters.flag("prune")?,
        })
    }
}

/// The document, unless its reader has it already. Its tag is the revision that last changed anything.
pub(crate) async fn export(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let snapshot = app.snapshot()?;
    let tag = [(header::ETAG, etag::value(snapshot.desired))];
    if Conditions::parse(&headers)?.known(snapshot.desired) {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    Ok((tag, Json(Fleet::of(&snapshot))).into_response())
}

/// Makes the desired state what the document says, or tells what that would change.
pub(crate) async fn import(
    State(app): State<Arc<App>>,
    manner: Manner,
    Document(sent): Document,
) -> Result<Answer, Problem> {
    let mut intent = manner.intent.saying(&sent);
    if manner.prunes {
        // The same document with it is another request.
        intent.fingerprint.push_str(" prune");
    }
    let imported = Imported::read(sent, manner.prunes, &app.means).await?;
    let wanted = |snapshot: &Snapshot| imported.over(snapshot);
    match manner.is_dry_run {
        true => app.try_whole(&intent, wanted),
        false => app.make_whole(&intent, wanted).await,
    }
}
