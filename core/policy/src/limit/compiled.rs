//! The limits of a snapshot, compiled, and what names some that are not there.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use model::{
    Collection, Elements, Fault, LimitId, PoolId, RouteId, Snapshot, Stamped, differing,
    first_grave, validate_limit,
};

use super::Limit;

/// Every limit of a table, by name. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits(Arc<Compiled>);

#[derive(Debug, Default)]
struct Compiled {
    by_id: HashMap<LimitId, Arc<Limit>, foldhash::fast::RandomState>,
    faults: Vec<Fault>,
    source: Option<Source>,
}

/// What limits are compiled from.
#[derive(Debug)]
struct Source {
    limits: Elements<LimitId, model::Limit>,
    routes: Elements<RouteId, model::Route>,
    pools: Elements<PoolId, model::Pool>,
}

impl Limits {
    /// What has not changed is taken over. A limit that is gone while something names it stays as it was.
    pub(crate) fn compile(snapshot: &Snapshot, previous: &Self) -> Self {
        let before = &previous.0;
        let source = before.source.as_ref();
        if source.is_some_and(|source| source.says_the_same(snapshot)) {
            return previous.clone();
        }
        let mut compiled = Compiled {
            source: Some(Source::of(snapshot)),
            ..Compiled::default()
        };
        for (id, definition) in &snapshot.limits {
            compiled.add(id, definition, before.by_id.get(id));
        }
        compiled.keep_named(snapshot, before);
        Self(Arc::new(compiled))
    }

    pub(crate) fn get(&self, id: &LimitId) -> Option<&Arc<Limit>> {
        self.0.by_id.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Limit>> {
        self.0.by_id.values()
    }

    pub(crate) fn faults(&self) -> &[Fault] {
        &self.0.faults
    }
}

impl Compiled {
    fn add(
        &mut self,
        id: &LimitId,
        definition: &Arc<Stamped<model::Limit>>,
        known: Option<&Arc<Limit>>,
    ) {
        let same = known.filter(|known| known.definition == *definition);
        let limit = match same {
            Some(same) => Some(Arc::clone(same)),
            None => match first_grave(validate_limit(&definition.value)) {
                None => Some(Arc::new(Limit::compile(definition))),
                Some(problem) => {
                    self.blame(Collection::Limits, id.to_string(), problem.to_string());
                    known.cloned()
                }
            },
        };
        self.by_id.extend(limit.map(|limit| (id.clone(), limit)));
    }

    /// Keeps what is named and gone, and says who names it.
    fn keep_named(&mut self, snapshot: &Snapshot, before: &Self) {
        let routes = snapshot.routes.iter().map(|(id, route)| {
            let named = &route.value.limits;
            (Collection::Routes, id.as_str(), named)
        });
        let pools = snapshot.pools.iter().map(|(id, pool)| {
            let named = &pool.value.limits;
            (Collection::Pools, id.as_str(), named)
        });
        let mut missing = BTreeSet::new();
        for (collection, key, named) in routes.chain(pools) {
            for id in named.iter().filter(|id| !snapshot.limits.contains_key(*id)) {
                let reason = format!("there is no limit {:?}", id.as_str());
                self.blame(collection, key.to_owned(), reason);
                missing.insert(id);
            }
        }
        let kept = missing.into_iter().filter_map(|id| {
            let known = before.by_id.get(id)?;
            Some((id.clone(), Arc::clone(known)))
        });
        self.by_id.extend(kept);
    }

    fn blame(&mut self, collection: Collection, key: String, reason: String) {
        self.faults.push(Fault {
            collection,
            key,
            reason,
        });
    }
}

impl Source {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            limits: snapshot.limits.clone(),
            routes: snapshot.routes.clone(),
            pools: snapshot.pools.clone(),
        }
    }

    fn says_the_same(&self, snapshot: &Snapshot) -> bool {
        differing(&self.limits, &snapshot.limits).next().is_none()
            && differing(&self.routes, &snapshot.routes).next().is_none()
            && differing(&self.pools, &snapshot.pools).next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use model::Revision;
    use serde_json::json;

    use super::*;
    use crate::testing::snapshot;

    fn id(name: &str) -> LimitId {
        name.parse().expect("a name")
    }

    fn put(fleet: &mut Snapshot, revision: u64, requests: u32) {
        let limit = json!({"id": "api", "requests": requests});
        let limit: model::Limit = serde_json::from_value(limit).expect("a limit");
        let limit = Stamped::new(Revision(revision), limit);
        fleet.limits.insert(id("api"), limit.into());
    }

    fn fleet() -> Snapshot {
        let mut pool = model::Pool::new(PoolId::standard());
        pool.limits = vec![id("api")];
        let mut fleet = snapshot(pool);
        put(&mut fleet, 1, 5);
        fleet
    }

    #[test]
    fn what_has_not_changed_is_taken_over() {
        let mut fleet = fleet();
        let first = Limits::compile(&fleet, &Limits::default());
        let second = Limits::compile(&fleet, &first);
        assert!(Arc::ptr_eq(&first.0, &second.0));
        put(&mut fleet, 2, 6);
        let third = Limits::compile(&fleet, &second);
        let limit = third.get(&id("api")).expect("it is there");
        assert_eq!(limit.settings().requests, 6);
    }

    #[test]
    fn a_limit_that_is_gone_stays_while_it_is_named_and_is_reported() {
        let mut fleet = fleet();
        let first = Limits::compile(&fleet, &Limits::default());
        assert_eq!(first.faults(), []);
        fleet.limits.clear();
        let second = Limits::compile(&fleet, &first);
        assert!(second.get(&id("api")).is_some());
        let faults: Vec<_> = second.faults().iter().map(ToString::to_string).collect();
        assert_eq!(faults, [r#"pools "default": there is no limit "api""#]);
        let pool = model::Pool::new(PoolId::standard());
        let pool = Stamped::new(Revision(2), pool);
        fleet.pools.insert(PoolId::standard(), pool.into());
        let third = Limits::compile(&fleet, &second);
        assert!(third.get(&id("api")).is_none());
        assert_eq!(third.faults(), []);
    }

    #[test]
    fn the_last_good_limit_stays_in_the_place_of_one_that_breaks_a_rule() {
        let mut fleet = fleet();
        let first = Limits::compile(&fleet, &Limits::default());
        put(&mut fleet, 2, 0);
        let second = Limits::compile(&fleet, &first);
        assert_eq!(second.get(&id("api")).expect("kept").settings().requests, 5);
        assert_eq!(second.faults().len(), 1);
    }
}
