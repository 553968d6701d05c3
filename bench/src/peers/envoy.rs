//! Envoy, with one worker thread and a static configuration, which it also takes as JSON.

use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;

use serde_json::{Value, json};

use super::{BACKLOG, CONNECTIONS_MAX, Setting};

/// How it is started. No hot restart, so that several run side by side.
pub(super) fn arguments(config: &str) -> Vec<String> {
    let fixed = [
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "--log-level",
        "error",
        "-c",
    ];
    fixed
        .iter()
        .copied()
        .chain([config])
        .map(String::from)
        .collect()
}

/// Its configuration.
pub(super) fn config(address: SocketAddr, setting: &Setting, _folder: &Path) -> String {
    let config = json!({ "static_resources": {
        "listeners": [listener(address)],
        "clusters": [cluster(&setting.servers)],
    }});
    config.to_string()
}

fn listener(address: SocketAddr) -> Value {
    json!({
        "address": socket_address(&address.ip().to_string(), address.port()),
        "tcp_backlog_size": BACKLOG,
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": connection_manager(),
        }]}],
    })
}

fn connection_manager() -> Value {
    let route = json!({
        "match": { "prefix": "/" },
        "route": { "cluster": "origin", "timeout": "60s" },
    });
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "clients",
        "use_remote_address": true,
        "request_headers_timeout": "10s",
        "common_http_protocol_options": { "idle_timeout": "60s" },
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [route] }] },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        }],
    })
}

fn cluster(servers: &[SocketAddrV4]) -> Value {
    let endpoints: Vec<_> = servers
        .iter()
        .map(|server| json!({ "endpoint": { "address": socket_address(&server.ip().to_string(), server.port()) } }))
        .collect();
    json!({
        "name": "origin",
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": "ROUND_ROBIN",
        "circuit_breakers": { "thresholds": [{
            "max_connections": CONNECTIONS_MAX,
            "max_pending_requests": CONNECTIONS_MAX,
            "max_requests": CONNECTIONS_MAX,
        }]},
        "load_assignment": { "cluster_name": "origin", "endpoints": [{ "lb_endpoints": endpoints }] },
    })
}

fn socket_address(host: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": host, "port_value": port } })
}
