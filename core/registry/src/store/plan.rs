//! A commit made ready for a backend: checked on its own, one write an element, in the order of the collections.
//!
//! What can be said without looking at the registry is said here, once for all backends; what depends on what
//! the registry holds is for the store and for the commit script.

use std::collections::{BTreeMap, HashSet};

use model::{
    Change, Collection, first_grave, validate_certificate, validate_limit, validate_listener,
    validate_networks, validate_pool, validate_route, validate_server,
};

use crate::{Commit, CommitError, Seen};

/// One element to write or to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) collection: Collection,
    pub(crate) key: String,
    /// The value's JSON; nothing removes the element.
    pub(crate) value: Option<String>,
    /// What makes the element the same one as before: a server's address, a verdict's incarnation. Empty for a server that is known
    /// to move, and for the others, which never become other ones.
    pub(crate) identity: String,
    /// What its author saw of the element that this replaces, if it says so.
    pub(crate) seen: Option<Seen>,
}

impl Write {
    pub(crate) fn removal(collection: Collection, key: String) -> Self {
        Self {
            collection,
            key,
            value: None,
            identity: String::new(),
            seen: None,
        }
    }

    /// Whether it takes the place of what no revision told of.
    pub(crate) fn is_untold(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.is_untold)
    }

    /// Whether its author knows the element that it replaces.
    pub(super) fn is_known(&self) -> bool {
        self.seen.as_ref().is_some_and(Seen::is_there)
    }

    fn new(change: &Change, seen: &BTreeMap<(Collection, String), Seen>) -> Self {
        let name = (change.collection(), change.key());
        let seen = seen.get(&name).cloned();
        let (collection, key) = name;
        let has_moved = seen.as_ref().is_some_and(|seen| seen.has_moved);
        Self {
            collection,
            key,
            value: change.value().map(|value| value.to_string()),
            identity: if has_moved {
                String::new()
            } else {
                identity(change)
            },
            seen,
        }
    }
}

/// Makes a commit's writes. The last of several changes of one element counts, and a pool that goes takes the
/// ruling on it with it.
pub(crate) fn plan(commit: &Commit) -> Result<Vec<Write>, CommitError> {
    let mut seen = HashSet::new();
    let mut writes = Vec::with_capacity(commit.changes.len());
    for change in commit.changes.iter().rev() {
        check(change)?;
        let write = Write::new(change, &commit.seen);
        if seen.insert((write.collection, write.key.clone())) {
            writes.push(write);
        }
    }
    let pools = |write: &&Write| write.collection == Collection::Pools && write.value.is_none();
    let gone: Vec<_> = writes
        .iter()
        .filter(pools)
        .map(|write| write.key.clone())
        .collect();
    for pool in gone {
        if seen.insert((Collection::Holds, pool.clone())) {
            writes.push(Write::removal(Collection::Holds, pool));
        }
    }
    writes.reverse();
    writes.sort_by_key(order);
    Ok(writes)
}

/// Verdicts come after the servers that they are about. What names others comes after those, and goes before them.
fn order(write: &Write) -> u8 {
    match (write.collection, &write.value) {
        (Collection::Routes, None) => 0,
        (Collection::Listeners, None) => 1,
        (Collection::Certificates, Some(_)) => 2,
        (Collection::Limits, Some(_)) => 2,
        (Collection::Pools, _) => 3,
        (Collection::Servers, _) => 4,
        (Collection::Health, _) => 5,
        (Collection::Holds, _) => 6,
        (Collection::Networks, _) => 7,
        (Collection::Certificates, None) => 8,
        (Collection::Limits, None) => 8,
        (Collection::Listeners, Some(_)) => 9,
        (Collection::Routes, Some(_)) => 10,
        (Collection::Secrets, _) => 11,
        (Collection::Other(_), _) => 12,
    }
}

fn identity(change: &Change) -> String {
    match change {
        Change::Server(_, Some(server)) => server.address.to_string(),
        Change::Verdict(_, Some(verdict)) => verdict.incarnation.to_string(),
        _ => String::new(),
    }
}

fn check(change: &Change) -> Result<(), CommitError> {
    let key = change.key();
    let (name, found) = match change {
        Change::Pool(_, Some(pool)) => (pool.id.to_string(), validate_pool(pool)),
        Change::Server(_, Some(server)) => (server.key().to_string(), validate_server(server)),
        Change::Route(_, Some(route)) => (route.id.to_string(), validate_route(route)),
        Change::Listener(_, Some(it)) => (it.id.to_string(), validate_listener(it)),
        Change::Networks(_, Some(list)) => (list.id.to_string(), validate_networks(list)),
        Change::Certificate(_, Some(it)) => (it.id.to_string(), validate_certificate(it)),
        Change::Limit(_, Some(limit)) => (limit.id.to_string(), validate_limit(limit)),
        Change::Secret(_, Some(secret)) => (secret.id.to_string(), Ok(())),
        _ => return Ok(()),
    };
    let misnamed = || format!("holds an element named {name:?}");
    let grave = || first_grave(found).map(|problem| problem.to_string());
    let problem = (name != key).then(misnamed).or_else(grave);
    problem.map_or(Ok(()), |rule| Err(CommitError::Invalid { key, rule }))
}

/// Whether a write belongs to the desired state, which people and sources write, and the history tells of. A secret does not, since
/// the history shows what it was.
pub(crate) fn is_desired(collection: Collection) -> bool {
    !matches!(collection, Collection::Health | Collection::Secrets)
}

/// The commit's idempotency key. An empty one is none.
pub(crate) fn idempotency_key(commit: &Commit) -> Option<&str> {
    let key = commit.idempotency_key.as_deref();
    key.filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use model::{
        Action, Author, NetworkList, NetworkListId, Pool, PoolId, Route, RouteId, Server, ServerKey,
    };

    use super::*;

    fn server(id: &str, address: &str) -> Server {
        let id = id.parse().expect("an id");
        Server::new(PoolId::standard(), id, address.parse().expect("an address"))
    }

    fn commit(changes: Vec<Change>) -> Commit {
        let name = "test".into();
        Commit::new(Author::Operator { name }, changes)
    }

    #[test]
    fn the_last_of_several_changes_of_one_element_counts() {
        let planned = plan(&commit(vec![
            Change::put_server(server("a", "10.0.0.1:80")),
            Change::put_server(server("b", "10.0.0.2:80")),
            Change::put_server(server("a", "10.0.0.3:80")),
        ]))
        .expect("a plan");
        let seen: Vec<_> = planned
            .iter()
            .map(|write| (write.key.as_str(), write.identity.as_str()))
            .collect();
        assert_eq!(
            seen,
            [("default/b", "10.0.0.2:80"), ("default/a", "10.0.0.3:80")]
        );
    }

    #[test]
    fn pools_come_before_their_servers_and_servers_keep_their_order() {
        let planned = plan(&commit(vec![
            Change::put_server(server("b", "10.0.0.2:80")),
            Change::put_server(server("a", "10.0.0.1:80")),
            Change::put_pool(Pool::new(PoolId::standard())),
        ]))
        .expect("a plan");
        let keys: Vec<_> = planned.iter().map(|write| write.key.as_str()).collect();
        assert_eq!(keys, ["default", "default/b", "default/a"]);
    }

    #[test]
    fn a_route_comes_after_what_it_names_and_goes_before_it() {
        let web: PoolId = "web".parse().expect("an id");
        let id = |name: &str| name.parse::<RouteId>().expect("an id");
        let new = Route::new(id("new"), Action::Pool(web.clone()));
        let list: NetworkListId = "office".parse().expect("an id");
        let planned = plan(&commit(vec![
            Change::Route(new.id.clone(), Some(Box::new(new))),
            Change::Networks(list.clone(), Some(NetworkList::new(list, Vec::new()))),
            Change::put_pool(Pool::new(web)),
            Change::Pool("gone".parse().expect("an id"), None),
            Change::Route(id("gone"), None),
        ]))
        .expect("a plan");
        let collections: Vec<_> = planned.iter().map(|write| write.collection).collect();
        let [routes, pools, networks] =
            [Collection::Routes, Collection::Pools, Collection::Networks];
        let expected = [routes, pools, pools, Collection::Holds, networks, routes];
        assert_eq!(collections, expected);
    }

    #[test]
    fn a_pool_that_goes_takes_the_ruling_on_it_once() {
        let pool = PoolId::standard();
        for changes in [
            vec![Change::Pool(pool.clone(), None)],
            vec![
                Change::Ruling(pool.clone(), None),
                Change::Pool(pool.clone(), None),
            ],
        ] {
            let planned = plan(&commit(changes)).expect("a plan");
            let collections: Vec<_> = planned.iter().map(|write| write.collection).collect();
            assert_eq!(collections, [Collection::Pools, Collection::Holds]);
        }
    }

    #[test]
    fn an_element_under_another_ones_name_is_invalid() {
        let key: ServerKey = "default/other".parse().expect("a key");
        let change = Change::Server(key, Some(server("a", "10.0.0.1:80")));
        let error = plan(&commit(vec![change])).expect_err("misnamed");
        let rule = r#"holds an element named "default/a""#.into();
        let key = "default/other".into();
        assert_eq!(error, CommitError::Invalid { key, rule });
    }

    #[test]
    fn a_value_that_breaks_a_rule_is_invalid_and_a_newer_versions_field_is_not() {
        let mut pool = Pool::new(PoolId::standard());
        pool.unknown.0.insert("from_the_future".into(), 1.into());
        plan(&commit(vec![Change::put_pool(pool.clone())])).expect("a plan");
        pool.retry.retries = 11;
        let error = plan(&commit(vec![Change::put_pool(pool)])).expect_err("too many");
        assert!(error.to_string().contains("retry.retries"), "{error}");
    }
}
