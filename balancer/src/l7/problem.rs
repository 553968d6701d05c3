//! What the balancer answers by itself where no server's answer can be had: one place from failures to HTTP.

use model::BadPath;

use super::codec::{BadBody, BadResponse, Refusal};

/// Nobody knows when the registry is back; so many seconds later it may well be, and the way to another balancer is no longer.
const CUT_OFF_RETRY_AFTER: u32 = 5;

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
    /// What is asked for is not to be had on this connection: it is over TLS alone, or for hosts to whom the client has proved nothing.
    Misdirected,
    /// The balancer has been cut off from the registry for longer than it may be.
    CutOff,
    /// The listener's firewall does not let the client in.
    Denied,
    /// The route's firewall does not let the client use it.
    RouteDenied,
    /// A limit's requests in its time are used up; the client may ask again after so many seconds.
    RateLimited { after: u32 },
    /// As many requests are under way as a limit lets be, at the same time.
    ConcurrencyLimited { after: u32 },
    /// What the path means is in doubt.
    BadPath(BadPath),
    /// The path is not in its normal form, and the pool takes no other.
    PathNotNormal,
    /// There is no pool yet.
    NoPool,
    /// The route's pool does not exist.
    UnknownPool,
    /// The pool has nothing that may be picked.
    NoServer,
    /// The pool has as many requests as its circuit lets it have.
    CircuitOpen,
    /// Every server has as many connections in use as it may, and as many requests wait as the pool lets wait.
    QueueFull,
    /// The same, and waiting was for nothing.
    QueueTimeout,
    /// The last try had no connection.
    NoConnection,
    /// The last try's connection was closed without an answer.
    ConnectionLost,
    /// The last try's answer did not come in time.
    Timeout,
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

    /// Whether the connection may serve another request, if nothing is to come of this one's body.
    pub(super) fn may_keep_alive(self) -> bool {
        match self {
            // Where the request ends is not known, or it has not ended in time; or it was written to be read in two ways. And one who is
            // turned away by a stale balancer may reach another one by a new connection.
            Self::Refused(_)
            | Self::BadPath(_)
            | Self::SlowHead
            | Self::SlowBody
            | Self::BadBody(_)
            | Self::CutOff => false,
            Self::Misdirected
            | Self::Denied
            | Self::RouteDenied
            | Self::RateLimited { .. }
            | Self::ConcurrencyLimited { .. }
            | Self::PathNotNormal
            | Self::NoPool
            | Self::UnknownPool
            | Self::NoServer
            | Self::CircuitOpen
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::NoConnection
            | Self::ConnectionLost
            | Self::Timeout
            | Self::BadResponse(_)
            | Self::Drained
            | Self::BadResponseBody(_)
            | Self::HeadCutShort => true,
        }
    }

    pub(super) fn status(self) -> u16 {
        match self {
            Self::Refused(refusal) => refusal.status(),
            Self::BadBody(body) => body.status(),
            Self::SlowHead | Self::SlowBody => 408,
            Self::Misdirected => 421,
            Self::Denied | Self::RouteDenied => 403,
            Self::RateLimited { .. } | Self::ConcurrencyLimited { .. } => 429,
            Self::BadPath(_) | Self::PathNotNormal => 400,
            Self::CutOff
            | Self::NoPool
            | Self::UnknownPool
            | Self::NoServer
            | Self::CircuitOpen
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::Drained => 503,
            Self::Timeout => 504,
            Self::NoConnection
            | Self::ConnectionLost
            | Self::BadResponse(_)
            | Self::BadResponseBody(_)
            | Self::HeadCutShort => 502,
        }
    }

    /// After how many seconds the client may ask again, where it is told.
    pub(super) fn retry_after(self) -> Option<u32> {
        match self {
            Self::CutOff => Some(CUT_OFF_RETRY_AFTER),
            Self::RateLimited { after } | Self::ConcurrencyLimited { after } => Some(after),
            Self::Refused(_)
            | Self::BadBody(_)
            | Self::SlowHead
            | Self::SlowBody
            | Self::Misdirected
            | Self::Denied
            | Self::RouteDenied
            | Self::BadPath(_)
            | Self::PathNotNormal
            | Self::NoPool
            | Self::UnknownPool
            | Self::NoServer
            | Self::CircuitOpen
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::NoConnection
            | Self::ConnectionLost
            | Self::Timeout
            | Self::BadResponse(_)
            | Self::Drained
            | Self::BadResponseBody(_)
            | Self::HeadCutShort => None,
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
            Self::CutOff => "registry-cut-off",
            Self::Denied => "denied",
            Self::RouteDenied => "denied-by-route",
            Self::RateLimited { .. } => "rate-limited",
            Self::ConcurrencyLimited { .. } => "concurrency-limited",
            Self::BadPath(_) => "bad-path",
            Self::PathNotNormal => "path-not-normal",
            Self::NoPool => "no-pool",
            Self::UnknownPool => "unknown-pool",
            Self::NoServer => "no-server-available",
            Self::CircuitOpen => "circuit-open",
            Self::QueueFull => "queue-full",
            Self::QueueTimeout => "queue-timeout",
            Self::NoConnection => "server-connect-failed",
            Self::ConnectionLost => "server-connection-lost",
            Self::Timeout => "server-timeout",
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
            Self::BadPath(path) => return path.to_string(),
            Self::BadResponse(response) => return response.to_string(),
            Self::BadResponseBody(body) => return format!("the server's answer: {body}"),
            Self::SlowHead => "the request's head did not come in time",
            Self::SlowBody => "the request's body stopped coming",
            Self::Misdirected => {
                "what is asked for is not to be had on this connection: an https target without TLS, or a host of another certificate"
            }
            Self::CutOff => "this balancer has been cut off from the registry for too long",
            Self::Denied => "this client is not let in",
            Self::RouteDenied => "this client may not use the route",
            Self::RateLimited { .. } => "too many requests in the time that a limit is for",
            Self::ConcurrencyLimited { .. } => "too many requests at the same time",
            Self::PathNotNormal => "the path is not in its normal form (RFC 3986, 6.2.2)",
            Self::UnknownPool => "the pool that the route names does not exist",
            Self::NoPool => "this balancer has no pool to send requests to yet",
            Self::NoServer => "no server of the pool is available",
            Self::CircuitOpen => "the pool has as many requests in flight as it takes",
            Self::QueueFull => "every server is busy, and as many requests wait as may",
            Self::QueueTimeout => "every server was busy for as long as a request may wait",
            Self::NoConnection => "no connection to the server",
            Self::ConnectionLost => "the server closed the connection without an answer",
            Self::Timeout => "the server did not answer in time",
            Self::Drained => "the server has left, and the time to finish is over",
            Self::HeadCutShort => {
                "the server closed the connection in the middle of its answer's head"
            }
        };
        text.to_owned()
    }
}

#[cfg(test)]
mod tests;
