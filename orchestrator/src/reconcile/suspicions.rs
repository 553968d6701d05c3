//! Hears what balancers suspect, and passes it on to the inspection.
//!
//! It passes on whether or not this one leads: the inspection of one that does not lead knows no server.

use std::time::Duration;

use model::Suspicion;
use registry::RegistryError;
use runtime::Backoff;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::fleet::Fleet;

/// Suspicions that wait for the inspection, at most. It only marks the server, so there are few.
pub(crate) const QUEUE_LENGTH: usize = 1024;

/// Listens until `stop`, over whatever happens to the subscription.
pub(crate) async fn run(fleet: Fleet, doubts: mpsc::Sender<Suspicion>, stop: CancellationToken) {
    let listen = async {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        loop {
            let error = match listen(&fleet, &doubts, &mut backoff).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            tracing::debug!(%error, "suspicions cannot be heard");
            let pause = backoff.next_pause(&mut rand::rng());
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = listen => {}
    }
}

async fn listen(
    fleet: &Fleet,
    doubts: &mpsc::Sender<Suspicion>,
    backoff: &mut Backoff,
) -> Result<std::convert::Infallible, RegistryError> {
    let mut suspicions = fleet.registry.suspicions().await?;
    backoff.reset();
    loop {
        let suspicion = suspicions.next().await?;
        fleet.metrics.suspicions.inc();
        if doubts.try_send(suspicion).is_err() {
            fleet.metrics.suspicions_dropped.inc();
        }
    }
}
