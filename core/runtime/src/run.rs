//! The frame around a role: runtime, log, start, wait for the end, exit code.

use std::fmt::Display;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use crate::open_files::raise_open_files;
use crate::{LogOptions, Supervisor, Unfinished, complain, init_telemetry};

/// How a role ends in order.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// How long it may take.
    pub within: Duration,
    /// What it waits for, for people: what a second signal cuts short.
    pub awaits: &'static str,
}

/// Runs a role until it is asked to end: `start` binds and spawns on the supervisor, and what it returns
/// lives until the end.
///
/// Exit code 1 where it could not start, where a task failed, or where something did not end in time.
pub fn run<R, E, F>(
    log: &LogOptions,
    ending: Ending,
    start: impl FnOnce(Supervisor) -> F,
) -> ExitCode
where
    F: Future<Output = Result<R, E>>,
    E: Display,
{
    init_telemetry(log);
    raise_open_files();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("cannot start threads: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(supervise(ending, start));
    // What did not end in time is not waited for again.
    runtime.shutdown_background();
    code
}

async fn supervise<R, E, F>(ending: Ending, start: impl FnOnce(Supervisor) -> F) -> ExitCode
where
    F: Future<Output = Result<R, E>>,
    E: Display,
{
    let supervisor = Supervisor::new();
    let mut asked = std::pin::pin!(supervisor.run_until_signal());
    let _role = tokio::select! {
        // Signals are listened for before the role says that it runs.
        biased;
        () = &mut asked => None,
        started = start(supervisor.clone()) => match started {
            Ok(role) => {
                asked.await;
                Some(role)
            }
            Err(error) => {
                complain(error);
                return ExitCode::FAILURE;
            }
        },
    };
    match supervisor.finished(ending.within).await {
        Ok(()) => return supervisor.exit_code(),
        Err(Unfinished::Abandoned) => complain(format_args!(
            "ended at the second signal, without waiting for {}",
            ending.awaits
        )),
        Err(overdue) => complain(format_args!("ended with this {overdue}")),
    }
    ExitCode::FAILURE
}
