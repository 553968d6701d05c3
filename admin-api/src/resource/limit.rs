//! Limits as resources.

use model::{Change, Collection, Elements, Limit, LimitId, Snapshot, Unknown, validate_limit};

use super::{Resource, Target};
use crate::problem::Problem;

impl Resource for Limit {
    type Key = LimitId;

    const KIND: &'static str = "limit";
    const COLLECTION: Collection = Collection::Limits;
    const MAX: usize = 1_000;

    fn all(snapshot: &Snapshot) -> &Elements<LimitId, Self> {
        &snapshot.limits
    }

    fn key(&self) -> LimitId {
        self.id.clone()
    }

    fn change(key: LimitId, value: Option<Self>) -> Change {
        Change::Limit(key, value)
    }

    fn rule(field: &str) -> Option<String> {
        let is_part = field.starts_with("by[") && field.ends_with(']');
        is_part.then(|| "must be client, route, host, or an object with a header".into())
    }

    fn validate(&self) -> Result<(), Vec<model::Problem>> {
        validate_limit(self)
    }

    fn check_removal(key: &LimitId, snapshot: &Snapshot) -> Result<(), Problem> {
        Target::Limit(key).check_unused(snapshot)
    }

    fn unknown(&mut self) -> Vec<(String, &mut Unknown)> {
        self.unknown_mut()
    }
}
