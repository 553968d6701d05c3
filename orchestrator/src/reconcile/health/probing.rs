//! The probes under way, no more than a set number, and the connections kept between them.

use std::collections::HashMap;
use std::time::Duration;

use model::{Revision, ServerKey};
use probe::{Failure, Prober};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::inspector::Assignment;

/// A probe that has been made.
#[derive(Debug)]
pub(super) struct Probed {
    pub(super) assignment: Assignment,
    pub(super) outcome: Result<(), Failure>,
    pub(super) took: Duration,
    prober: Prober,
}

#[derive(Debug)]
pub(super) struct Probing {
    concurrency: usize,
    running: JoinSet<Probed>,
    /// The probers at rest, each of one incarnation of its server.
    resting: HashMap<ServerKey, (Revision, Prober)>,
}

impl Probing {
    pub(super) fn new(concurrency: usize) -> Self {
        Self {
            concurrency,
            running: JoinSet::new(),
            resting: HashMap::new(),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.running.len() < self.concurrency
    }

    pub(super) fn start(&mut self, assignment: Assignment) {
        let rested = self
            .resting
            .remove(&assignment.key)
            .filter(|(incarnation, _)| *incarnation == assignment.incarnation);
        let mut prober = match rested {
            Some((_, prober)) => prober,
            None => Prober::new(assignment.address),
        };
        self.running.spawn(async move {
            let begun = Instant::now();
            let outcome = prober.probe(assignment.check()).await;
            Probed {
                assignment,
                outcome,
                took: begun.elapsed(),
                prober,
            }
        });
    }

    /// The next probe to end; never, where none runs. Cancel safe.
    pub(super) async fn next(&mut self) -> Probed {
        match self.running.join_next().await {
            Some(Ok(probed)) => probed,
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Keeps a probe's connection for the server's next one.
    pub(super) fn keep(&mut self, probed: Probed) {
        let Assignment {
            key, incarnation, ..
        } = probed.assignment;
        self.resting.insert(key, (incarnation, probed.prober));
    }

    /// Closes the connections to all others.
    pub(super) fn retain(&mut self, wanted: impl Fn(&ServerKey, Revision) -> bool) {
        self.resting
            .retain(|key, (incarnation, _)| wanted(key, *incarnation));
    }

    /// Ends every probe, and closes every connection.
    pub(super) fn abandon(&mut self) {
        self.running = JoinSet::new();
        self.resting.clear();
    }
}
