//! What handlers take from a request's head: the names in its path, and the intent of a change.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method};
use model::{Author, Change, Revision, Snapshot};
use registry::Commit;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::etag::Conditions;
use crate::problem::Problem;
use crate::query::Parameters;
use crate::resource::{Misnamed, Resource};
use crate::wait::{Until, Wait};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest `Idempotency-Key`, in bytes.
const KEY_MAX: usize = 255;

/// The key of the resource that the path names.
#[derive(Debug)]
pub(crate) struct KeyPath<R: Resource>(pub(crate) R::Key);

/// The revision that the path names.
#[derive(Debug)]
pub(crate) struct RevisionPath(pub(crate) Revision);

/// What a request that changes something says besides its body.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    pub(crate) author: Author,
    /// For the history: the method and the path.
    pub(crate) reason: String,
    pub(crate) idempotency_key: Option<String>,
    /// What stands for the body, where there is one: the key goes with no other.
    pub(crate) fingerprint: String,
    pub(crate) conditions: Conditions,
    pub(crate) wait: Option<Wait>,
}

impl<S: Send + Sync, R: Resource> FromRequestParts<S> for KeyPath<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(names): Path<Vec<String>> = segments(parts, state).await?;
        let key = R::path_key(&names);
        key.map(Self).map_err(|it| misnamed(&parts.method, it))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RevisionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let revision: Path<String> = segments(parts, state).await?;
        let number = revision.parse().ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| Problem::not_found("revision", &*revision))?;
        Ok(Self(Revision(number)))
    }
}

async fn segments<S: Send + Sync, T>(parts: &mut Parts, state: &S) -> Result<Path<T>, Problem>
where
    T: serde::de::DeserializeOwned + Send,
{
    // Only a path that is not text once decoded is refused here.
    let path = parts.uri.path().to_owned();
    let result = Path::from_request_parts(parts, state).await;
    result.map_err(|_| Problem::NoSuchPath { path })
}

/// A name that nothing can have: nothing is there, unless it was to be made.
fn misnamed(method: &Method, Misnamed { kind, name, error }: Misnamed) -> Problem {
    if method == Method::PUT {
        return Problem::field(kind, error.to_string());
    }
    Problem::not_found(kind, &name)
}

impl<S: Sync> FromRequestParts<S> for Intent {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let parameters = Parameters::parse(&parts.uri, &Self::PARAMETERS)?;
        Self::read(parts, &parameters)
    }
}

impl Intent {
    /// The query parameters of any change.
    pub(crate) const PARAMETERS: [&str; 2] = ["wait", "timeout"];

    /// Reads it of a request with these query parameters, of which some may be for others.
    pub(crate) fn read(parts: &Parts, parameters: &Parameters) -> Result<Self, Problem> {
        let author = parts.extensions.get::<Author>().cloned();
        let reason = format!("{} {}", parts.method, parts.uri.path());
        let idempotency_key = idempotency_key(&parts.headers)?;
        Ok(Self {
            author: author.expect("whoever passed the door has a name"),
            // A key speaks of the method and the path that it was sent with, and of no others.
            idempotency_key: idempotency_key.map(|key| format!("{reason} {key}")),
            fingerprint: String::new(),
            reason,
            conditions: Conditions::parse(&parts.headers)?,
            wait: Wait::parse(parameters)?,
        })
    }

    /// The same, of a change that drains no one server, so that nothing but its being applied can be waited for.
    pub(crate) fn waiting_for_no_drain(self) -> Result<Self, Problem> {
        match self.wait {
            Some(wait) if wait.until == Until::Drained => {
                Err(Problem::field("wait", "must be applied"))
            }
            _ => Ok(self),
        }
    }

    /// The same, of a request with this body: the same fields and values, in whatever order.
    pub(crate) fn saying(self, sent: &Map<String, Value>) -> Self {
        let body = serde_json::to_vec(sent).expect("what was read as JSON can be written as JSON");
        let digest = Sha256::digest(body);
        let (half, _) = digest
            .split_first_chunk()
            .expect("32 bytes are more than 16");
        let fingerprint = format!("{:032x}", u128::from_be_bytes(*half));
        Self {
            fingerprint,
            ..self
        }
    }

    /// A commit of these changes to the state that they were decided on.
    pub(crate) fn commit(&self, changes: Vec<Change>, seen: &Snapshot) -> Commit {
        Commit {
            epoch: Some(seen.position.epoch),
            expected: Some(seen.desired),
            reason: self.reason.clone(),
            idempotency_key: self.idempotency_key.clone(),
            fingerprint: self.fingerprint.clone(),
            ..Commit::new(self.author.clone(), changes).over(seen)
        }
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    if text.is_empty() || text.len() > KEY_MAX {
        let rule = format!("must be 1 to {KEY_MAX} printable ASCII characters");
        return Err(Problem::Header {
            name: "Idempotency-Key",
            rule,
        });
    }
    Ok(Some(text.into()))
}
