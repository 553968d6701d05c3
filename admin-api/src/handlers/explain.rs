//! `POST /v1/routes/explain`: which route would take a request, and why the others would not.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::{Method, Uri, header};
use axum::response::{IntoResponse, Response};
use model::{NormalPath, Route, Scheme, Snapshot, Unknown};
use policy::{Explanation, Fields, Question, Routes};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::fallback;
use crate::app::App;
use crate::body::{JsonObject, sift};
use crate::extract::KeyPath;
use crate::problem::Problem;

/// The name below `/v1/routes` to which questions are sent. A route may have it all the same, since nothing else is POSTed to a route.
const EXPLAIN: &str = "explain";

/// What else a path below `/v1/routes` takes.
const METHODS: &str = "GET,HEAD,PUT,PATCH,DELETE";

/// The routes as last compiled, of which those that have not changed since are taken over.
#[derive(Debug, Default)]
pub(crate) struct Compiled(Mutex<Routes>);

impl Compiled {
    fn of(&self, snapshot: &Snapshot) -> Routes {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Routes::compile(snapshot, &kept);
        kept.clone()
    }
}

/// A request as people describe it.
#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default = "get")]
    method: String,
    #[serde(default = "http")]
    scheme: Scheme,
    #[serde(default)]
    host: String,
    path: String,
    #[serde(default)]
    query: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default = "local")]
    client: IpAddr,
    #[serde(flatten)]
    unknown: Unknown,
}

fn get() -> String {
    Method::GET.to_string()
}

fn http() -> Scheme {
    Scheme::Http
}

fn local() -> IpAddr {
    Ipv4Addr::LOCALHOST.into()
}

impl Fields for Asked {
    fn any(&self, name: &[u8], accepts: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut named = self
            .headers
            .iter()
            .filter(|(own, _)| own.as_bytes().eq_ignore_ascii_case(name));
        named.any(|(_, value)| accepts(value.trim().as_bytes()))
    }
}

impl Asked {
    fn read(sent: Map<String, Value>) -> Result<Self, Problem> {
        let mut accepted = sift::<Self>(Value::Object(sent));
        if let Some(asked) = &accepted.value {
            let problems = asked.problems();
            accepted.add(problems);
        }
        accepted.whole()
    }

    /// What is wrong with what could be read.
    fn problems(&self) -> Vec<model::Problem> {
        let unknown = self.unknown.0.keys();
        let mut problems: Vec<_> = unknown.map(model::Problem::unknown_field).collect();
        if Method::from_bytes(self.method.as_bytes()).is_err() {
            let rule = "must be a method as requests write it, such as \"GET\"";
            problems.push(model::Problem::new("method", rule));
        }
        if let Err(rule) = self.matched() {
            problems.push(model::Problem::new("path", rule));
        }
        problems
    }

    /// The path as routes look at it.
    ///
    /// # Errors
    /// The rule that it breaks.
    fn matched(&self) -> Result<Vec<u8>, String> {
        if self.path == "*" {
            return Ok(b"*".into());
        }
        if self.path.contains(['?', '#']) {
            return Err("must have no query: that is a field of its own".into());
        }
        let normal = NormalPath::of(self.path.as_bytes());
        let normal = normal.map_err(|error| format!("is refused: {error}"))?;
        Ok(normal.matched().into())
    }

    fn question<'a>(&'a self, path: &'a [u8]) -> Question<'a> {
        Question {
            host: self.host.as_bytes(),
            path,
            query: self.query.as_bytes(),
            method: self.method.as_bytes(),
            scheme: self.scheme,
            client: self.client,
            headers: self,
        }
    }
}

pub(crate) async fn explain(
    State(app): State<Arc<App>>,
    KeyPath(name): KeyPath<Route>,
    method: Method,
    uri: Uri,
    JsonObject(sent): JsonObject,
) -> Result<Response, Problem> {
    if name.as_str() != EXPLAIN {
        let problem = fallback::method_not_allowed(method, uri).await;
        return Ok(([(header::ALLOW, METHODS)], problem).into_response());
    }
    let asked = Asked::read(sent)?;
    let path = asked.matched();
    let path = path.expect("what was read has a path that routes can look at");
    let snapshot = app.snapshot()?;
    // Long lists of networks take a while to compile.
    let explained = tokio::task::spawn_blocking(move || {
        let explanation = app.routes.of(&snapshot).explain(&asked.question(&path));
        answer(&explanation, &path, &snapshot)
    });
    Ok(Json(explained.await.expect("it does not panic")).into_response())
}

/// The explanation, with what the route does.
fn answer(explanation: &Explanation, path: &[u8], snapshot: &Snapshot) -> Value {
    let mut answer = json!(explanation);
    let route = explanation
        .route
        .as_ref()
        .and_then(|id| snapshot.routes.get(id));
    answer["action"] = json!(route.map(|route| &route.value.action));
    answer["path"] = json!(String::from_utf8_lossy(path));
    answer
}
