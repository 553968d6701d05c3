//! `/v1/secrets`: keys that can be replaced, and are shown to nobody.

use http::Method;
use model::{Revision, SecretId};
use serde::{Deserialize, Serialize};

use crate::{Changed, Client, Demand, Error};

/// A secret that has a new key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotated {
    pub id: SecretId,
    /// The revision that did it.
    pub revision: Revision,
}

impl Client {
    /// Gives a secret a new key. What was made with the present one goes on being understood until the next time.
    pub async fn rotate_secret(
        &self,
        id: &SecretId,
        demand: &Demand,
    ) -> Result<Changed<Rotated>, Error> {
        let call = demand.call(Method::POST, &format!("/secrets/{id}/rotate"));
        self.change(call).await
    }
}
