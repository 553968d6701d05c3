//! Servers that are called within TLS: whom the balancer believes, what it shows, and what becomes of requests where it does not.

use std::net::SocketAddr;
use std::sync::Arc;

use certificates::testing::{Authority, Issued};
use model::{Change, Pool, PoolTls, Protocol};

use crate::client;
use crate::fleet::{Fleet, pool};
use crate::h2_upstream::{Call, H2Upstream};
use crate::load::Load;
use crate::secure::{Trust, front, server_config};
use crate::upstream::Upstream;
use crate::wire::eventually;

const FAILED: &str = "roundhouse_balancer_server_tls_handshakes_failed_total";

fn failed(reason: &str) -> String {
    format!("{FAILED}{{reason=\"{reason}\"}}")
}

fn tls(trust: &Trust) -> PoolTls {
    PoolTls {
        enabled: true,
        ca: trust.authority.pem().into(),
        server_name: "api.example".into(),
        ..PoolTls::default()
    }
}

fn called_by(tls: PoolTls) -> Change {
    let mut pool: Pool = pool();
    pool.tls = tls;
    Change::put_pool(pool)
}

async fn secure(server: &Upstream, issued: &Issued) -> SocketAddr {
    front(server.address, server_config(issued, None)).await
}

async fn fleet(trust: &Trust, servers: &[SocketAddr], tls: PoolTls) -> Fleet {
    let fleet = trust.fleet(&[], servers, &["--threads", "1"]).await;
    fleet.change(called_by(tls)).await;
    fleet
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_proves_its_name_is_called_and_its_connection_is_kept() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let address = secure(&server, &trust.authority.issue(&["api.example"])).await;
    let fleet = fleet(&trust, &[address], tls(&trust)).await;
    let mut client = fleet.client().await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.text(), "one");
    }
    assert_eq!((server.connections(), server.requests()), (1, 5));
    let made = "roundhouse_balancer_server_tls_handshakes_total";
    fleet
        .counts(&format!("{made}{{version=\"1.3\",resumed=\"false\"}}"), 1)
        .await;
    // Under other settings none of the old connections is used.
    let settings = PoolTls {
        verify: false,
        ..tls(&trust)
    };
    fleet.change(called_by(settings)).await;
    assert_eq!(client.get("/").await.text(), "one");
    assert_eq!(server.connections(), 2);
    eventually("the old one is closed", || server.open() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_http_2_is_called_within_tls_too_and_told_so() {
    let trust = Trust::new();
    let server = H2Upstream::start(async |call: Call| {
        let is_told = call.head.uri().scheme_str() == Some("https");
        call.answer(if is_told { "https" } else { "another" }).await;
    })
    .await;
    let issued = trust.authority.issue(&["api.example"]);
    let mut config = Arc::unwrap_or_clone(server_config(&issued, None));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let address = front(server.address, Arc::new(config)).await;
    let fleet = trust.fleet(&[], &[address], &["--threads", "1"]).await;
    let mut pool = pool();
    pool.protocol = Protocol::H2;
    pool.tls = tls(&trust);
    fleet.change(Change::put_pool(pool.clone())).await;
    let mut client = fleet.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.text(), "https");
    }
    assert_eq!((server.connections(), server.requests()), (1, 3));
    // Under other settings the old connection takes no further stream.
    pool.tls.verify = false;
    fleet.change(Change::put_pool(pool)).await;
    assert_eq!(client.get("/").await.text(), "https");
    assert_eq!(server.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_called_by_its_address_where_no_name_is_given() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let address = secure(&server, &trust.authority.issue(&["127.0.0.1"])).await;
    let settings = PoolTls {
        server_name: String::new(),
        ..tls(&trust)
    };
    let fleet = fleet(&trust, &[address], settings).await;
    assert_eq!(client::get(fleet.address(), "/").await.text(), "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_added_by_a_name_is_called_by_it() {
    for protocol in [Protocol::Http1, Protocol::H2] {
        let trust = Trust::new();
        let issued = trust.authority.issue(&["web.internal", "www.internal"]);
        let (http1, h2) = (Upstream::named("one").await, H2Upstream::named("one").await);
        let mut config = Arc::unwrap_or_clone(server_config(&issued, None));
        let address = match protocol {
            Protocol::Http1 => http1.address,
            Protocol::H2 => h2.address,
        };
        if protocol == Protocol::H2 {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        let address = front(address, Arc::new(config)).await;
        let fleet = trust.fleet(&[], &[address], &["--threads", "1"]).await;
        let mut pool = pool();
        pool.protocol = protocol;
        pool.tls = PoolTls {
            server_name: String::new(),
            ..tls(&trust)
        };
        fleet.change(Change::put_pool(pool)).await;
        // Its certificate is not for its address.
        assert_eq!(client::get(fleet.address(), "/").await.status(), 502);
        let connections = || http1.connections() + h2.connections();
        let mut client = fleet.client().await;
        for (name, answers, opened) in [
            ("web.internal", true, 1),
            ("www.internal", true, 2),
            ("other.internal", false, 2),
            ("web.internal", true, 3),
        ] {
            let mut server = crate::fleet::server("s1", address);
            server.hostname = Some(name.into());
            fleet.change(Change::put_server(server)).await;
            for _ in 0..3 {
                let answer = client.get("/").await;
                assert_eq!(answer.status() == 200, answers, "{name}");
            }
            assert_eq!(connections(), opened, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_prove_who_it_is_gets_no_request_and_another_is_asked() {
    let (trust, server) = (Trust::new(), Upstream::named("bad").await);
    let expired = trust.authority.issue_expired(&["api.example"]);
    let misnamed = trust.authority.issue(&["other.example"]);
    let stranger = Authority::new("another").issue(&["api.example"]);
    for (issued, reason) in [
        (expired, "peer-certificate-expired"),
        (misnamed, "peer-certificate-of-another-name"),
        (stranger, "peer-certificate-of-unknown-issuer"),
    ] {
        let bad = secure(&server, &issued).await;
        let alone = fleet(&trust, &[bad], tls(&trust)).await;
        let answer = client::get(alone.address(), "/").await;
        assert_eq!(answer.status(), 502, "{reason}");
        let before = alone.metric(&failed(reason)).await;
        assert!(before >= 1.0, "{reason}");
        let good = Upstream::named("good").await;
        let address = secure(&good, &trust.authority.issue(&["api.example"])).await;
        let both = fleet(&trust, &[bad, address], tls(&trust)).await;
        for _ in 0..4 {
            assert_eq!(client::get(both.address(), "/").await.text(), "good");
        }
        let credulous = PoolTls {
            verify: false,
            ..tls(&trust)
        };
        alone.change(called_by(credulous)).await;
        assert_eq!(client::get(alone.address(), "/").await.text(), "bad");
    }
    assert_eq!(server.requests(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_speaks_no_tls_is_not_spoken_to_in_the_open() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let fleet = fleet(&trust, &[server.address], tls(&trust)).await;
    assert_ne!(client::get(fleet.address(), "/").await.status(), 200);
    assert_eq!(server.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_balancers_own_certificate_is_shown_to_servers_that_ask() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let issued = trust.authority.issue(&["api.example"]);
    let strict = server_config(&issued, Some(&trust.authority));
    let address = front(server.address, strict).await;
    let fleet = fleet(&trust, &[address], tls(&trust)).await;
    let (status, reason) = client::get(fleet.address(), "/").await.verdict();
    assert_eq!(status, 502, "{reason}");
    // TLS 1.3 tells of it after the handshake, when the request may be on its way.
    assert_ne!(reason, "malformed-http2-response");
    let own = trust.authority.issue(&["balancer"]);
    fleet.change(trust.put("own", &own)).await;
    let settings = PoolTls {
        certificate: Some("own".parse().expect("a name")),
        ..tls(&trust)
    };
    fleet.change(called_by(settings)).await;
    assert_eq!(client::get(fleet.address(), "/").await.text(), "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_a_server_with_a_bound_pass_between_threads_within_tls() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let address = secure(&server, &trust.authority.issue(&["api.example"])).await;
    let fleet = trust.fleet(&[], &[], &["--threads", "3"]).await;
    fleet.change(called_by(tls(&trust))).await;
    let mut bounded = crate::fleet::server("s1", address);
    bounded.max_connections = 2;
    fleet.change(Change::put_server(bounded)).await;
    let load = Load::start(fleet.address());
    for _ in 0..5 {
        load.proceeds().await;
        assert!(server.open() <= 2);
    }
    load.end().await;
}
