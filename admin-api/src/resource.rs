//! What pools, servers, routes and the like have in common as resources: a key, a path, a stored value, rules, a rendering.

mod certificate;
mod limit;
mod listener;
mod networks;
mod pool;
mod reference;
mod route;
mod server;

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use certificates::{Chains, SealTo};
use model::{
    Certificate, Change, Collection, Elements, InvalidName, Limit, Listener, NetworkList, Pool,
    Revision, Route, Server, Snapshot, Stamped, Unknown,
};
use registry::Leaving;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value, json};

use crate::body::{self, from_json};
use crate::problem::Problem;

pub(crate) use certificate::sealed_to;
pub(crate) use reference::{Reference, Target, missing};
pub(crate) use server::{check_pool, next_id, twin};

/// A name in a path that nothing can have, and the kind of what it was to name.
#[derive(Debug)]
pub(crate) struct Misnamed {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) error: InvalidName,
}

/// What is at hand to make of what people send what the model reads.
#[derive(Debug)]
pub(crate) struct Means {
    /// What private keys are sealed to, if they can be.
    pub(crate) seal_to: Option<SealTo>,
}

/// What a resource is shown beside.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) snapshot: &'a Snapshot,
    /// What the certificates' chains say, of those that were read before.
    pub(crate) chains: &'a Chains,
}

/// A resource of the desired state. What is said here is so for those that are known by an `id` alone.
pub(crate) trait Resource:
    Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// Its key in the registry.
    type Key: Clone
        + Ord
        + Display
        + FromStr<Err = InvalidName>
        + Serialize
        + DeserializeOwned
        + Send
        + Sync;

    const KIND: &'static str;
    const COLLECTION: Collection;
    /// How many there may be.
    const MAX: usize;
    /// The largest body that describes one, in bytes.
    const BODY_MAX: usize = body::BODY_MAX;
    /// Fields that an answer has and that nobody sets.
    const READ_ONLY: &'static [&'static str] = &["revision", "created"];

    /// All that there are.
    fn all(snapshot: &Snapshot) -> &Elements<Self::Key, Self>;
    fn change(key: Self::Key, value: Option<Self>) -> Change;

    fn find<'a>(snapshot: &'a Snapshot, key: &Self::Key) -> Option<&'a Arc<Stamped<Self>>> {
        Self::all(snapshot).get(key)
    }
    fn key(&self) -> Self::Key;
    /// The key that a body without a path names.
    fn sent_key(sent: &Map<String, Value>) -> Result<Self::Key, Problem> {
        sent_name(sent, "id")
    }
    /// The key that the names in a request's path make up.
    fn path_key(names: &[String]) -> Result<Self::Key, Misnamed> {
        let name = names.concat();
        name.parse().map_err(|error| Misnamed {
            kind: Self::KIND,
            name,
            error,
        })
    }
    fn path(key: &Self::Key) -> String {
        format!("/v1/{}/{key}", Self::COLLECTION)
    }
    /// The fields that the path already says.
    fn names(key: &Self::Key) -> Map<String, Value> {
        Map::from_iter([("id".into(), json!(key))])
    }

    /// Makes of what people send for the element of that key, if it is known yet, what the model reads.
    fn prepare(
        _: Option<&Self::Key>,
        _: &mut Map<String, Value>,
        _: &Means,
    ) -> impl Future<Output = Result<(), Problem>> + Send {
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
    /// What it names of the other elements.
    fn references(&self) -> Vec<Reference<'_>> {
        Vec::new()
    }
    /// The rules for its being among the others.
    fn check_among(&self, snapshot: &Snapshot, is_new: bool) -> Result<(), Problem> {
        if is_new {
            check_room::<Self>(Self::all(snapshot).len() + 1)?;
        }
        match missing(self, |target| target.is_in(snapshot)) {
            problems if problems.is_empty() => Ok(()),
            problems => Err(problems.into()),
        }
    }
    /// The rules for its removal, whether or not it can be read.
    fn check_removal(_: &Self::Key, _: &Snapshot) -> Result<(), Problem> {
        Ok(())
    }
    /// The fields that this version does not know, by the part that has them.
    fn unknown(&mut self) -> Vec<(String, &mut Unknown)>;
    /// What is kept of the stored value although nobody sent it.
    fn inherit(&mut self, _: &Self) {}
    /// Whether the other value is the same thing still, so that what is known of it holds.
    fn is_same(&self, _: &Self) -> bool {
        true
    }
    /// The server that takes no new request from here on, if that is what the change means.
    fn leaving(_before: Option<&Stamped<Self>>, _after: Option<&Stamped<Self>>) -> Option<Leaving> {
        None
    }
    /// What is known of it, besides what was desired.
    fn observed(_: &Stamped<Self>, _: Known<'_>) -> Map<String, Value> {
        Map::new()
    }
    /// It as one of many.
    fn listed(stamped: &Stamped<Self>, known: Known<'_>) -> Value {
        render(stamped, known)
    }
}

/// What people call an element of a collection.
pub(crate) fn kind_of(collection: Collection) -> &'static str {
    match collection {
        Collection::Pools => Pool::KIND,
        Collection::Servers => Server::KIND,
        Collection::Health => "verdict",
        Collection::Holds => "ruling",
        Collection::Routes => Route::KIND,
        Collection::Listeners => Listener::KIND,
        Collection::Networks => NetworkList::KIND,
        Collection::Certificates => Certificate::KIND,
        Collection::Limits => Limit::KIND,
        Collection::Secrets => "secret",
        Collection::Other(_) => "element",
    }
}

/// Whether so many may be there.
pub(crate) fn check_room<R: Resource>(count: usize) -> Result<(), Problem> {
    let (kind, limit) = (R::KIND, R::MAX);
    match count > limit {
        true => Err(Problem::Full { kind, limit }),
        false => Ok(()),
    }
}

/// What is known of a resource that only a newer version can read: the revision that last changed it.
pub(crate) fn unread<R: Resource>(snapshot: &Snapshot, key: &R::Key) -> Option<Revision> {
    let stored = snapshot.unread.get(R::COLLECTION, &key.to_string())?;
    let stamped = serde_json::from_str::<Stamped<IgnoredAny>>(stored).ok()?;
    Some(stamped.revision)
}

/// A field that names something, read on its own.
pub(crate) fn sent_name<T: DeserializeOwned>(
    sent: &Map<String, Value>,
    field: &str,
) -> Result<T, Problem> {
    let name = sent
        .get(field)
        .ok_or_else(|| Problem::field(field, "is required"))?;
    from_json(name.clone()).map_err(|problem| problem.at(field))
}

/// A resource as the API shows it.
pub(crate) fn render<R: Resource>(stamped: &Stamped<R>, known: Known<'_>) -> Value {
    let value = serde_json::to_value(&stamped.value);
    let mut value = value.expect("model types hold nothing that JSON cannot");
    let object = value.as_object_mut().expect("a resource is an object");
    object.insert("revision".into(), stamped.revision.0.into());
    object.insert("created".into(), stamped.created.0.into());
    object.extend(R::observed(stamped, known));
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
