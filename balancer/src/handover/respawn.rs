//! Starts the successor at a signal: this very program, as the file now is, with the flags of this process.

use std::io;

use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Starts a program and ends, so that the program is no child of this process's: a service manager waits for the main process
/// of a service only where that is a child of its own.
const APART: &str = "\"$@\" &";

/// At each SIGUSR2, until the stop. What the successor does is its own affair: it asks this process as any other would.
pub(crate) async fn respawn(stop: CancellationToken) {
    let mut asked = match signal(SignalKind::user_defined2()) {
        Ok(asked) => asked,
        Err(error) => {
            tracing::error!(%error, "cannot listen for SIGUSR2: a successor must be started by hand");
            return stop.cancelled().await;
        }
    };
    while stop.run_until_cancelled(asked.recv()).await.is_some() {
        if let Err(error) = start().await {
            tracing::error!(%error, "cannot start a successor");
        }
    }
}

async fn start() -> io::Result<()> {
    let mut arguments = std::env::args_os().collect::<Vec<_>>().into_iter();
    let program = arguments.next().ok_or(io::ErrorKind::NotFound)?;
    tracing::info!(?program, "starting a successor");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", APART, "sh"]).arg(program).args(arguments);
    let status = shell.status().await?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("the shell ended with {status}"))),
    }
}
