//! `/v1/revisions`: what was changed, and the way back to how it was.

use http::Method;
use model::{Author, Collection, Epoch, Revision};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::transport::Call;
use crate::{Changed, Client, Demand, Error, WholeChange};

/// A desired change as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RevisionView {
    pub revision: Revision,
    pub epoch: Epoch,
    /// By the registry's clock, after RFC 3339.
    pub time: String,
    pub author: Author,
    pub reason: String,
    pub changes: Vec<RevisedElement>,
    /// Whatever else the API says.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// An element that a revision touched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RevisedElement {
    pub collection: Collection,
    pub key: String,
    #[serde(default)]
    pub diff: Vec<FieldDiff>,
    /// The element before and after among it.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A field that differs. Where it is absent, it is null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldDiff {
    /// A JSON pointer; empty where the element came or went as a whole.
    pub path: String,
    pub before: Value,
    pub after: Value,
}

impl Client {
    /// The latest desired changes before a revision, or of all, newest first.
    pub async fn revisions(
        &self,
        limit: usize,
        before: Option<Revision>,
    ) -> Result<Vec<RevisionView>, Error> {
        let before = before.map(|before| format!("&before={before}"));
        let before = before.unwrap_or_default();
        let path = format!("/revisions?limit={limit}{before}");
        self.transport.read(Call::get(path)).await
    }

    /// Makes the desired state what it was at a revision.
    pub async fn restore(
        &self,
        revision: Revision,
        reason: Option<&str>,
        demand: &Demand,
    ) -> Result<Changed<WholeChange>, Error> {
        let call = demand.call(Method::POST, &format!("/revisions/{revision}/restore"));
        let body = match reason {
            Some(reason) => json!({"reason": reason}),
            None => json!({}),
        };
        self.change(call.json(&body)).await
    }
}
