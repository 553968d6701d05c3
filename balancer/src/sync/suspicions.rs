//! Servers that were seen to fail: said at once, so that the leader probes there and then.

use std::collections::HashMap;
use std::time::Duration;

use model::{Suspicion, SuspicionKind};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::Membership;
use crate::suspecting::Seen;

/// The same is not said again within this time.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What one call of the registry may take.
const CALL_WITHIN: Duration = Duration::from_secs(1);

impl Membership {
    /// Publishes suspicions until no worker serves any more.
    pub(crate) async fn suspect_always(self, mut seen: mpsc::Receiver<Seen>) {
        let mut said: HashMap<(u64, SuspicionKind), Instant> = HashMap::new();
        loop {
            let seen = tokio::select! {
                Some(seen) = seen.recv() => seen,
                () = self.served.cancelled() => return,
            };
            let now = Instant::now();
            said.retain(|_, at| now < *at + AGAIN_AFTER);
            let live = seen.server.live();
            let known = said.insert((live.number(), seen.kind), now);
            if let Some(at) = known {
                said.insert((live.number(), seen.kind), at);
                continue;
            }
            let kind = seen.kind.as_str();
            tracing::debug!(server = %live.key(), kind, "a server is suspected");
            let suspicion = Suspicion {
                instance: self.identity.instance,
                server: live.key().clone(),
                incarnation: live.incarnation(),
                kind: seen.kind,
            };
            // Where the registry is away, nobody could probe because of it either.
            let _ = timeout(CALL_WITHIN, self.registry.suspect(&suspicion)).await;
        }
    }
}
