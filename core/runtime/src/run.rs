//! The frame around a role: runtime, log, start, wait for the end, exit code.

use std::fmt::Display;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use crate::{LogOptions, Supervisor, complain, init_telemetry};

/// Runs a role until it is asked to end: `start` binds and spawns on the supervisor, and what it returns
/// lives until the end. After the stop everything has `grace` to end in order.
///
/// Exit code 1 where it could not start, where a task failed, or where something did not end in time.
pub fn run<R, E, F>(
    log: &LogOptions,
    grace: Duration,
    start: impl FnOnce(Supervisor) -> F,
) -> ExitCode
where
    F: Future<Output = Result<R, E>>,
    E: Display,
{
    init_telemetry(log);
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
    let code = runtime.block_on(supervise(grace, start));
    // What did not end in time is not waited for again.
    runtime.shutdown_background();
    code
}

async fn supervise<R, E, F>(grace: Duration, start: impl FnOnce(Supervisor) -> F) -> ExitCode
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
    if let Err(unfinished) = supervisor.finished(grace).await {
        complain(format_args!("ended without waiting for: {unfinished}"));
        return ExitCode::FAILURE;
    }
    supervisor.exit_code()
}
