//! Whose turn it is at the listeners, where one process hands them over to another.

use tokio::sync::watch;

/// Who accepts. Each step is taken once, under the channel's lock: so a successor cannot be lent what is being closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Turn {
    /// Another process does; this one holds the same listeners and will.
    Before,
    /// This process does.
    #[default]
    Ours,
    /// This process does, and a successor holds the listeners as well.
    Lent,
    /// The successor does.
    After,
    /// This process stops, and hands nothing over any more.
    Closing,
}

/// Takes a step where it is that one's turn; says whether it was.
pub(crate) fn advance(turn: &watch::Sender<Turn>, from: Turn, to: Turn) -> bool {
    turn.send_if_modified(|turn| {
        let fits = *turn == from;
        if fits {
            *turn = to;
        }
        fits
    })
}
