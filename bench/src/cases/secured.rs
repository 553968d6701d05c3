//! The cases within TLS: kept connections, handshakes, and HTTP/2.

use super::{Case, Request, Work, once, plain, without_relay};
use crate::load::Sessions;
use crate::peers::Peer;

/// The relay has no part in them: it has no certificate to show.
pub(super) fn all(peers: &[Peer]) -> Vec<Case> {
    let secured = |name, title, note, work| Case {
        name,
        title,
        note,
        work,
        is_noisy: false,
        contestants: plain(&without_relay(peers)),
    };
    vec![
        secured(
            "https",
            "HTTPS, a short body, 64 connections",
            "",
            Work::Closed(64, within_tls(Request::get("/"), Sessions::New)),
        ),
        secured(
            "handshakes",
            "A full handshake for each request, 64 at a time",
            "Each request has a connection of its own, so that requests a second are handshakes a second, and the cost of one is that of a \
             connection, a handshake and a request together.",
            Work::Closed(64, within_tls(once(), Sessions::New)),
        ),
        secured(
            "resumptions",
            "A resumed handshake for each request, 64 at a time",
            "The same, where each connection goes on with a session by a ticket that one before it left: so many of them did as the share \
             says.",
            Work::Closed(64, within_tls(once(), Sessions::Resumed)),
        ),
        secured(
            "h2",
            "HTTP/2, a short body, 4 connections with 100 streams each",
            "The client is h2load, which tells no quantiles of latencies, and opens no connection in place of one that is ended. To the \
             server requests go by HTTP/1.1.",
            Work::Streams(4, 100),
        ),
    ]
}

fn within_tls(request: Request, sessions: Sessions) -> Request {
    Request {
        tls: Some(sessions),
        ..request
    }
}
