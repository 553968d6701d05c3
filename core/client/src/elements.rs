//! `/v1/pools`, `/v1/routes`, `/v1/listeners`, `/v1/networks`, `/v1/certificates` and `/v1/limits`: elements that are known by a name
//! alone.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use http::Method;
use model::{
    Certificate, CertificateId, Collection, InvalidName, Limit, LimitId, Listener, ListenerId,
    NetworkList, NetworkListId, Pool, PoolId, Revision, Route, RouteId,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::transport::Call;
use crate::{Changed, Client, Demand, Error, Removed};

/// A name of such an element.
pub trait Name:
    FromStr<Err = InvalidName> + Clone + Debug + Display + Send + Sync + 'static
{
}

impl Name for PoolId {}
impl Name for RouteId {}
impl Name for ListenerId {}
impl Name for NetworkListId {}
impl Name for LimitId {}
impl Name for CertificateId {}

/// An element that the API has under `/v1/<collection>/<id>`.
pub trait Element: Serialize + DeserializeOwned {
    type Id: Name;

    const COLLECTION: Collection;
    /// What people call one.
    const KIND: &'static str;

    fn id(&self) -> &Self::Id;
}

impl Element for Pool {
    type Id = PoolId;

    const COLLECTION: Collection = Collection::Pools;
    const KIND: &'static str = "pool";

    fn id(&self) -> &PoolId {
        &self.id
    }
}

impl Element for Route {
    type Id = RouteId;

    const COLLECTION: Collection = Collection::Routes;
    const KIND: &'static str = "route";

    fn id(&self) -> &RouteId {
        &self.id
    }
}

impl Element for Listener {
    type Id = ListenerId;

    const COLLECTION: Collection = Collection::Listeners;
    const KIND: &'static str = "listener";

    fn id(&self) -> &ListenerId {
        &self.id
    }
}

impl Element for NetworkList {
    type Id = NetworkListId;

    const COLLECTION: Collection = Collection::Networks;
    const KIND: &'static str = "list";

    fn id(&self) -> &NetworkListId {
        &self.id
    }
}

impl Element for Limit {
    type Id = LimitId;

    const COLLECTION: Collection = Collection::Limits;
    const KIND: &'static str = "limit";

    fn id(&self) -> &LimitId {
        &self.id
    }
}

impl Element for Certificate {
    type Id = CertificateId;

    const COLLECTION: Collection = Collection::Certificates;
    const KIND: &'static str = "certificate";

    fn id(&self) -> &CertificateId {
        &self.id
    }
}

/// What a certificate's chain says. Nothing of other elements, and of a chain that cannot be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attested {
    /// The hosts that it is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// RFC 3339, as is the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
}

/// How many servers a pool has, and how they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolServers {
    pub total: usize,
    pub up: usize,
    pub down: usize,
    pub unknown: usize,
}

/// An element as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown<T> {
    // First, so that the element does not keep these as fields of a later version.
    #[serde(flatten)]
    pub attested: Attested,
    #[serde(flatten)]
    pub value: T,
    /// The desired revision that last changed it: its `ETag`.
    pub revision: Revision,
    pub created: Revision,
    /// How many networks a list has. Where lists are listed, they come without their networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// Of a pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<PoolServers>,
}

impl Client {
    /// All elements of a kind, in the order of their names.
    pub async fn elements<T: Element>(&self) -> Result<Vec<Shown<T>>, Error> {
        self.transport.read(Call::get(all::<T>())).await
    }

    pub async fn element<T: Element>(&self, id: &T::Id) -> Result<Shown<T>, Error> {
        self.transport.read(Call::get(one::<T>(id))).await
    }

    /// Adds an element. Its description, an object in JSON, need not be one that this client can read.
    pub async fn add_element<T: Element>(
        &self,
        description: &(impl Serialize + ?Sized),
        demand: &Demand,
    ) -> Result<Changed<Shown<T>>, Error> {
        let call = demand.call(Method::POST, &all::<T>());
        self.change(call.json(description)).await
    }

    /// Puts an element in the place of the one of that name, if there is one.
    pub async fn put_element<T: Element>(
        &self,
        id: &T::Id,
        description: &(impl Serialize + ?Sized),
        demand: &Demand,
    ) -> Result<Changed<Shown<T>>, Error> {
        let call = demand.call(Method::PUT, &one::<T>(id));
        self.change(call.json(description)).await
    }

    /// Changes what a patch (RFC 7396) names of an element; the rest stays.
    pub async fn patch_element<T: Element>(
        &self,
        id: &T::Id,
        patch: &(impl Serialize + ?Sized),
        demand: &Demand,
    ) -> Result<Changed<Shown<T>>, Error> {
        let call = demand.call(Method::PATCH, &one::<T>(id));
        self.change(call.json(patch)).await
    }

    pub async fn remove_element<T: Element>(
        &self,
        id: &T::Id,
        demand: &Demand,
    ) -> Result<Changed<Removed>, Error> {
        let call = demand.call(Method::DELETE, &one::<T>(id));
        self.change(call).await
    }
}

fn all<T: Element>() -> String {
    format!("/{}", T::COLLECTION)
}

// Names hold nothing that a path would have to escape.
fn one<T: Element>(id: &T::Id) -> String {
    format!("/{}/{id}", T::COLLECTION)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_api_adds_to_an_element_is_no_part_of_it() {
        let answer = json!({"id": "api", "action": {"pool": "web"}, "revision": 7, "created": 5, "novel": 1});
        let shown: Shown<Route> = serde_json::from_value(answer).unwrap();
        assert_eq!((shown.revision, shown.created), (Revision(7), Revision(5)));
        let kept: Vec<_> = shown.value.unknown.0.keys().collect();
        assert_eq!(kept, ["novel"]);
        let listed = json!({"id": "office", "size": 3, "revision": 7, "created": 5});
        let listed: Shown<NetworkList> = serde_json::from_value(listed).unwrap();
        assert_eq!(listed.size, Some(3));
        assert!(listed.value.unknown.0.is_empty());
        let servers = json!({"total": 3, "up": 2, "down": 1, "unknown": 0});
        let pool = json!({"id": "web", "servers": servers, "revision": 7, "created": 5});
        let pool: Shown<Pool> = serde_json::from_value(pool).unwrap();
        assert_eq!(pool.servers.map(|it| (it.total, it.up)), Some((3, 2)));
        assert!(pool.value.unknown.0.is_empty());
        let key = json!({"sealed": {"to": "00", "box": "AAAA"}});
        let answer = json!({"id": "www", "chain": "x", "key": key, "names": ["a.example"], "subject": "CN=a.example",
            "issuer": "CN=R", "not_before": "x", "not_after": "y", "revision": 7, "created": 5});
        let shown: Shown<Certificate> = serde_json::from_value(answer.clone()).unwrap();
        assert_eq!(shown.attested.names, ["a.example"]);
        assert!(shown.value.unknown.0.is_empty());
        assert_eq!(serde_json::to_value(&shown).unwrap(), answer);
    }
}
