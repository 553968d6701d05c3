//! Why a request is refused, and the one place where that becomes HTTP: problem+json after RFC 9457.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::{Collection, PoolId, Revision, ServerKey, ServerState, Snapshot};
use registry::RegistryError;
use serde_json::json;

use crate::etag;

/// Seconds after which a client may try again what failed for want of the registry.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// How many of the fields that break a rule are named; the others are counted.
const ERRORS_MAX: usize = 20;

/// The types of bodies that are understood, for who sent another.
const ACCEPTED_TYPES: HeaderValue =
    HeaderValue::from_static("application/json, application/merge-patch+json");

/// Marks the answer that the registry holds no fleet, which may mean that it lost one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Uninitialised;

/// A refusal. Its text is the `detail` that the client reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("the {name} header {rule}")]
    Header { name: &'static str, rule: String },
    #[error(
        "the Idempotency-Key header is that of an earlier request with another body: a new request needs a new key"
    )]
    KeyReused,
    #[error("the body is not JSON: {reason} at line {line}, column {column}")]
    MalformedBody {
        reason: String,
        line: usize,
        column: usize,
    },
    #[error("the body is empty: a JSON object is expected")]
    EmptyBody,
    #[error("the connection failed before the body was complete")]
    BrokenBody,
    #[error("the body did not arrive in time")]
    SlowBody,
    #[error("the body is larger than {limit} bytes")]
    LargeBody { limit: usize },
    #[error("a body of type {sent:?} is not understood: send application/json")]
    MediaType { sent: String },
    #[error("a body in the encoding {sent:?} is not understood: send it as it is")]
    Encoding { sent: String },

    #[error("a bearer token of this API is needed: Authorization: Bearer <token>")]
    Unauthorized,
    #[error("{reason}")]
    Forbidden { reason: String },

    #[error("there is nothing at {path}")]
    NoSuchPath { path: String },
    #[error("{path} does not take {method}")]
    MethodNotAllowed { method: String, path: String },
    #[error("there is no {kind} {key:?}")]
    NotFound { kind: &'static str, key: String },

    #[error("there is no revision {revision} yet: the fleet is at {present}")]
    Future {
        revision: Revision,
        present: Revision,
    },
    #[error("revision {revision} cannot be restored: {reason}")]
    Gone { revision: Revision, reason: String },
    #[error("what was taken away cannot be put back: {reason}")]
    Irretrievable { reason: String },

    #[error(
        "the pool {pool:?} has a ruling up to revision {revision}, which this one would take back: name that revision or a later one",
        pool = .pool.as_str()
    )]
    Overruled { pool: PoolId, revision: Revision },

    #[error("{}", first_of(.errors))]
    Invalid { errors: Vec<model::Problem> },
    #[error("the {kind} {key:?} exists already")]
    Exists { kind: &'static str, key: String },
    #[error(
        "this version cannot read the {kind} {key:?}, which a newer one may have written ({reason}): change it through that \
         version, or DELETE it first"
    )]
    Unread {
        kind: &'static str,
        key: String,
        reason: String,
    },
    #[error("{address} {}", taken(.server, *.state))]
    AddressTaken {
        address: String,
        server: ServerKey,
        state: ServerState,
    },
    #[error("the pool {pool:?} still has {}", left(*.servers), pool = .pool.as_str())]
    PoolInUse { pool: PoolId, servers: usize },
    #[error("the {kind} {key:?} is used by {}", list_of_users(.users, *.more))]
    Used {
        kind: &'static str,
        key: String,
        users: Vec<String>,
        /// How many others.
        more: usize,
    },
    #[error("the pool \"default\" takes what nothing else claims: it cannot be removed")]
    DefaultPool,
    #[error("there are {limit} {kind}s already, which is the most")]
    Full { kind: &'static str, limit: usize },
    #[error("If-Match says {sent}, but the {kind} {key:?} is {}", at(.present))]
    Stale {
        kind: &'static str,
        key: String,
        sent: String,
        present: Option<Revision>,
    },
    #[error("If-None-Match says {sent}, but the {kind} {key:?} is {}", at(.present))]
    Unexpected {
        kind: &'static str,
        key: String,
        sent: String,
        present: Option<Revision>,
    },

    #[error("the registry has not been read yet{}", because(.trouble.as_ref()))]
    NotReady { trouble: Option<RegistryError> },
    #[error("the registry holds no fleet yet: an orchestrator makes it")]
    Uninitialised,
    #[error(
        "the registry has lost its memory: an orchestrator that holds the fleet's last state restores it, \
         else an operator does, with roundhouse restore-from FILE"
    )]
    Forgetful,
    #[error("the change was not made: others changed the fleet at the same time, again and again")]
    Contended,
    #[error("too many changes are under way")]
    Busy,
    #[error("too many clients follow the events")]
    TooManyFollowers,
    #[error("{reason}")]
    Registry { reason: RegistryError },
    #[error("{reason}; the change was not made")]
    Unmade { reason: String },
    #[error("{reason}; whether the change was made is not known{}", hint(*.has_key))]
    Unanswered { reason: String, has_key: bool },
}

/// Why the registry cannot be followed, if that is known, to be put after what follows from it.
pub(crate) fn because(trouble: Option<&RegistryError>) -> String {
    trouble
        .map(|trouble| format!(": {trouble}"))
        .unwrap_or_default()
}

/// The first one, and how many others there are: all of them are listed beside it.
fn first_of(errors: &[model::Problem]) -> String {
    match errors {
        [] => String::new(),
        [only] => only.to_string(),
        [first, others @ ..] => format!("{first}; and {} more", others.len()),
    }
}

fn hint(has_key: bool) -> &'static str {
    if has_key {
        ": it can be sent again with the same Idempotency-Key"
    } else {
        ""
    }
}

/// The rule that an address breaks which another server of the pool has.
pub(crate) fn taken(server: &ServerKey, state: ServerState) -> String {
    let (state, way_out) = match state {
        ServerState::Active => ("active", "change that one"),
        ServerState::Draining => ("draining", "activate that one (state: active)"),
        ServerState::Disabled => ("disabled", "activate that one (state: active)"),
    };
    format!("is already the address of {server}, which is {state}: {way_out}, or remove it first")
}

fn left(servers: usize) -> String {
    match servers {
        1 => "1 server: remove it first".into(),
        _ => format!("{servers} servers: remove them first"),
    }
}

fn list_of_users(users: &[String], more: usize) -> String {
    match (users, more) {
        ([only], 0) => format!("{only}: change that first"),
        (_, 0) => format!("{}: change these first", users.join(", ")),
        _ => format!("{}, and {more} more: change these first", users.join(", ")),
    }
}

fn at(present: &Option<Revision>) -> String {
    match present {
        Some(revision) => format!("at {}", etag::text(*revision)),
        None => "not there".into(),
    }
}

impl Problem {
    /// One field that breaks one rule.
    pub(crate) fn field(field: impl Into<String>, rule: impl Into<String>) -> Self {
        let errors = vec![model::Problem::new(field, rule)];
        Self::Invalid { errors }
    }

    /// The same, where the field was read on its own.
    pub(crate) fn at(self, field: &str) -> Self {
        match self {
            Self::Invalid { mut errors } => {
                errors
                    .iter_mut()
                    .for_each(|error| error.field = field.into());
                Self::Invalid { errors }
            }
            other => other,
        }
    }

    /// The fields that break a rule, where that is what is wrong.
    pub(crate) fn into_errors(self) -> Result<Vec<model::Problem>, Self> {
        match self {
            Self::Invalid { errors } => Ok(errors),
            other => Err(other),
        }
    }

    pub(crate) fn not_found(kind: &'static str, key: &(impl ToString + ?Sized)) -> Self {
        let key = key.to_string();
        Self::NotFound { kind, key }
    }

    /// An element that is there and cannot be read, with what is wrong with it.
    pub(crate) fn unread(
        kind: &'static str,
        (collection, key): (Collection, String),
        snapshot: &Snapshot,
    ) -> Self {
        let mut faults = snapshot.faults.iter();
        let fault = faults.find(|it| it.collection == collection && it.key == key);
        let reason = fault.map_or_else(|| "unknown to it".into(), |fault| fault.reason.clone());
        Self::Unread { kind, key, reason }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.class().0
    }

    /// The status, and the name of the kind of problem that `type` ends with.
    fn class(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Header { .. } => (StatusCode::BAD_REQUEST, "malformed-header"),
            Self::MalformedBody { .. } | Self::EmptyBody | Self::BrokenBody => {
                (StatusCode::BAD_REQUEST, "malformed-body")
            }
            Self::SlowBody => (StatusCode::REQUEST_TIMEOUT, "slow-body"),
            Self::LargeBody { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "large-body"),
            Self::MediaType { .. } | Self::Encoding { .. } => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type")
            }
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden { .. } => (StatusCode::FORBIDDEN, "forbidden"),
            Self::NoSuchPath { .. } | Self::NotFound { .. } | Self::Future { .. } => {
                (StatusCode::NOT_FOUND, "not-found")
            }
            Self::Gone { .. } | Self::Irretrievable { .. } => (StatusCode::GONE, "gone"),
            Self::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method"),
            Self::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key"),
            Self::Invalid { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Self::Exists { .. } | Self::AddressTaken { .. } => (StatusCode::CONFLICT, "duplicate"),
            Self::Unread { .. } => (StatusCode::CONFLICT, "unread"),
            Self::PoolInUse { .. } | Self::Used { .. } | Self::DefaultPool => {
                (StatusCode::CONFLICT, "in-use")
            }
            Self::Overruled { .. } => (StatusCode::CONFLICT, "overruled"),
            Self::Full { .. } => (StatusCode::CONFLICT, "full"),
            Self::Stale { .. } | Self::Unexpected { .. } => {
                (StatusCode::PRECONDITION_FAILED, "precondition")
            }
            Self::Registry {
                reason: RegistryError::Unexpected { .. },
            } => (StatusCode::INTERNAL_SERVER_ERROR, "registry"),
            Self::Registry { .. } | Self::Unmade { .. } | Self::Unanswered { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "registry")
            }
            Self::NotReady { .. } | Self::Uninitialised | Self::Forgetful => {
                (StatusCode::SERVICE_UNAVAILABLE, "not-ready")
            }
            Self::Contended | Self::Busy | Self::TooManyFollowers => {
                (StatusCode::SERVICE_UNAVAILABLE, "busy")
            }
        }
    }

    /// What a form would show beside its fields.
    pub(crate) fn errors(&self) -> Vec<model::Problem> {
        let problem = |field: &str, rule: String| vec![model::Problem::new(field, rule)];
        match self {
            Self::Invalid { errors } => errors.clone(),
            Self::Exists { kind, .. } => problem("id", format!("is the id of another {kind}")),
            Self::Unread { kind, .. } => {
                let rule = format!("is the id of a {kind} that this version cannot read");
                problem("id", rule)
            }
            Self::AddressTaken { server, state, .. } => problem("address", taken(server, *state)),
            _ => Vec::new(),
        }
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Unauthorized => {
                let scheme = HeaderValue::from_static("Bearer realm=\"roundhouse\"");
                Some((header::WWW_AUTHENTICATE, scheme))
            }
            Self::MediaType { .. } => Some((header::ACCEPT, ACCEPTED_TYPES)),
            Self::Stale { present, .. } | Self::Unexpected { present, .. } => {
                present.map(|revision| (header::ETAG, etag::value(revision)))
            }
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => {
                Some((header::RETRY_AFTER, RETRY_AFTER))
            }
            _ => None,
        }
    }
}

impl From<Vec<model::Problem>> for Problem {
    fn from(errors: Vec<model::Problem>) -> Self {
        Self::Invalid { errors }
    }
}

impl From<RegistryError> for Problem {
    fn from(reason: RegistryError) -> Self {
        Self::Registry { reason }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, kind) = self.class();
        let is_uninitialised = self == Self::Uninitialised;
        let mut body = json!({
            "type": format!("urn:roundhouse:problem:{kind}"),
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "detail": self.to_string(),
        });
        let errors = self.errors();
        if !errors.is_empty() {
            let named = errors.len().min(ERRORS_MAX);
            body["errors"] = json!(errors[..named]);
            if errors.len() > named {
                body["more"] = json!(errors.len() - named);
            }
        }
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        let media_type = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, media_type);
        headers.extend(self.header());
        if is_uninitialised {
            response.extensions_mut().insert(Uninitialised);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_spoken_of_where_there_is_one() {
        let said = |has_key| {
            let reason = "the registry did not answer".into();
            Problem::Unanswered { reason, has_key }.to_string()
        };
        assert_eq!(
            said(false),
            "the registry did not answer; whether the change was made is not known"
        );
        assert!(said(true).ends_with("it can be sent again with the same Idempotency-Key"));
    }
}
