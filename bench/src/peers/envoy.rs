//! Envoy, with one worker thread and a static configuration, which it also takes as JSON.

use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;

use serde_json::{Value, json};

use super::{BACKLOG, CONNECTIONS_MAX, Setting};
use crate::identity::Identity;
use crate::rules::Rules;

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
        "listeners": [listener(address, setting)],
        "clusters": [cluster(&setting.servers)],
    }});
    config.to_string()
}

fn listener(address: SocketAddr, setting: &Setting) -> Value {
    let mut chain = json!({ "filters": [{
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": connection_manager(setting.rules),
    }]});
    if let Some(identity) = &setting.identity {
        chain["transport_socket"] = secured(identity);
    }
    json!({
        "address": socket_address(&address.ip().to_string(), address.port()),
        "tcp_backlog_size": BACKLOG,
        "filter_chains": [chain],
    })
}

/// What makes a listener one of TLS. Tickets are given out by default.
fn secured(identity: &Identity) -> Value {
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "tls_params": {
                    "tls_minimum_protocol_version": "TLSv1_2",
                    "tls_maximum_protocol_version": "TLSv1_3",
                },
                "tls_certificates": [{
                    "certificate_chain": { "filename": identity.certificate },
                    "private_key": { "filename": identity.key },
                }],
                "alpn_protocols": ["h2", "http/1.1"],
            },
        },
    })
}

fn connection_manager(rules: Rules) -> Value {
    let route = |prefix: String| {
        json!({
            "match": { "prefix": prefix },
            "route": { "cluster": "origin", "timeout": "60s" },
        })
    };
    let prefixes = rules.prefixes().map(|prefix| prefix + "/");
    let routes: Vec<_> = prefixes.chain(["/".into()]).map(route).collect();
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "clients",
        "use_remote_address": true,
        "request_headers_timeout": "10s",
        "common_http_protocol_options": { "idle_timeout": "60s" },
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes }] },
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
