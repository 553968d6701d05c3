//! Every task and thread of a process, by name: one that ends before it was asked to ends the process.
//!
//! A task that died would otherwise leave a process that looks alive and does half its work. Tasks
//! end themselves when the stop token fires; this waits for them and names those that do not.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::signals::Signals;

/// Clones watch over the same tasks.
#[derive(Debug, Clone)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

/// Why the process stops although nobody asked it to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("{name} ended unexpectedly")]
    Ended { name: String },
    #[error("{name} panicked: {message}")]
    Panicked { name: String, message: String },
}

/// Why those that were still running are not waited for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfinished {
    /// The time is over. There is at least one name.
    #[error("still running after {limit:?}: {}", names.join(", "))]
    Overdue { limit: Duration, names: Vec<String> },
    /// A second signal came.
    #[error("not waited for since a second signal came")]
    Abandoned,
}

#[derive(Debug)]
struct Shared {
    stop: CancellationToken,
    /// A second signal: do not wait for anything any more.
    abandon: CancellationToken,
    running: Mutex<Running>,
    /// How many are running, for those who wait.
    count: watch::Sender<usize>,
    /// The first one decides.
    failure: OnceLock<Failure>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    names: BTreeMap<u64, String>,
}

/// One entry among the running. Its drop takes it out, however its task ended.
struct Presence {
    shared: Arc<Shared>,
    id: u64,
    name: String,
}

impl Supervisor {
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                stop: CancellationToken::new(),
                abandon: CancellationToken::new(),
                running: Mutex::default(),
                count: watch::Sender::new(0),
                failure: OnceLock::new(),
            }),
        }
    }

    /// Fires when the process is to end. Every task looks at it.
    pub fn stop_token(&self) -> CancellationToken {
        self.shared.stop.clone()
    }

    /// Asks every task to end.
    pub fn request_stop(&self) {
        self.shared.stop.cancel();
    }

    /// Starts a task that lasts until the stop token fires. If it ends or panics before, the process stops.
    pub fn spawn(&self, name: impl Into<String>, task: impl Future<Output = ()> + Send + 'static) {
        let presence = self.enter(name.into());
        tokio::spawn(async move {
            match tokio::spawn(task).await {
                Ok(()) => presence.ended(),
                Err(error) if error.is_panic() => presence.panicked(&*error.into_panic()),
                // The runtime is being taken down.
                Err(_) => {}
            }
        });
    }

    /// The same for an operating system thread of its own.
    ///
    /// # Errors
    /// Where the system gives no more threads.
    pub fn spawn_thread(
        &self,
        name: impl Into<String>,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let name = name.into();
        let presence = self.enter(name.clone());
        let watched = move || match catch_unwind(AssertUnwindSafe(body)) {
            Ok(()) => presence.ended(),
            Err(payload) => presence.panicked(&*payload),
        };
        std::thread::Builder::new()
            .name(name)
            .spawn(watched)
            .map(drop)
    }

    /// Returns when the process is to end: by SIGINT, SIGTERM, a failure or `request_stop`. The second signal makes
    /// `finished` give up at once.
    pub async fn run_until_signal(&self) {
        let mut signals = match Signals::listen() {
            Ok(signals) => signals,
            Err(error) => {
                tracing::error!(%error, "cannot listen for signals: only a kill will end this process");
                return self.shared.stop.cancelled().await;
            }
        };
        tokio::select! {
            signal = signals.next() => tracing::info!(signal, "stopping; a second signal ends at once"),
            () = self.shared.stop.cancelled() => return self.expect_two(signals),
        }
        self.request_stop();
        self.expect_one(signals);
    }

    /// A process that ends by itself may be asked to end meanwhile, as by a service manager that stops all of them.
    fn expect_two(&self, mut signals: Signals) {
        let supervisor = self.clone();
        tokio::spawn(async move {
            let signal = signals.next().await;
            tracing::info!(signal, "stopping already; a second signal ends at once");
            supervisor.expect_one(signals);
        });
    }

    /// The next signal ends at once.
    fn expect_one(&self, mut signals: Signals) {
        let abandon = self.shared.abandon.clone();
        tokio::spawn(async move {
            signals.next().await;
            abandon.cancel();
        });
    }

    /// Waits until nothing runs any more.
    ///
    /// # Errors
    /// Something still runs after `limit`, or at a second signal.
    pub async fn finished(&self, limit: Duration) -> Result<(), Unfinished> {
        let mut count = self.shared.count.subscribe();
        let abandoned = tokio::select! {
            _ = count.wait_for(|count| *count == 0) => return Ok(()),
            () = self.shared.abandon.cancelled() => true,
            () = tokio::time::sleep(limit) => false,
        };
        let names = self.running();
        match (names.is_empty(), abandoned) {
            // The last one ended at this very moment.
            (true, _) => Ok(()),
            (false, true) => Err(Unfinished::Abandoned),
            (false, false) => Err(Unfinished::Overdue { limit, names }),
        }
    }

    /// What ended the process, if it was not asked to end.
    pub fn failure(&self) -> Option<&Failure> {
        self.shared.failure.get()
    }

    /// 0, or 1 after a failure.
    pub fn exit_code(&self) -> ExitCode {
        match self.failure() {
            None => ExitCode::SUCCESS,
            Some(_) => ExitCode::FAILURE,
        }
    }

    fn enter(&self, name: String) -> Presence {
        let mut running = self.shared.running();
        let id = running.next;
        running.next += 1;
        running.names.insert(id, name.clone());
        self.shared.count.send_replace(running.names.len());
        Presence {
            shared: Arc::clone(&self.shared),
            id,
            name,
        }
    }

    fn running(&self) -> Vec<String> {
        self.shared.running().names.values().cloned().collect()
    }
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, failure: Failure) {
        tracing::error!("{failure}");
        let _ = self.failure.set(failure);
        self.stop.cancel();
    }
}

impl Presence {
    fn ended(self) {
        if !self.shared.stop.is_cancelled() {
            let name = self.name.clone();
            self.shared.fail(Failure::Ended { name });
        }
    }

    /// A panic is a failure also while the process is stopping.
    fn panicked(self, payload: &(dyn Any + Send)) {
        let text = payload.downcast_ref::<&str>().copied();
        let message = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        self.shared.fail(Failure::Panicked {
            name: self.name.clone(),
            message: message.unwrap_or("without a message").to_owned(),
        });
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut running = self.shared.running();
        running.names.remove(&self.id);
        self.shared.count.send_replace(running.names.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn tasks_and_threads_that_end_after_the_stop_are_no_failure() {
        let supervisor = Supervisor::new();
        let stop = supervisor.stop_token();
        supervisor.spawn("task", async move { stop.cancelled().await });
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let thread = move || {
            let _released = wait.recv();
        };
        supervisor.spawn_thread("thread", thread).unwrap();
        supervisor.request_stop();
        drop(release);
        assert_eq!(supervisor.finished(SOON).await, Ok(()));
        assert_eq!(supervisor.failure(), None);
    }

    #[tokio::test]
    async fn a_task_that_ends_early_stops_the_process() {
        let supervisor = Supervisor::new();
        supervisor.spawn("follower", async {});
        supervisor.run_until_signal().await;
        assert_eq!(supervisor.finished(SOON).await, Ok(()));
        let name = "follower".to_owned();
        assert_eq!(supervisor.failure(), Some(&Failure::Ended { name }));
    }

    #[tokio::test]
    async fn a_panic_stops_the_process_and_is_named() {
        for thread in [false, true] {
            let supervisor = Supervisor::new();
            if thread {
                supervisor
                    .spawn_thread("worker", || panic!("table {}", 7))
                    .unwrap();
            } else {
                supervisor.spawn("worker", async { panic!("table {}", 7) });
            }
            supervisor.stop_token().cancelled().await;
            assert_eq!(supervisor.finished(SOON).await, Ok(()));
            let failure = supervisor.failure().expect("a failure").to_string();
            assert_eq!(failure, "worker panicked: table 7");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_in_time_is_named() {
        let supervisor = Supervisor::new();
        supervisor.spawn("stubborn", std::future::pending());
        supervisor.request_stop();
        let unfinished = supervisor.finished(SOON).await.expect_err("it never ends");
        assert_eq!(unfinished.to_string(), "still running after 5s: stubborn");
    }

    #[tokio::test]
    async fn a_second_signal_ends_the_waiting_only_while_there_is_something_to_wait_for() {
        let supervisor = Supervisor::new();
        supervisor.shared.abandon.cancel();
        assert_eq!(supervisor.finished(SOON).await, Ok(()));
        supervisor.spawn("stubborn", std::future::pending());
        assert_eq!(supervisor.finished(SOON).await, Err(Unfinished::Abandoned));
    }
}
