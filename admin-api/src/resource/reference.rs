//! What elements name of one another: it has to be there when it is named, and cannot be removed while it is.

use model::{
    Certificate, CertificateId, Collection, Firewall, Limit, LimitId, Listener, NetworkList,
    NetworkListId, Pool, PoolId, Route, Snapshot,
};

use super::Resource;
use crate::problem::Problem;

/// How many of those who name something are named in turn.
const USERS_MAX: usize = 3;

/// Something that an element names, and the field that does.
#[derive(Debug)]
pub(crate) struct Reference<'a> {
    pub(crate) field: String,
    pub(crate) target: Target<'a>,
}

/// What can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    Pool(&'a PoolId),
    List(&'a NetworkListId),
    Limit(&'a LimitId),
    Certificate(&'a CertificateId),
}

impl Target<'_> {
    fn kind(self) -> &'static str {
        match self {
            Self::Pool(_) => Pool::KIND,
            Self::List(_) => NetworkList::KIND,
            Self::Limit(_) => Limit::KIND,
            Self::Certificate(_) => Certificate::KIND,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Pool(id) => id.to_string(),
            Self::List(id) => id.to_string(),
            Self::Limit(id) => id.to_string(),
            Self::Certificate(id) => id.to_string(),
        }
    }

    /// Whether it is there, though it may be something that only a newer version can read.
    pub(crate) fn is_in(self, snapshot: &Snapshot) -> bool {
        match self {
            Self::Pool(id) => snapshot.has_pool(id),
            Self::List(id) => snapshot.networks.contains_key(id) || self.is_unread_in(snapshot),
            Self::Limit(id) => snapshot.limits.contains_key(id) || self.is_unread_in(snapshot),
            Self::Certificate(id) => {
                snapshot.certificates.contains_key(id) || self.is_unread_in(snapshot)
            }
        }
    }

    /// Whether only a newer version can read it.
    pub(crate) fn is_unread_in(self, snapshot: &Snapshot) -> bool {
        let collection = match self {
            Self::Pool(_) => Collection::Pools,
            Self::List(_) => Collection::Networks,
            Self::Limit(_) => Collection::Limits,
            Self::Certificate(_) => Collection::Certificates,
        };
        snapshot.unread.contains(collection, &self.name())
    }

    /// Whether nothing names it, so that it can go.
    pub(crate) fn check_unused(self, snapshot: &Snapshot) -> Result<(), Problem> {
        let routes = users::<Route>(self, snapshot);
        let listeners = users::<Listener>(self, snapshot);
        let mut users = routes.chain(listeners).chain(users::<Pool>(self, snapshot));
        let named: Vec<_> = users.by_ref().take(USERS_MAX).collect();
        if named.is_empty() {
            return Ok(());
        }
        Err(Problem::Used {
            kind: self.kind(),
            key: self.name(),
            users: named,
            more: users.count(),
        })
    }
}

/// Those of one kind that name something.
fn users<'a, R: Resource>(
    target: Target<'a>,
    snapshot: &'a Snapshot,
) -> impl Iterator<Item = String> + 'a {
    let names = move |it: &R| it.references().iter().any(|named| named.target == target);
    let users = R::all(snapshot)
        .iter()
        .filter(move |(_, it)| names(&it.value));
    users.map(|(key, _)| format!("the {} {:?}", R::KIND, key.to_string()))
}

/// What is wrong with an element for naming what is not there.
pub(crate) fn missing<R: Resource>(
    element: &R,
    is_there: impl Fn(Target<'_>) -> bool,
) -> Vec<model::Problem> {
    let references = element.references().into_iter();
    let missing = references.filter(|named| !is_there(named.target));
    let problem = |Reference { field, target }: Reference<'_>| {
        let rule = format!("there is no {} {:?}", target.kind(), target.name());
        model::Problem::new(field, rule)
    };
    missing.map(problem).collect()
}

/// The limits that a route or a pool names.
pub(super) fn of_limits(limits: &[LimitId]) -> impl Iterator<Item = Reference<'_>> {
    limits.iter().enumerate().map(|(index, id)| Reference {
        field: format!("limits[{index}]"),
        target: Target::Limit(id),
    })
}

/// The lists that a firewall names.
pub(super) fn of_firewall(firewall: &Firewall) -> impl Iterator<Item = Reference<'_>> {
    let rules = [("allow", &firewall.allow), ("deny", &firewall.deny)];
    rules.into_iter().flat_map(|(name, networks)| {
        let lists = networks.iter().enumerate();
        lists.filter_map(move |(index, networks)| {
            let target = Target::List(networks.list()?);
            let field = format!("firewall.{name}[{index}]");
            Some(Reference { field, target })
        })
    })
}
