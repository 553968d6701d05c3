//! Lists of networks as resources.

use model::{
    Change, Collection, Elements, NetworkList, NetworkListId, Snapshot, Stamped, Unknown,
    validate_networks,
};
use serde_json::{Map, Value, json};

use super::{Known, Resource, Target};
use crate::body::DOCUMENT_MAX;
use crate::problem::Problem;

impl Resource for NetworkList {
    type Key = NetworkListId;

    const KIND: &'static str = "list";
    const COLLECTION: Collection = Collection::Networks;
    const MAX: usize = 1_000;
    /// As many networks as one may have, each as long as it can be written.
    const BODY_MAX: usize = DOCUMENT_MAX;
    const READ_ONLY: &'static [&'static str] = &["revision", "created", "size"];

    fn all(snapshot: &Snapshot) -> &Elements<NetworkListId, Self> {
        &snapshot.networks
    }

    fn key(&self) -> NetworkListId {
        self.id.clone()
    }

    fn change(key: NetworkListId, value: Option<Self>) -> Change {
        Change::Networks(key, value)
    }

    fn validate(&self) -> Result<(), Vec<model::Problem>> {
        validate_networks(self)
    }

    fn check_removal(key: &NetworkListId, snapshot: &Snapshot) -> Result<(), Problem> {
        Target::List(key).check_unused(snapshot)
    }

    fn unknown(&mut self) -> Vec<(String, &mut Unknown)> {
        self.unknown_mut()
    }

    fn observed(stamped: &Stamped<Self>, _: Known<'_>) -> Map<String, Value> {
        Map::from_iter([("size".into(), json!(stamped.value.networks.len()))])
    }

    /// Without its networks, which may be very many.
    fn listed(stamped: &Stamped<Self>, _: Known<'_>) -> Value {
        json!({
            "id": stamped.value.id,
            "size": stamped.value.networks.len(),
            "revision": stamped.revision,
            "created": stamped.created,
        })
    }
}
