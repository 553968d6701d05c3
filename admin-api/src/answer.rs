//! The answer to a change: what became of the resource, its tag, and how the wait for it went.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::{Author, Revision};
use serde_json::{Map, Value, json};

use crate::durability::Kept;
use crate::etag;
use crate::extract::Intent;
use crate::wait::Waited;

/// An answer that can still be added to.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    pub(crate) body: Value,
    tag: Option<Revision>,
    location: Option<String>,
    changed: Option<Changed>,
}

/// Who changed what, for the log.
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    pub(crate) author: Author,
    /// Nothing where what was changed is not part of the state.
    pub(crate) revision: Option<Revision>,
}

impl Answer {
    /// The resource as it is.
    pub(crate) fn present(body: Value, revision: Revision) -> Self {
        Self {
            status: StatusCode::OK,
            body,
            tag: Some(revision),
            location: None,
            changed: None,
        }
    }

    /// Nothing but the names of what was changed, and the revision that did it.
    pub(crate) fn bare(mut names: Map<String, Value>, revision: Revision) -> Self {
        names.insert("revision".into(), json!(revision));
        Self {
            tag: None,
            ..Self::present(Value::Object(names), revision)
        }
    }

    /// The resource is new, and will be found there.
    pub(crate) fn created_at(self, path: String) -> Self {
        Self {
            status: StatusCode::CREATED,
            location: Some(path),
            ..self
        }
    }

    /// Says how the wait went, if there was one: 202 where it is not done everywhere.
    pub(crate) fn after(mut self, waited: Option<&Waited>) -> Self {
        let Some(waited) = waited else { return self };
        self.body["wait"] = waited.json();
        if !waited.is_done() {
            self.status = StatusCode::ACCEPTED;
        }
        self
    }

    /// Says how many replicas have it, where that was asked. The status stays: the change is made.
    pub(crate) fn kept(mut self, kept: &Kept) -> Self {
        if let Some(durability) = &kept.durability {
            self.body["durability"] = durability.json();
        }
        self
    }

    /// The same, and says in the log who made which revision.
    pub(crate) fn of_change(mut self, intent: &Intent, kept: &Kept) -> Self {
        self.changed = Some(Changed {
            author: intent.author.clone(),
            revision: Some(kept.committed.position.revision),
        });
        self.kept(kept)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        let headers = response.headers_mut();
        if let Some(revision) = self.tag {
            headers.insert(header::ETAG, etag::value(revision));
        }
        if let Some(path) = self.location {
            let path = HeaderValue::try_from(path).expect("names are header values");
            headers.insert(header::LOCATION, path);
        }
        if let Some(changed) = self.changed {
            response.extensions_mut().insert(changed);
        }
        response
    }
}
