//! HAProxy, with one thread in the foreground.

use std::net::SocketAddr;
use std::path::Path;

use super::{BACKLOG, CONNECTIONS_MAX, IDLE_UPSTREAM, Setting};

/// Its configuration. Connections to servers are shared by all clients and kept for as long as everywhere else. By default it would
/// refuse to start where it may open fewer files than the most connections could need, which no case comes near.
pub(super) fn config(address: SocketAddr, setting: &Setting, _folder: &Path) -> String {
    let servers: String = setting
        .servers
        .iter()
        .enumerate()
        .map(|(index, server)| {
            format!(
                "  server s{index} {server} pool-max-conn {IDLE_UPSTREAM} pool-purge-delay 60s\n"
            )
        })
        .collect();
    format!(
        "global
  nbthread 1
  maxconn {CONNECTIONS_MAX}
  no strict-limits
defaults
  mode http
  maxconn {CONNECTIONS_MAX}
  backlog {BACKLOG}
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  timeout http-request 10s
  timeout http-keep-alive 60s
  option http-keep-alive
  option forwardfor
  http-reuse always
frontend clients
  bind {address}
  default_backend origin
backend origin
  balance roundrobin
{servers}"
    )
}
