//! What a worker is set up with: static, from the command line and constants with their reasons.

use std::num::NonZero;
use std::time::{Duration, Instant};

use crate::Args;
use crate::codec::Limits;
use crate::trusted::Trusted;

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

/// The most clients at the same time, where nothing else is asked for.
const CLIENTS_MAX: usize = 65_536;

/// Files that are set aside, at most, for what is no connection: listeners, logs, the registry and scrapes.
const FILES_ASIDE_MAX: usize = 256;

/// Where fewer clients than this can be served at once, the log says so, though nobody asked for more.
const CLIENTS_FEW: usize = 1024;

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
    /// A client that has closed its side and takes nothing for so long is taken to have gone.
    pub(crate) half_closed_for: Duration,
    /// How many files there are for clients and servers, for all workers together.
    pub(crate) files: usize,
    /// How many workers there are.
    pub(crate) workers: usize,
    /// How long a client's connection may wait for its last request once a successor serves: it leaves time for the answer.
    pub(crate) farewell_within: Duration,
    pub(crate) http2: Http2,
}

/// What a connection of HTTP/2 may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Http2 {
    /// Whether a connection without TLS may begin with the preface.
    pub(crate) prior_knowledge: bool,
    pub(crate) streams_max: u32,
    /// Bytes of a stream's body that may come before any of it is used, and of all streams together.
    pub(crate) window: u32,
    pub(crate) connection_window: u32,
    /// Bytes of a frame's payload.
    pub(crate) frame_max: u32,
    /// How many streams may be reset before any is answered, and before time has passed.
    pub(crate) resets_max: u32,
    /// The same for frames that bring nothing.
    pub(crate) control_frames_max: u32,
}

impl Settings {
    /// What the flags say for each worker, in a process that may have so many files open.
    pub(crate) fn new(started: Instant, args: &Args, files_max: usize) -> Self {
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
            half_closed_for: args.half_closed_timeout,
            files: files_for_sockets(files_max),
            workers: args.workers(),
            http2: Http2::new(args),
            farewell_within: args.keep_alive_timeout.min(args.drain_timeout / 2),
        }
    }
}

impl Http2 {
    fn new(args: &Args) -> Self {
        Self {
            prior_knowledge: args.h2c,
            streams_max: args.http2_max_streams,
            window: args.http2_window,
            connection_window: args.http2_connection_window.max(args.http2_window),
            frame_max: args.http2_max_frame_bytes,
            resets_max: args.http2_max_resets,
            control_frames_max: args.http2_max_control_frames,
        }
    }
}

/// How many clients there may be at the same time: as many as are asked for, and no more than three quarters of the files that are not set
/// aside. Most clients wait for their next request, and need no other file meanwhile.
pub(crate) fn clients_max(asked: Option<NonZero<usize>>, files_max: usize) -> usize {
    let possible = (files_for_sockets(files_max) / 4 * 3).max(1);
    asked.map_or(CLIENTS_MAX, NonZero::get).min(possible)
}

/// Says where files are too few for the clients that were asked for, or for more than a few.
pub(crate) fn warn_of_few_clients(
    asked: Option<NonZero<usize>>,
    clients_max: usize,
    files_max: usize,
) {
    match asked {
        Some(asked) if clients_max < asked.get() => tracing::warn!(
            clients_max,
            files_max,
            "fewer clients are served at once than --max-connections says: this process may not have more files open"
        ),
        None if clients_max < CLIENTS_FEW => tracing::warn!(
            clients_max,
            files_max,
            "few clients are served at once: this process may not have more files open"
        ),
        _ => {}
    }
}

fn files_for_sockets(files_max: usize) -> usize {
    files_max - (files_max / 4).min(FILES_ASIDE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_have_three_quarters_of_the_files_that_are_not_set_aside() {
        let asked = NonZero::new(1000);
        assert_eq!(clients_max(asked, 1 << 20), 1000);
        assert_eq!(clients_max(asked, 1024), 576);
        assert_eq!(clients_max(None, 1 << 20), 65_536);
        assert_eq!(clients_max(None, 400), 225);
        assert_eq!(clients_max(None, 0), 1);
    }
}
