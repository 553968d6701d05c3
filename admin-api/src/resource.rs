//! What pools and servers have in common as resources: a key, a path, a stored value, rules, a rendering.

mod pool;
mod server;

use std::fmt::Display;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use model::{Change, Collection, Revision, ServerKey, Snapshot, Stamped};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::app::App;
use crate::problem::Problem;

pub(crate) use server::{next_id, twin};

/// A resource of the desired state.
pub(crate) trait Resource:
    Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// Its key in the registry.
    type Key: Clone + Display + Send + Sync;
    /// The key as a request's path names it.
    type Path: FromRequestParts<Arc<App>, Rejection = Problem> + Into<Self::Key> + Send;

    const KIND: &'static str;
    const COLLECTION: Collection;
    /// Fields that an answer has and that nobody sets.
    const READ_ONLY: &'static [&'static str];

    fn key(&self) -> Self::Key;
    fn path(key: &Self::Key) -> String;
    /// The fields that the path already says.
    fn names(key: &Self::Key) -> Map<String, Value>;
    fn find<'a>(snapshot: &'a Snapshot, key: &Self::Key) -> Option<&'a Arc<Stamped<Self>>>;
    fn change(key: Self::Key, value: Option<Self>) -> Change;

    /// Makes of what people send what the model reads.
    fn prepare(_: &mut Map<String, Value>) -> impl Future<Output = Result<(), Problem>> + Send {
        async { Ok(()) }
    }
    /// The rule for a field whose value cannot be read, where more is to be said than what kind it must be.
    fn rule(_: &str) -> Option<String> {
        None
    }
    /// Whether there is a place for such a key.
    fn check_place(_: &Self::Key, _: &Snapshot) -> Result<(), Problem> {
        Ok(())
    }
    /// The rules for the value alone.
    fn validate(&self) -> Result<(), Vec<model::Problem>>;
    /// The rules for its being among the others.
    fn check_among(&self, snapshot: &Snapshot, is_new: bool) -> Result<(), Problem>;
    /// The rules for its removal.
    fn check_removal(&self, snapshot: &Snapshot) -> Result<(), Problem>;
    /// What is kept of the stored value although nobody sent it.
    fn inherit(&mut self, stored: &Self);
    /// Whether the other value is the same thing still, so that what is known of it holds.
    fn is_same(&self, other: &Self) -> bool;
    /// The server that takes no new request from here on, if that is what the change means.
    fn leaving(
        before: Option<&Stamped<Self>>,
        after: Option<&Stamped<Self>>,
    ) -> Option<(ServerKey, Revision)>;
    /// What is known of it, besides what was desired.
    fn observed(stamped: &Stamped<Self>, snapshot: &Snapshot) -> Map<String, Value>;
}

/// A resource as the API shows it.
pub(crate) fn render<R: Resource>(stamped: &Stamped<R>, snapshot: &Snapshot) -> Value {
    let value = serde_json::to_value(&stamped.value);
    let mut value = value.expect("model types hold nothing that JSON cannot");
    let object = value.as_object_mut().expect("a resource is an object");
    object.insert("revision".into(), stamped.revision.0.into());
    object.insert("created".into(), stamped.created.0.into());
    object.extend(R::observed(stamped, snapshot));
    value
}

/// A value with the stamp that the commit gave it.
pub(crate) fn stamp<R: Resource>(
    before: Option<&Stamped<R>>,
    value: R,
    revision: Revision,
) -> Stamped<R> {
    let Some(before) = before else {
        let (created, incarnation, ordinal) = (revision, revision, 0);
        return Stamped {
            revision,
            created,
            ordinal,
            incarnation,
            value,
        };
    };
    let changed = before.value != value;
    let moved = !value.is_same(&before.value);
    Stamped {
        revision: if changed { revision } else { before.revision },
        incarnation: if moved { revision } else { before.incarnation },
        value,
        ..*before
    }
}
