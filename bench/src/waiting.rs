//! What streams that never block say instead.

use std::io::{self, ErrorKind};

/// Whether there is nothing wrong but the time. A stream that is not connected yet is told by an event.
pub(crate) fn would_block(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::NotConnected
    )
}
