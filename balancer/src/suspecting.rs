//! Where workers say that a server failed them, and never wait: a bounded queue that `sync` reads.

use std::sync::Arc;

use model::SuspicionKind;
use policy::Server;
use tokio::sync::mpsc;

/// Suspicions that wait to be said; what comes on top is dropped, since the first ones say it.
const QUEUE: usize = 256;

/// Where the workers say what they saw.
#[derive(Debug, Clone)]
pub(crate) struct Suspecting(mpsc::Sender<Seen>);

/// What speaks against a server.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) server: Arc<Server>,
    pub(crate) kind: SuspicionKind,
}

/// Where suspicions go in, and where they come out.
pub(crate) fn suspecting() -> (Suspecting, mpsc::Receiver<Seen>) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Suspecting(sender), receiver)
}

impl Suspecting {
    /// Never waits.
    pub(crate) fn suspect(&self, server: &Arc<Server>, kind: impl Into<SuspicionKind>) {
        let (server, kind) = (Arc::clone(server), kind.into());
        // A full queue is full of suspicions that say enough.
        let _ = self.0.try_send(Seen { server, kind });
    }
}
