//! `/v1/registrations/{pool}/{server}`: a server's own lease.

use std::time::Duration;

use http::Method;
use model::{ServerKey, format_duration};
use serde::Serialize;
use serde::Serializer;

use crate::{Changed, Client, Demand, Error, Outcome, Present, Removed, ServerView, Wait};

/// How long a renewal may take: a server that renews must not hang on an API that does.
const RENEWAL_LIMIT: Duration = Duration::from_secs(3);

/// What a server says of itself, each time that it renews.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewRegistration {
    pub address: String,
    /// How long it lasts without a renewal.
    #[serde(serialize_with = "duration_text")]
    pub lifetime: Duration,
}

/// Whether a server may be made by its registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// It is made where it is not there.
    First,
    /// It is refused where it is not there any more, so that who removed it is not overruled.
    Further,
}

fn duration_text<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*duration))
}

impl Client {
    /// Registers a server, or renews its registration.
    pub async fn register(
        &self,
        key: &ServerKey,
        registration: &NewRegistration,
        renewal: Renewal,
    ) -> Result<ServerView, Error> {
        let demand = Demand {
            present: (renewal == Renewal::Further).then_some(Present::Any),
            ..Demand::default()
        };
        let call = demand.call(Method::PUT, &registration_path(key));
        self.transport
            .read(call.json(registration).limit(RENEWAL_LIMIT))
            .await
    }

    /// Ends a registration: the server is removed, and the wait is for the fleet to let go of it.
    pub async fn deregister(&self, key: &ServerKey, wait: Wait) -> Result<Outcome, Error> {
        let call = Demand::from(wait).call(Method::DELETE, &registration_path(key));
        let Changed { outcome, .. } = self.change::<Removed>(call).await?;
        Ok(outcome)
    }
}

fn registration_path(key: &ServerKey) -> String {
    format!("/registrations/{}/{}", key.pool, key.server)
}
