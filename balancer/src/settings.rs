//! What a worker is set up with: static, from the command line and constants with their reasons.

use std::time::{Duration, Instant};

use crate::Args;
use crate::codec::Limits;
use crate::trusted::Trusted;

/// A client that has closed its side and takes nothing for so long is taken to have gone. Most that close it have; one that only said that
/// nothing more will come still gets an answer that is on its way.
pub(crate) const HALF_CLOSED_FOR: Duration = Duration::from_secs(1);

/// How often something under way looks whether its server has left meanwhile, and its time is over.
pub(crate) const LOOK_EACH: Duration = Duration::from_secs(1);

/// The same for a request whose server takes suspiciously long, so that it goes elsewhere as soon as that one is found to be down.
pub(crate) const LOOK_SOON: Duration = Duration::from_millis(50);

/// How long the client may take to accept an answer of the balancer's own, which is a few hundred bytes.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long a closed client's remaining bytes are read.
pub(crate) const LINGER_FOR: Duration = Duration::from_secs(2);

/// How many of a closed client's remaining bytes are read.
pub(crate) const LINGER_BYTES_MAX: usize = 1 << 20;

/// How long a connection is still kept for a request that may be on its way when the balancer stops.
pub(crate) const LAST_REQUEST_WITHIN: Duration = Duration::from_secs(1);

/// One worker's settings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// When the balancer started: what all clocks count from.
    pub(crate) started: Instant,
    pub(crate) request_limits: Limits,
    pub(crate) response_limits: Limits,
    /// How long a client's connection may wait for a request.
    pub(crate) keep_alive_for: Duration,
    /// How long a request's head may take from its first byte to its last.
    pub(crate) head_within: Duration,
    /// How long a client may pause while its request's body is awaited.
    pub(crate) body_within: Duration,
    /// How many requests one connection may make.
    pub(crate) requests_max: u64,
    pub(crate) trusted: Trusted,
    /// How long a client's connection may wait for its last request once a successor serves: it leaves time for the answer.
    pub(crate) farewell_within: Duration,
}

impl Settings {
    /// What the flags say for each worker.
    pub(crate) fn new(started: Instant, args: &Args) -> Self {
        Self {
            started,
            request_limits: Limits::new(
                args.max_request_line,
                args.max_head_bytes,
                args.max_fields,
                u64::MAX,
            ),
            response_limits: Limits::for_responses(),
            keep_alive_for: args.keep_alive_timeout,
            head_within: args.head_timeout,
            body_within: args.body_timeout,
            requests_max: match args.keep_alive_requests {
                0 => u64::MAX,
                most => most,
            },
            trusted: Trusted::new(&args.trusted_proxies),
            farewell_within: args.keep_alive_timeout.min(args.drain_timeout / 2),
        }
    }
}
