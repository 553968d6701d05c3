//! What nothing else answers.

use axum::http::{Method, Uri};

use crate::problem::Problem;

pub(crate) async fn no_such_path(uri: Uri) -> Problem {
    let path = uri.path().to_owned();
    Problem::NoSuchPath { path }
}

pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let (method, path) = (method.to_string(), uri.path().to_owned());
    Problem::MethodNotAllowed { method, path }
}
