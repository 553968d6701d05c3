//! What makes the TLS of listeners and pools valid.

use std::net::IpAddr;

use super::Problems;
use super::certificate::check_pem;
use super::route::{is_host_name, is_reserved, is_token};
use crate::{ClientCertificates, ClientVerify, Listener, ListenerTls, PoolTls};

/// The most certificates that a listener may name. One that has more names none, and shows all.
const CERTIFICATES_MAX: usize = 1_000;

/// What is asked of a listener that asks clients for certificates.
const ROOTS: &str = "is needed where \"tls.client.verify\" asks for certificates: the roots that they must lead to, as PEM \
    (`roundhouse listener set https --tls-client-ca FILE`)";

pub(super) fn check_listener(listener: &Listener, problems: &mut Problems) {
    let tls = &listener.tls;
    let is_plain = listener.id.as_str() == "http";
    let rule = "is for the listener \"https\": what comes to \"http\" is not within TLS";
    problems.check(!is_plain || *tls == ListenerTls::default(), "tls", rule);
    let rule = format!("must name at most {CERTIFICATES_MAX}; none stands for all that there are");
    let is_short = tls.certificates.len() <= CERTIFICATES_MAX;
    problems.check(is_short, "tls.certificates", rule);
    let is_named = |it| tls.certificates.is_empty() || tls.certificates.contains(it);
    let rule = "must be one of \"tls.certificates\", where these are named";
    let is_shown = tls.default.as_ref().is_none_or(is_named);
    problems.relation(|it| it.check(is_shown, "tls.default", rule));
    let distinct = |(index, it)| !tls.alpn[..index].contains(it);
    let holds = !tls.alpn.is_empty() && tls.alpn.iter().enumerate().all(distinct);
    let rule = "must name \"h2\", \"http/1.1\" or both, each once";
    problems.check(holds, "tls.alpn", rule);
    check_clients(&tls.client, problems);
    tls.unknown.check("tls.", problems);
}

fn check_clients(client: &ClientCertificates, problems: &mut Problems) {
    let field = "tls.client.ca";
    match client.ca.is_empty() {
        true => {
            let verifies = client.verify != ClientVerify::None;
            problems.relation(|it| it.check(!verifies, field, ROOTS));
        }
        false => check_pem(field, &client.ca, problems),
    }
    let name = &client.subject_header;
    let rule = match () {
        () if !is_token(name) => "must be 1 to 128 characters of a token",
        () if is_reserved(name) => {
            "must be another: this one frames the message, belongs to one connection, or is the balancer's to write"
        }
        () => "",
    };
    problems.check(rule.is_empty(), "tls.client.subject_header", rule);
    client.unknown.check("tls.client.", problems);
}

pub(super) fn check_pool(tls: &PoolTls, problems: &mut Problems) {
    if !tls.ca.is_empty() {
        check_pem("tls.ca", &tls.ca, problems);
    }
    let name = &tls.server_name;
    let is_name = name.is_empty() || is_host_name(name) || name.parse::<IpAddr>().is_ok();
    let rule =
        "must be the name of a host or an address, without a port; empty for each server's own";
    problems.check(is_name, "tls.server_name", rule);
    tls.unknown.check("tls.", problems);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{validate_listener, validate_pool};

    const CA: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

    fn listener(id: &str, tls: Value) -> Vec<String> {
        let mut listener = json!({"id": id});
        listener["tls"] = tls;
        let listener = serde_json::from_value(listener).expect("a listener's shape");
        let problems = validate_listener(&listener).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.field).collect()
    }

    fn pool(tls: Value) -> Vec<String> {
        let mut pool = json!({"id": "web"});
        pool["tls"] = tls;
        let pool = serde_json::from_value(pool).expect("a pool's shape");
        let problems = validate_pool(&pool).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn each_setting_of_a_listeners_tls_has_its_rule() {
        assert!(listener("https", json!({})).is_empty());
        assert!(listener("http", json!({})).is_empty());
        assert_eq!(listener("http", json!({"default": "www"})), ["tls"]);
        let named = |default: &str| json!({"certificates": ["a", "b"], "default": default});
        assert!(listener("https", named("b")).is_empty());
        assert_eq!(listener("https", named("c")), ["tls.default"]);
        assert!(listener("https", json!({"default": "c"})).is_empty());
        for alpn in [json!([]), json!(["h2", "h2"])] {
            assert_eq!(listener("https", json!({"alpn": alpn})), ["tls.alpn"]);
        }
        let many = json!({"certificates": vec!["a"; 1_001]});
        assert_eq!(listener("https", many), ["tls.certificates"]);
        let unknown = json!({"min": 1, "client": {"crl": 1}});
        assert_eq!(listener("https", unknown), ["tls.client.crl", "tls.min"]);
    }

    #[test]
    fn clients_are_verified_by_roots_and_their_subject_has_a_field_of_its_own() {
        let client = |client: Value| listener("https", json!({"client": client}));
        assert!(client(json!({"verify": "required", "ca": CA})).is_empty());
        let without = json!({"id": "https", "tls": {"client": {"verify": "optional"}}});
        let without = serde_json::from_value(without).expect("a listener's shape");
        let problems = validate_listener(&without).expect_err("no roots");
        let said = problems[0].to_string();
        assert!(said.starts_with("tls.client.ca: is needed where"), "{said}");
        assert!(said.contains("--tls-client-ca FILE"), "{said}");
        assert_eq!(problems.len(), 1);
        assert_eq!(client(json!({"ca": "x"})), ["tls.client.ca"]);
        for name in ["", "a b", "Host", "Content_Length", "X-Forwarded-For"] {
            let fields = client(json!({"subject_header": name}));
            assert_eq!(fields, ["tls.client.subject_header"], "{name}");
        }
    }

    #[test]
    fn a_pools_servers_have_a_name_without_a_port() {
        for name in ["", "api.example", "10.0.0.1", "2001:db8::1"] {
            let tls = json!({"enabled": true, "server_name": name, "ca": CA});
            assert!(pool(tls).is_empty(), "{name}");
        }
        for name in ["api.example:443", "a b", "*.example"] {
            assert_eq!(pool(json!({"server_name": name})), ["tls.server_name"]);
        }
        assert_eq!(pool(json!({"ca": "x", "sni": "y"})), ["tls.ca", "tls.sni"]);
    }
}
