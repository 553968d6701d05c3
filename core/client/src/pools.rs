//! `/v1/pools`, of which no more is read than the names, so that a newer version's pools are found too.

use model::{PoolId, Revision};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::transport::Call;
use crate::{Client, Error};

/// A pool as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolView {
    pub id: PoolId,
    /// The desired revision that last changed it: its `ETag`.
    pub revision: Revision,
    /// Its settings, and how many servers it has.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Client {
    pub async fn pools(&self) -> Result<Vec<PoolView>, Error> {
        self.transport.read(Call::get("/pools")).await
    }
}
