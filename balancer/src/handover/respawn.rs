//! Starts the successor at a signal: this very program, as the file now is, with the flags of this process.

use std::io;

use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// At each SIGUSR2, until the stop. What the successor does is its own affair: it asks this process as any other would.
pub(crate) async fn respawn(stop: CancellationToken) {
    let mut asked = match signal(SignalKind::user_defined2()) {
        Ok(asked) => asked,
        Err(error) => {
            tracing::error!(%error, "cannot listen for SIGUSR2: a successor must be started by hand");
            return stop.cancelled().await;
        }
    };
    while stop
        .run_until_cancelled(asked.recv())
        .await
        .flatten()
        .is_some()
    {
        runtime::notify_reloading();
        let ended = match start() {
            Ok(mut child) => stop.run_until_cancelled(child.wait()).await,
            Err(error) => Some(Err(error)),
        };
        match ended {
            // It took over.
            None => return,
            Some(Ok(status)) => {
                tracing::error!(%status, "the successor ended: this process goes on");
            }
            Some(Err(error)) => tracing::error!(%error, "cannot start a successor"),
        }
        runtime::notify_ready();
    }
}

fn start() -> io::Result<Child> {
    let mut arguments = std::env::args_os();
    let program = arguments.next().ok_or(io::ErrorKind::NotFound)?;
    tracing::info!(?program, "starting a successor");
    Command::new(program).args(arguments).spawn()
}
