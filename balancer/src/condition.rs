//! Whether this process may be sent clients, as whoever watches it is told: at `--ops`, and at listeners that are open to that.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::listen::Turn;
use crate::sync::Standing;

/// What is looked at for that. Clones say the same.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) turn: watch::Receiver<Turn>,
    pub(crate) stop: CancellationToken,
}

impl Condition {
    /// Why no clients may come, in a few words. Nothing is waited for.
    pub(crate) fn check(&self) -> Result<(), String> {
        // What a successor serves is not stopping.
        if self.stop.is_cancelled() && *self.turn.borrow() != Turn::After {
            return Err("it is stopping".to_owned());
        }
        self.standing.borrow().check()
    }
}
