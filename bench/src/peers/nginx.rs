//! nginx, as a single worker in the foreground.

use std::net::SocketAddr;
use std::path::Path;

use super::{BACKLOG, CONNECTIONS_MAX, IDLE_UPSTREAM, Setting};
use crate::identity::Identity;

/// Its configuration. Large bodies may not go to disk, and requests' are sent on before they have come whole, as the others do;
/// its limits on how often a connection is used are lifted, since the others have none.
pub(super) fn config(address: SocketAddr, setting: &Setting, folder: &Path) -> String {
    let servers: String = setting
        .servers
        .iter()
        .map(|server| format!("    server {server} max_fails=0;\n"))
        .collect();
    let folder = folder.display();
    let (secured, identity) = secured(setting.identity.as_ref());
    let prefixes = setting.rules.prefixes();
    let location = |prefix| format!("    location {prefix}/ {{ proxy_pass http://origin; }}\n");
    let locations: String = prefixes.map(location).collect();
    let idle = IDLE_UPSTREAM.max(setting.servers.len());
    format!(
        "daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile {CONNECTIONS_MAX};
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections {CONNECTIONS_MAX}; use epoll; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_timeout 60s;
  keepalive_requests 1000000000;
  client_header_timeout 10s;
  client_max_body_size 0;
  proxy_connect_timeout 1s;
  proxy_read_timeout 60s;
  proxy_send_timeout 60s;
  proxy_max_temp_file_size 0;
  client_body_buffer_size 128k;
  upstream origin {{
{servers}    keepalive {idle};
    keepalive_requests 1000000000;
    keepalive_timeout 60s;
  }}
  server {{
    listen {address}{secured} backlog={BACKLOG};
{identity}    proxy_http_version 1.1;
    proxy_request_buffering off;
    proxy_set_header Connection \"\";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    location / {{ proxy_pass http://origin; }}
{locations}  }}
}}
"
    )
}

/// What makes a listener one of TLS, and what it shows. By default there would be no TLS 1.3.
fn secured(identity: Option<&Identity>) -> (&'static str, String) {
    let Some(identity) = identity else {
        return ("", String::new());
    };
    let shown = format!(
        "    ssl_certificate {};
    ssl_certificate_key {};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_tickets on;
",
        identity.certificate.display(),
        identity.key.display()
    );
    (" ssl http2", shown)
}
