//! What the balancer answers by itself where no server's answer can be had: one place from failures to HTTP.

use policy::Failure;

use super::codec::{BadBody, BadResponse, Refusal};

/// Why the client gets no server's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// The request's head is not taken.
    Refused(Refusal),
    /// The request's body is not taken.
    BadBody(BadBody),
    /// The request's head did not come in time.
    SlowHead,
    /// The request's body stopped coming.
    SlowBody,
    /// What is asked for is to be had over TLS alone, and was not asked for so.
    Misdirected,
    /// There is no pool yet.
    NoPool,
    /// The pool has nothing that may be picked.
    NoServer,
    /// The pool has as many requests as its circuit lets it have.
    CircuitOpen,
    /// Every server has as many connections in use as it may, and as many requests wait as the pool lets wait.
    QueueFull,
    /// The same, and waiting was for nothing.
    QueueTimeout,
    /// The last try failed this way.
    Failed(Failure),
    /// The last try's answer is not HTTP.
    BadResponse(BadResponse),
    /// The server left the fleet, and did not answer within the time it was given.
    Drained,
    /// The beginning of the last try's body is malformed.
    BadResponseBody(BadBody),
    /// The server closed in the middle of its head.
    HeadCutShort,
}

impl Problem {
    /// Whether it is the request that is at fault, whatever servers do.
    pub(super) fn is_the_clients(self) -> bool {
        matches!(
            self,
            Self::Refused(_) | Self::BadBody(_) | Self::SlowHead | Self::SlowBody
        )
    }

    pub(super) fn status(self) -> u16 {
        match self {
            Self::Refused(refusal) => refusal.status(),
            Self::BadBody(body) => body.status(),
            Self::SlowHead | Self::SlowBody => 408,
            Self::Misdirected => 421,
            Self::NoPool
            | Self::NoServer
            | Self::CircuitOpen
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::Drained => 503,
            Self::Failed(Failure::Timeout) => 504,
            Self::Failed(_)
            | Self::BadResponse(_)
            | Self::BadResponseBody(_)
            | Self::HeadCutShort => 502,
        }
    }

    /// For `Roundhouse-Reason` and the metrics.
    pub(super) fn token(self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.token(),
            Self::BadBody(body) => body.token(),
            Self::SlowHead => "request-head-timeout",
            Self::SlowBody => "request-body-timeout",
            Self::Misdirected => "misdirected",
            Self::NoPool => "no-pool",
            Self::NoServer => "no-server-available",
            Self::CircuitOpen => "circuit-open",
            Self::QueueFull => "queue-full",
            Self::QueueTimeout => "queue-timeout",
            Self::Failed(Failure::Connect) => "server-connect-failed",
            Self::Failed(Failure::Reset) => "server-connection-lost",
            Self::Failed(Failure::Timeout) => "server-timeout",
            Self::Failed(Failure::BadResponse) => "bad-response",
            Self::BadResponse(response) => response.token(),
            Self::Drained => "server-drained",
            Self::BadResponseBody(_) => "bad-response-body",
            Self::HeadCutShort => "response-head-cut-short",
        }
    }

    /// For people.
    pub(super) fn text(self) -> String {
        let text = match self {
            Self::Refused(refusal) => return refusal.to_string(),
            Self::BadBody(body) => return body.to_string(),
            Self::BadResponse(response) => return response.to_string(),
            Self::BadResponseBody(body) => return format!("the server's answer: {body}"),
            Self::SlowHead => "the request's head did not come in time",
            Self::SlowBody => "the request's body stopped coming",
            Self::Misdirected => "an https target was asked for without TLS",
            Self::NoPool => "this balancer has no pool to send requests to yet",
            Self::NoServer => "no server of the pool is available",
            Self::CircuitOpen => "the pool has as many requests in flight as it takes",
            Self::QueueFull => "every server is busy, and as many requests wait as may",
            Self::QueueTimeout => "every server was busy for as long as a request may wait",
            Self::Failed(Failure::Connect) => "no connection to the server",
            Self::Failed(Failure::Reset) => "the server closed the connection without an answer",
            Self::Failed(Failure::Timeout) => "the server did not answer in time",
            Self::Failed(Failure::BadResponse) => "the server's answer is not HTTP",
            Self::Drained => "the server has left, and the time to finish is over",
            Self::HeadCutShort => {
                "the server closed the connection in the middle of its answer's head"
            }
        };
        text.to_owned()
    }
}
