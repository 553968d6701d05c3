//! HAProxy, with one thread in the foreground.

use std::net::SocketAddr;
use std::path::Path;

use super::{BACKLOG, CONNECTIONS_MAX, IDLE_UPSTREAM, Setting};
use crate::identity::Identity;

/// The file of the map of routes.
pub(super) const MAP: &str = "routes.map";

/// Its configuration. Connections to servers are shared by all clients and kept for as long as everywhere else. By default it would
/// refuse to start where it may open fewer files than the most connections could need, which no case comes near.
pub(super) fn config(address: SocketAddr, setting: &Setting, folder: &Path) -> String {
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
    let secured = setting.identity.as_ref().map_or(String::new(), secured);
    let routed = match setting.rules.routes {
        0 => String::new(),
        _ => format!(
            "  use_backend %[path,map_beg({})]\n",
            folder.join(MAP).display()
        ),
    };
    format!(
        "global
  nbthread 1
  maxconn {CONNECTIONS_MAX}
  no strict-limits
  ssl-load-extra-del-ext
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
  bind {address}{secured}
{routed}  default_backend origin
backend origin
  balance roundrobin
{servers}"
    )
}

/// The map of routes, which stands beside the configuration.
pub(super) fn map(setting: &Setting) -> String {
    let prefixes = setting.rules.prefixes();
    prefixes
        .map(|prefix| format!("{prefix}/ origin\n"))
        .collect()
}

/// What makes a listener one of TLS. The key is found beside the certificate, by its name.
fn secured(identity: &Identity) -> String {
    let certificate = identity.certificate.display();
    format!(" ssl crt {certificate} ssl-min-ver TLSv1.2 alpn h2,http/1.1")
}
