//! What it means that a stream broke off, in the terms in which a pipe tells an exchange of it.

use std::io::ErrorKind;

use h2::{Error, Reason};

/// The server has not looked at the request, and will not (RFC 9113, 8.7): it may be sent again.
pub(super) const UNPROCESSED: ErrorKind = ErrorKind::ConnectionRefused;

/// The server's answer is malformed (RFC 9113, 8.1.1).
pub(super) const MALFORMED: ErrorKind = ErrorKind::InvalidData;

/// The stream or its connection has ended, and nobody knows what became of the request.
pub(super) const LOST: ErrorKind = ErrorKind::ConnectionReset;

/// What the failure of a stream means for its request.
pub(super) fn meaning(error: &Error) -> ErrorKind {
    // Streams up to the one that GOAWAY names are not told of it: to them, only the connection's end is one.
    let left_out = error.is_go_away() && error.is_remote();
    let refused =
        error.is_reset() && error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
    match () {
        () if left_out || refused => UNPROCESSED,
        () if error.is_reset() && error.is_library() => MALFORMED,
        () => LOST,
    }
}

/// Whether the server has ended the stream in order: all of its answer was sent, and it wants no more of the request (RFC 9113, 8.1).
pub(super) fn is_in_order(error: &Error) -> bool {
    error.is_reset() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR)
}
