//! When it is the system that is at its limit, not the other side that is at fault.

use std::io;

/// Whether there is no file, buffer or memory left for a socket.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}
