//! Runs reconcilers: on a signal, and on a period in case there was none.
//!
//! A reconciler takes no input. It looks at everything there is and does what is missing, so that one
//! that missed a signal, or failed halfway, is right again after its next run.

use std::future::Future;
use std::time::Duration;

use rand::RngExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// One concern of an orchestrator.
pub(crate) trait Reconciler: Send + 'static {
    /// The longest time between two runs.
    const PERIOD: Duration;

    /// Brings what is closer to what should be. A failure is the next run's to make up for.
    fn reconcile(&mut self) -> impl Future<Output = ()> + Send;
}

/// Runs a reconciler until `stop`: at once, whenever `signal` changes, and on its period.
pub(crate) async fn drive<R: Reconciler, S>(
    mut reconciler: R,
    mut signal: watch::Receiver<S>,
    stop: CancellationToken,
) {
    let work = async {
        loop {
            signal.mark_unchanged();
            reconciler.reconcile().await;
            tokio::select! {
                changed = signal.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(jittered(R::PERIOD)) => {}
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Up to a tenth shorter, so that a fleet's processes do not run in step.
pub(crate) fn jittered(period: Duration) -> Duration {
    period.mul_f64(rand::rng().random_range(0.9..=1.0))
}
