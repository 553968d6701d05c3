//! Why a try brought no answer, and what follows from that: another try, an answer of the balancer's own, or nothing.

use policy::{Cause, Failure};

use super::codec::{BadBody, BadResponse};
use super::problem::Problem;

/// Why a try brought no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Miss {
    Server(Failure),
    /// A connection that had been idle broke, as may happen when both sides close at once, and sending again does no harm.
    Stale,
    BadResponse(BadResponse),
    HeadCutShort,
    /// The server leaves, and the time for what it has in flight is over.
    Drained,
    /// The time for all tries is over.
    OutOfTime,
    /// The client has waited in vain for leave to send its body. It might have sent it all the same, so that this says little of the server.
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
pub(super) enum Verdict {
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
            Self::Server(failure) => Some(failure),
            Self::Stale | Self::HeadCutShort => Some(Failure::Reset),
            Self::BadResponse(_) => Some(Failure::BadResponse),
            Self::OutOfTime => Some(Failure::Timeout),
            Self::Drained
            | Self::NoPermission
            | Self::Unsent
            | Self::SlowBody
            | Self::BadBody(_)
            | Self::ClientGone => None,
        }
    }

    pub(super) fn verdict(self) -> Verdict {
        match self {
            Self::Server(Failure::Connect) | Self::Unsent => Verdict::Again(Cause::Connect),
            Self::Server(Failure::Timeout) => Verdict::Again(Cause::Timeout),
            Self::Server(Failure::Reset) | Self::Stale => Verdict::Again(Cause::Reset),
            Self::Drained => Verdict::Again(Cause::Left),
            // Some of an answer came, or no time is left, or the request itself is at fault.
            Self::Server(Failure::BadResponse)
            | Self::BadResponse(_)
            | Self::HeadCutShort
            | Self::OutOfTime
            | Self::NoPermission
            | Self::SlowBody
            | Self::BadBody(_) => Verdict::Answer(self.problem()),
            Self::ClientGone => Verdict::Silence,
        }
    }

    /// What the client is told where this was the last try.
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::Server(failure) => Problem::Failed(failure),
            Self::Stale | Self::ClientGone => Problem::Failed(Failure::Reset),
            Self::BadResponse(bad) => Problem::BadResponse(bad),
            Self::HeadCutShort => Problem::HeadCutShort,
            Self::Drained => Problem::Drained,
            Self::Unsent => Problem::Failed(Failure::Connect),
            Self::OutOfTime | Self::NoPermission => Problem::Failed(Failure::Timeout),
            Self::SlowBody => Problem::SlowBody,
            Self::BadBody(bad) => Problem::BadBody(bad),
        }
    }
}
