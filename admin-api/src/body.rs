//! Request bodies: JSON objects of bounded size, read in bounded time, refused with the place of the fault.

mod rule;
mod sieve;
mod unique;

use std::error::Error;
use std::marker::PhantomData;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::problem::Problem;
use crate::resource::Resource;

pub(crate) use sieve::{Accepted, sift};

/// The largest body, in bytes.
pub(crate) const BODY_MAX: usize = 64 * 1024;

/// The largest body that describes a whole fleet, in bytes.
pub(crate) const DOCUMENT_MAX: usize = 16 * 1024 * 1024;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// What a body may call itself. The last is what `curl -d` says of anything; a page of another site could
/// say it too, which `origin` refuses.
const MEDIA_TYPES: [&str; 3] = [
    "application/json",
    "application/merge-patch+json",
    "application/x-www-form-urlencoded",
];

/// The JSON object that a request carries.
#[derive(Debug)]
pub(crate) struct JsonObject(pub(crate) Map<String, Value>);

/// The same for the description of a resource, which may be a long one.
#[derive(Debug)]
pub(crate) struct Described<R>(pub(crate) Map<String, Value>, pub(crate) PhantomData<R>);

/// The same for the description of a whole fleet.
#[derive(Debug)]
pub(crate) struct Document(pub(crate) Map<String, Value>);

/// The same for requests that may come without one.
#[derive(Debug)]
pub(crate) struct OptionalJsonObject(pub(crate) Map<String, Value>);

impl<S: Sync> FromRequest<S> for JsonObject {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        required(request, BODY_MAX).await.map(Self)
    }
}

impl<S: Sync, R: Resource> FromRequest<S> for Described<R> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let sent = required(request, R::BODY_MAX).await?;
        Ok(Self(sent, PhantomData))
    }
}

impl<S: Sync> FromRequest<S> for Document {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        required(request, DOCUMENT_MAX).await.map(Self)
    }
}

impl<S: Sync> FromRequest<S> for OptionalJsonObject {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = read(request, BODY_MAX).await?;
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        parse(&bytes).map(Self)
    }
}

async fn required(request: Request, limit: usize) -> Result<Map<String, Value>, Problem> {
    let bytes = read(request, limit).await?;
    if bytes.is_empty() {
        return Err(Problem::EmptyBody);
    }
    parse(&bytes)
}

async fn read(request: Request, limit: usize) -> Result<Bytes, Problem> {
    check_type(request.headers())?;
    let reading = collect(request.into_body(), limit);
    tokio::time::timeout(BODY_TIME, reading)
        .await
        .unwrap_or(Err(Problem::SlowBody))
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, Problem> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if is_too_large(&*error) => Err(Problem::LargeBody { limit }),
        Err(_) => Err(Problem::BrokenBody),
    }
}

fn is_too_large(error: &(dyn Error + 'static)) -> bool {
    error.is::<LengthLimitError>() || error.source().is_some_and(is_too_large)
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| {
        headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
    };
    if let Some(sent) = text(header::CONTENT_ENCODING)
        && !sent.eq_ignore_ascii_case("identity")
    {
        return Err(Problem::Encoding { sent: sent.into() });
    }
    let Some(sent) = text(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let essence = sent.split(';').next().unwrap_or_default().trim();
    if MEDIA_TYPES
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known))
    {
        return Ok(());
    }
    Err(Problem::MediaType { sent: sent.into() })
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, Problem> {
    let (value, repeated) = unique::parse(bytes).map_err(|error| {
        let text = error.to_string();
        // The place is said in its own words.
        let reason = text.split(" at line ").next().unwrap_or(&text).to_owned();
        let (line, column) = (error.line(), error.column());
        Problem::MalformedBody {
            reason,
            line,
            column,
        }
    })?;
    match value {
        Value::Object(_) if !repeated.is_empty() => Err(repeated.into()),
        Value::Object(object) => Ok(object),
        _ => Err(Problem::field("body", "must be a JSON object")),
    }
}

/// Reads a model type from JSON; each value of the wrong type is named by its field's path.
pub(crate) fn from_json<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    sift(value).whole()
}

#[cfg(test)]
mod tests {
    use model::{Pool, Server};
    use serde_json::json;

    use super::*;

    async fn send(
        content_type: Option<&str>,
        body: impl Into<Body>,
    ) -> Result<Map<String, Value>, Problem> {
        let mut request = Request::post("/");
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request.body(body.into()).expect("a request");
        JsonObject::from_request(request, &())
            .await
            .map(|object| object.0)
    }

    #[tokio::test]
    async fn a_body_is_taken_as_json_whatever_curl_calls_it() {
        for content_type in [
            None,
            Some("application/json; charset=utf-8"),
            Some("Application/Merge-Patch+JSON"),
            Some("application/x-www-form-urlencoded"),
        ] {
            let object = send(content_type, r#"{"a":1}"#).await.expect("an object");
            assert_eq!(Value::Object(object), json!({"a": 1}));
        }
        assert!(matches!(
            send(Some("text/plain"), "{}").await,
            Err(Problem::MediaType { .. })
        ));
    }

    #[tokio::test]
    async fn malformed_json_is_refused_with_its_place() {
        let problem = send(None, "{\"a\":1,\n\"b\" 2}")
            .await
            .expect_err("malformed");
        assert_eq!(
            problem.to_string(),
            "the body is not JSON: expected `:` at line 2, column 5"
        );
        assert!(matches!(
            send(None, "{} {}").await,
            Err(Problem::MalformedBody { .. })
        ));
        assert_eq!(send(None, "").await, Err(Problem::EmptyBody));
        assert!(matches!(
            send(None, "[]").await,
            Err(Problem::Invalid { .. })
        ));
        let deep = format!("{{\"a\":{}", "[".repeat(30_000));
        assert!(matches!(
            send(None, deep).await,
            Err(Problem::MalformedBody { .. })
        ));
    }

    #[tokio::test]
    async fn a_field_that_is_given_twice_is_refused_by_name() {
        let problem = send(None, r#"{"a":1,"b":{"c":1,"c":1}}"#)
            .await
            .expect_err("ambiguous");
        assert_eq!(problem, Problem::field("b.c", "is given more than once"));
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_refused() {
        let body = format!("{{\"a\":\"{}\"}}", "x".repeat(BODY_MAX));
        assert_eq!(
            send(None, body).await,
            Err(Problem::LargeBody { limit: BODY_MAX })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_comes_is_given_up() {
        let never =
            Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(send(None, never).await, Err(Problem::SlowBody));
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named_by_its_path() {
        let problem = from_json::<Pool>(json!({"id": "a", "health": {"interval": "2 parsecs"}}));
        let text = problem.expect_err("a wrong duration").to_string();
        assert!(text.starts_with("health.interval: "), "{text}");
        let problem = from_json::<Server>(json!({"id": "a", "pool": "p"}));
        assert_eq!(
            problem.expect_err("no address").to_string(),
            "address: is required"
        );
    }
}
