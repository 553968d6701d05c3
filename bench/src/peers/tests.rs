use super::*;

fn setting(servers: usize) -> Setting {
    let first = "127.0.0.1:9000".parse().expect("an address");
    Setting {
        servers: crate::origin::addresses(first, servers).collect(),
        threads: 1,
        algorithm: None,
        rules: Rules::default(),
        identity: None,
    }
}

fn address() -> SocketAddr {
    "127.0.0.1:8000".parse().expect("an address")
}

#[test]
fn every_configuration_has_every_server_and_one_listener() {
    let configs = [nginx::config, haproxy::config, envoy::config];
    for config in configs {
        let text = config(address(), &setting(3), Path::new("/folder"));
        for host in ["127.0.0.1", "127.0.0.2", "127.0.0.3"] {
            assert!(text.contains(host), "{text}");
        }
        assert_eq!(text.matches("9000").count(), 3, "{text}");
        assert_eq!(text.matches("8000").count(), 1, "{text}");
    }
}

#[test]
fn nginx_keeps_a_connection_to_each_of_many_servers() {
    let text = nginx::config(address(), &setting(5000), Path::new("/folder"));
    assert!(text.contains("keepalive 5000;"));
    let text = nginx::config(address(), &setting(1), Path::new("/folder"));
    assert!(text.contains("keepalive 1024;"));
}

#[test]
fn everyone_adds_where_the_client_is_and_writes_no_log() {
    let servers = setting(1);
    let nginx = nginx::config(address(), &servers, Path::new("/folder"));
    assert!(
        nginx.contains("X-Forwarded-For $proxy_add_x_forwarded_for")
            && nginx.contains("access_log off")
    );
    let haproxy = haproxy::config(address(), &servers, Path::new("/folder"));
    assert!(
        haproxy.contains("option forwardfor")
            && !haproxy.contains("\n  log")
            && !haproxy.contains("httplog")
    );
    let envoy = envoy::config(address(), &servers, Path::new("/folder"));
    assert!(envoy.contains("\"use_remote_address\":true") && !envoy.contains("access_log"));
}

#[test]
fn as_many_connections_wait_at_everyone_and_nginx_waits_for_no_body() {
    let servers = setting(1);
    let work = Path::new("/folder");
    let nginx = nginx::config(address(), &servers, work);
    assert!(nginx.contains("backlog=1024") && nginx.contains("proxy_request_buffering off"));
    assert!(haproxy::config(address(), &servers, work).contains("backlog 1024"));
    assert!(envoy::config(address(), &servers, work).contains("\"tcp_backlog_size\":1024"));
}

#[test]
fn what_envoy_is_given_is_json() {
    let text = envoy::config(address(), &setting(2), Path::new("/folder"));
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let endpoints = &value["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"];
    assert_eq!(endpoints.as_array().map(Vec::len), Some(2));
}

fn secured() -> Setting {
    Setting {
        identity: Some(Identity {
            folder: "/identity".into(),
            certificate: "/identity/tls.crt".into(),
            key: "/identity/tls.key".into(),
        }),
        ..setting(1)
    }
}

#[test]
fn within_tls_everyone_shows_the_certificate_and_speaks_both_versions_of_http() {
    let configs = [
        (nginx::config as fn(_, &_, &_) -> _, "ssl http2"),
        (haproxy::config, "alpn h2,http/1.1"),
        (envoy::config, "\"alpn_protocols\":[\"h2\",\"http/1.1\"]"),
    ];
    for (config, protocols) in configs {
        let text: String = config(address(), &secured(), Path::new("/folder"));
        assert!(text.contains("/identity/tls.crt"), "{text}");
        assert!(text.contains(protocols), "{text}");
        let text = config(address(), &setting(1), Path::new("/folder"));
        assert!(!text.contains(protocols), "{text}");
    }
}

#[test]
fn everyone_has_a_route_for_each_prefix() {
    let routes = Setting {
        rules: Rules {
            routes: 3,
            ..Rules::default()
        },
        ..setting(1)
    };
    let nginx = nginx::config(address(), &routes, Path::new("/folder"));
    assert_eq!(nginx.matches("location /service-").count(), 3, "{nginx}");
    assert!(haproxy::config(address(), &routes, Path::new("/folder")).contains("map_beg(/folder/"));
    let expected = "/service-0/ origin\n/service-1/ origin\n/service-2/ origin\n";
    assert_eq!(haproxy::map(&routes), expected);
    let envoy = envoy::config(address(), &routes, Path::new("/folder"));
    assert_eq!(
        envoy.matches("\"prefix\":\"/service-").count(),
        3,
        "{envoy}"
    );
}
