//! Why a try brought no answer, and what follows from that: another try, an answer of the balancer's own, or nothing.

use policy::{Cause, Failure};

use super::codec::{BadBody, BadResponse};
use super::problem::Problem;

/// Why a try brought no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Miss {
    /// No connection to the server came about.
    NoConnection,
    /// The connection broke before any of an answer came.
    ConnectionLost,
    /// Nothing came in the time of one try.
    Timeout,
    /// A connection that had been idle broke, as may happen when both sides close at once, and sending again does no harm.
    Stale,
    /// The server has said that it has not looked at the request, and will not.
    Unprocessed,
    BadResponse(BadResponse),
    HeadCutShort,
    /// The server leaves, and the time for what it has in flight is over.
    Drained,
    /// The same of the server whose answer is held, which goes out now.
    HeldTooLong,
    /// The time for all tries is over.
    OutOfTime,
    /// The client has waited in vain for leave to send its body for as long as one try may take. It might have sent it all the same, so
    /// that this says little of the server.
    NotYetPermitted,
    /// The same for as long as all tries may take.
    NoPermission,
    /// Nothing was sent, for no fault of the server's.
    Unsent,
    /// The client stopped in the middle of its body.
    SlowBody,
    BadBody(BadBody),
    ClientGone,
}

/// What follows from a miss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another server may be tried.
    Again(Cause),
    /// There is no second try: the client is told why.
    Answer(Problem),
    /// Nobody is there to be told.
    Silence,
}

impl Miss {
    /// How the server failed; nothing where it did not.
    pub(super) fn failure(self) -> Option<Failure> {
        match self {
            Self::NoConnection => Some(Failure::Connect),
            Self::ConnectionLost | Self::Stale | Self::HeadCutShort => Some(Failure::Reset),
            Self::BadResponse(_) => Some(Failure::BadResponse),
            Self::Timeout | Self::OutOfTime => Some(Failure::Timeout),
            Self::Unprocessed
            | Self::Drained
            | Self::HeldTooLong
            | Self::NotYetPermitted
            | Self::NoPermission
            | Self::Unsent
            | Self::SlowBody
            | Self::BadBody(_)
            | Self::ClientGone => None,
        }
    }

    pub(super) fn next(self) -> Next {
        match self {
            Self::NoConnection | Self::Unsent | Self::Unprocessed => Next::Again(Cause::Connect),
            Self::Timeout | Self::NotYetPermitted => Next::Again(Cause::Timeout),
            Self::ConnectionLost | Self::Stale => Next::Again(Cause::Reset),
            Self::Drained => Next::Again(Cause::Left),
            // Some of an answer came, or no time is left, or the request itself is at fault.
            Self::BadResponse(_)
            | Self::HeldTooLong
            | Self::HeadCutShort
            | Self::OutOfTime
            | Self::NoPermission
            | Self::SlowBody
            | Self::BadBody(_) => Next::Answer(self.problem()),
            Self::ClientGone => Next::Silence,
        }
    }

    /// What the client is told where this was the last try.
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::NoConnection | Self::Unsent | Self::Unprocessed => Problem::NoConnection,
            Self::ConnectionLost | Self::Stale | Self::ClientGone => Problem::ConnectionLost,
            Self::BadResponse(bad) => Problem::BadResponse(bad),
            Self::HeadCutShort => Problem::HeadCutShort,
            Self::Drained | Self::HeldTooLong => Problem::Drained,
            Self::Timeout | Self::OutOfTime | Self::NotYetPermitted | Self::NoPermission => {
                Problem::Timeout
            }
            Self::SlowBody => Problem::SlowBody,
            Self::BadBody(bad) => Problem::BadBody(bad),
        }
    }
}
