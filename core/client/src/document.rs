//! `/v1/export` and `/v1/import`: the whole desired state as one document.

use http::Method;
use model::{Collection, Fleet, Revision};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::transport::Call;
use crate::{Changed, Client, Demand, Error, FieldDiff};

/// What became of the desired state as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WholeChange {
    /// The revision of the desired state: a new one where something has changed.
    pub revision: Revision,
    pub changed: bool,
    pub changes: Vec<ElementChange>,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// What became of one element.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ElementChange {
    pub collection: Collection,
    pub key: String,
    pub change: ChangeKind,
    pub diff: Vec<FieldDiff>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    Created,
    Changed,
    Removed,
}

/// How a document is imported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Import {
    /// Nothing is changed; the answer tells what would be.
    pub dry_run: bool,
    /// What the document does not hold is removed, of the kinds that it has a list of.
    pub prune: bool,
}

impl Client {
    /// The whole desired state.
    pub async fn export(&self) -> Result<Fleet, Error> {
        self.transport.read(Call::get("/export")).await
    }

    /// Makes the desired state what the document, an object in JSON, says.
    pub async fn import(
        &self,
        document: &RawValue,
        import: Import,
        demand: &Demand,
    ) -> Result<Changed<WholeChange>, Error> {
        let Import { dry_run, prune } = import;
        let path = format!("/import?dry_run={dry_run}&prune={prune}");
        let call = demand.call(Method::PUT, &path);
        self.change(call.json(document)).await
    }
}
