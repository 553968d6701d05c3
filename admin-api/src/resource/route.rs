//! Routes as resources.

use model::{
    Action, Change, Collection, Elements, Route, RouteId, Snapshot, Unknown, WEIGHT_MAX,
    validate_route,
};

use super::Resource;
use super::reference::{Reference, Target, of_firewall, of_limits};

impl Resource for Route {
    type Key = RouteId;

    const KIND: &'static str = "route";
    const COLLECTION: Collection = Collection::Routes;
    const MAX: usize = 10_000;

    fn all(snapshot: &Snapshot) -> &Elements<RouteId, Self> {
        &snapshot.routes
    }

    fn key(&self) -> RouteId {
        self.id.clone()
    }

    fn change(key: RouteId, value: Option<Self>) -> Change {
        Change::Route(key, value.map(Box::new))
    }

    fn rule(field: &str) -> Option<String> {
        let rule = match field {
            "action" => "must be an object with one of pool, split, redirect and answer",
            "match.path" => "must be an object with one of exact, prefix and pattern",
            "action.redirect.port" => "must be a whole number from 1 to 65535",
            _ if field.starts_with("action.split.pools[") && field.ends_with("].weight") => {
                return Some(format!("must be a whole number from 0 to {WEIGHT_MAX}"));
            }
            _ if is_test(field) => {
                "must be present, absent, or an object with one of exact and prefix"
            }
            _ => return None,
        };
        Some(rule.into())
    }

    fn validate(&self) -> Result<(), Vec<model::Problem>> {
        validate_route(self)
    }

    fn references(&self) -> Vec<Reference<'_>> {
        let pools = pools(&self.action);
        pools
            .into_iter()
            .chain(of_firewall(&self.firewall))
            .chain(of_limits(&self.limits))
            .collect()
    }

    fn unknown(&mut self) -> Vec<(String, &mut Unknown)> {
        self.unknown_mut()
    }
}

/// Whether a field says what a header or a parameter must be.
fn is_test(field: &str) -> bool {
    let is_listed = ["match.headers[", "match.query["]
        .iter()
        .any(|list| field.starts_with(list));
    is_listed && field.ends_with("].value")
}

fn pools(action: &Action) -> Vec<Reference<'_>> {
    let reference = |field: String, pool| Reference {
        field,
        target: Target::Pool(pool),
    };
    match action {
        Action::Pool(pool) => vec![reference("action.pool".into(), pool)],
        Action::Split(split) => {
            let shares = split.pools.iter().enumerate();
            let shares = shares.map(|(index, share)| {
                reference(format!("action.split.pools[{index}].pool"), &share.pool)
            });
            shares.collect()
        }
        Action::Redirect(_) | Action::Answer(_) => Vec::new(),
    }
}
