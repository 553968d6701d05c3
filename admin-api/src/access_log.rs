//! Every request is counted; every change is logged with who made it. Tokens and bodies never are.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use model::Author;
use tokio::time::Instant;

use crate::answer::Changed;
use crate::app::App;

pub(crate) async fn record(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    app.metrics.requested(label(&method), route, status);
    if let Some(Changed { author, revision }) = response.extensions().get() {
        let duration = started.elapsed();
        let (author, revision) = (name(author), revision.map(|revision| revision.0));
        tracing::info!(author, %method, path, status, revision, ?duration, "changed");
    }
    response
}

/// The methods that a label can be: whatever a client invents is one.
fn label(method: &Method) -> &'static str {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ];
    let names = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    let index = known.iter().position(|it| it == method);
    index.map_or("other", |index| names[index])
}

fn name(author: &Author) -> String {
    match author {
        Author::Operator { name } | Author::Source { name } => name.clone(),
        Author::Leader { instance, .. } => instance.to_string(),
    }
}
