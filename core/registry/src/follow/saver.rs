//! Saves what is followed, off the async threads, one write at a time: the latest state replaces those that
//! wait for their turn. It is part of the task that follows, so that no end of it goes unnoticed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use model::{FleetName, Origin, Snapshot};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::state_file;

/// The least time between two writes.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
struct Pair {
    truth: Arc<Snapshot>,
    in_force: Option<Arc<Snapshot>>,
}

/// The writer of one state file.
pub(super) struct Saver {
    latest: watch::Sender<Option<Pair>>,
    /// Ends once `latest` is dropped and written.
    writing: BoxFuture<'static, ()>,
}

impl Saver {
    pub(super) fn new(path: PathBuf, fleet: FleetName) -> Self {
        let (latest, receiver) = watch::channel(None);
        let writing = write_latest(receiver, path, fleet).boxed();
        Self { latest, writing }
    }

    /// Writes what there is to write, for as long as this is polled. It can be dropped and called again.
    pub(super) async fn run(&mut self) {
        (&mut self.writing).await;
    }

    /// Sees to it that this state is written, unless a later one is first. What came from disk is there.
    pub(super) fn save(
        &self,
        truth: &Arc<Snapshot>,
        in_force: Option<&Arc<Snapshot>>,
        origin: Origin,
    ) {
        if origin != Origin::Registry {
            return;
        }
        let differs = in_force.filter(|in_force| !Arc::ptr_eq(truth, in_force));
        self.latest.send_if_modified(|latest| {
            let same = |a: Option<&Arc<Snapshot>>, b: Option<&Arc<Snapshot>>| {
                a.map(Arc::as_ptr) == b.map(Arc::as_ptr)
            };
            let known = latest.as_ref().is_some_and(|pair| {
                Arc::ptr_eq(&pair.truth, truth) && same(pair.in_force.as_ref(), differs)
            });
            if !known {
                *latest = Some(Pair {
                    truth: Arc::clone(truth),
                    in_force: differs.cloned(),
                });
            }
            !known
        });
    }

    /// Ends once the latest state is written.
    pub(super) async fn finish(self) {
        drop(self.latest);
        self.writing.await;
    }
}

async fn write_latest(mut latest: watch::Receiver<Option<Pair>>, path: PathBuf, fleet: FleetName) {
    let mut failing = false;
    while latest.changed().await.is_ok() {
        let Some(pair) = latest.borrow_and_update().clone() else {
            continue;
        };
        let (path, fleet) = (path.clone(), fleet.clone());
        let saved = spawn_blocking(move || {
            state_file::save(&path, &fleet, &pair.truth, pair.in_force.as_deref())
        });
        let error = match saved.await {
            Ok(saved) => saved.err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        note(error.as_deref(), &mut failing);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Says it once when saving begins or ceases to fail.
fn note(error: Option<&str>, failing: &mut bool) {
    match (error, *failing) {
        (Some(error), false) => tracing::warn!("{error}; a restart would begin without it"),
        (None, true) => tracing::info!("the state file is written again"),
        _ => {}
    }
    *failing = error.is_some();
}
