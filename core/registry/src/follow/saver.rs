//! Saves what is followed, off the async threads, one write at a time: the latest state replaces those that
//! wait for their turn. It is part of the task that follows, so that no end of it goes unnoticed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use model::{Collection, FleetName, Origin, Snapshot};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::follower::Follower;
use crate::state_file::{self, Contents};

/// The least time between two writes.
const PAUSE: Duration = Duration::from_millis(100);

/// How many times as long as a write took nothing is written after it: the state of a large fleet takes milliseconds
/// of processor time, which a fleet that changes all the time shall not pay each time.
const PAUSE_PER_WRITE: u32 = 50;

/// No state is older on disk than this and what its write takes.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How soon a state that could not be written is tried again, where no later one comes before.
const RETRY: Duration = Duration::from_secs(5);

/// What is to be written.
#[derive(Debug, Clone)]
struct Pending {
    truth: Arc<Snapshot>,
    in_force: Option<Arc<Snapshot>>,
    tainted: BTreeSet<Collection>,
    balancers: Option<u32>,
}

impl Pending {
    fn is(&self, other: &Self) -> bool {
        let in_force = |pending: &Self| pending.in_force.as_ref().map(Arc::as_ptr);
        Arc::ptr_eq(&self.truth, &other.truth)
            && in_force(self) == in_force(other)
            && self.tainted == other.tainted
            && self.balancers == other.balancers
    }

    fn contents(&self) -> Contents<'_> {
        Contents {
            snapshot: &self.truth,
            in_force: self.in_force.as_deref(),
            tainted: &self.tainted,
            balancers: self.balancers,
        }
    }
}

/// The writer of one state file.
pub(super) struct Saver {
    latest: watch::Sender<Option<Pending>>,
    /// Nothing comes after the latest, which is to be written without a pause.
    ending: CancellationToken,
    /// Ends once `latest` is dropped and written.
    writing: BoxFuture<'static, ()>,
}

impl Saver {
    pub(super) fn new(path: PathBuf, fleet: FleetName) -> Self {
        let (latest, receiver) = watch::channel(None);
        let ending = CancellationToken::new();
        let writing = write_latest(receiver, ending.clone(), path, fleet).boxed();
        Self {
            latest,
            ending,
            writing,
        }
    }

    /// Writes what there is to write, for as long as this is polled. It can be dropped and called again.
    pub(super) async fn run(&mut self) {
        (&mut self.writing).await;
    }

    /// Sees to it that what is followed is written, unless something later is first. What came from disk is there.
    pub(super) fn save(&self, follower: &Follower, balancers: Option<u32>) {
        let (Some(truth), Origin::Registry) = (follower.truth(), follower.origin()) else {
            return;
        };
        let differs = |in_force: &&Arc<Snapshot>| !Arc::ptr_eq(truth, in_force);
        self.offer(Pending {
            truth: Arc::clone(truth),
            in_force: follower.in_force().filter(differs).cloned(),
            tainted: follower.tainted().clone(),
            balancers,
        });
    }

    fn offer(&self, pending: Pending) {
        self.latest.send_if_modified(|latest| {
            let is_new = latest.as_ref().is_none_or(|latest| !latest.is(&pending));
            if is_new {
                *latest = Some(pending);
            }
            is_new
        });
    }

    /// Ends once the latest state is written.
    pub(super) async fn finish(self) {
        self.ending.cancel();
        drop(self.latest);
        self.writing.await;
    }
}

async fn write_latest(
    mut latest: watch::Receiver<Option<Pending>>,
    ending: CancellationToken,
    path: PathBuf,
    fleet: FleetName,
) {
    let mut failing = false;
    while is_due(&mut latest, failing).await {
        let Some(pending) = latest.borrow_and_update().clone() else {
            continue;
        };
        let (path, fleet) = (path.clone(), fleet.clone());
        let began = Instant::now();
        let save = move || state_file::save(&path, &fleet, pending.contents());
        let written = spawn_blocking(save);
        let error = match written.await {
            Ok(written) => written.err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        note(error.as_deref(), &mut failing);
        // Either is a reason to go on.
        let _ = timeout(pause_after(began.elapsed()), ending.cancelled()).await;
    }
}

fn pause_after(write: Duration) -> Duration {
    (write * PAUSE_PER_WRITE).clamp(PAUSE, PAUSE_MAX)
}

/// Waits for something to write: a later state, or the same once more where it could not be written, since a
/// disk that was full need not stay so. False where no later one will come.
async fn is_due(latest: &mut watch::Receiver<Option<Pending>>, failing: bool) -> bool {
    if !failing {
        return latest.changed().await.is_ok();
    }
    let changed = timeout(RETRY, latest.changed()).await;
    changed.unwrap_or(Ok(())).is_ok()
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

#[cfg(test)]
mod tests {
    use std::fs;

    use model::{Epoch, Position, Revision, RevisionId};

    use super::*;

    #[tokio::test]
    async fn what_could_not_be_written_is_written_when_it_can_be() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("state/state.json");
        let in_the_way = directory.path().join("state");
        fs::write(&in_the_way, "a file where the folder should be").expect("a file");
        let mut saver = Saver::new(path.clone(), FleetName::standard());
        let state = Arc::new(Snapshot::empty(Position {
            epoch: Epoch::random(),
            revision: Revision(1),
            id: RevisionId::random(),
        }));
        saver.offer(Pending {
            truth: Arc::clone(&state),
            in_force: None,
            tainted: BTreeSet::new(),
            balancers: None,
        });
        let _ = timeout(2 * PAUSE, saver.run()).await;
        fs::remove_file(&in_the_way).expect("it was there");
        let written = async {
            while !path.exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = saver.run() => panic!("it goes on as long as there may be more"),
            () = written => {}
            () = tokio::time::sleep(4 * RETRY) => panic!("it was never written"),
        }
        let loaded = state_file::load(&path, &FleetName::standard()).expect("a good file");
        assert_eq!(loaded.map(|saved| saved.snapshot), Some((*state).clone()));
    }
}
