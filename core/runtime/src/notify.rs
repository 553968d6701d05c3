//! What systemd is told of this process where it asked to be (`NOTIFY_SOCKET`); nothing anywhere else.

use sd_notify::NotifyState;

/// It serves, and is the service's main process: it may have taken that place from another.
pub fn notify_ready() {
    tell(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
}

/// It ends.
pub fn notify_stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd was not told");
    }
}
