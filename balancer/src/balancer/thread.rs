//! A worker's thread, from its start to its end.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio_util::sync::CancellationToken;

use crate::adoption::Adoption;
use crate::condition::Condition;
use crate::crowd::Crowd;
use crate::limiting::Limiting;
use crate::listen::{Door, accept};
use crate::metrics::Counters;
use crate::settings::Settings;
use crate::suspecting::Suspecting;
use crate::upstream::SharedIdle;
use crate::worker::Worker;

/// What a worker thread is started with.
pub(super) struct WorkerStart {
    pub(super) settings: Settings,
    pub(super) crowd: Arc<Crowd>,
    pub(super) condition: Condition,
    pub(super) door: Door,
    pub(super) counters: Arc<Counters>,
    pub(super) suspecting: Suspecting,
    pub(super) limiting: Limiting,
    /// Of all workers.
    pub(super) shared_idle: Arc<SharedIdle>,
    pub(super) adoption: Adoption,
    pub(super) drain_timeout: Duration,
    pub(super) serving: Serving,
}

/// One of the workers that serve. When the last one drops it, nobody serves any more.
pub(super) struct Serving {
    pub(super) left: Arc<AtomicUsize>,
    pub(super) served: CancellationToken,
}

/// Serves until the stop token fires and every client is gone, or the drain time is over.
pub(super) fn work(start: WorkerStart) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("a runtime of one thread needs nothing but an epoll descriptor");
    runtime.block_on(serve(start));
}

async fn serve(start: WorkerStart) {
    let worker = Rc::new(Worker::new(
        start.settings,
        start.counters,
        start.suspecting,
        start.limiting,
        start.crowd,
        start.condition,
        start.shared_idle,
    ));
    let ticking = tokio::task::spawn_local({
        let worker = Rc::clone(&worker);
        async move { worker.tick().await }
    });
    let adopting = tokio::task::spawn_local({
        let worker = Rc::clone(&worker);
        async move { worker.adopt(start.adoption).await }
    });
    let serving = async {
        accept(Rc::clone(&worker), start.door).await;
        if tokio::time::timeout(start.drain_timeout, worker.emptied())
            .await
            .is_err()
        {
            tracing::warn!("the drain time is over: requests under way are cut short");
        }
    };
    tokio::select! {
        () = serving => {}
        _ = ticking => panic!("the clock has stopped"),
        // Where no more tables come, the process is ending around this thread, which serves by the last one until it is told to end.
        Err(error) = adopting => panic!("tables are not taken over any more: {error}"),
    }
    drop(start.serving);
}

impl Drop for Serving {
    fn drop(&mut self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.served.cancel();
        }
    }
}
