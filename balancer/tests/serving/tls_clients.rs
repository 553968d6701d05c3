//! Clients' own certificates: whether they are needed, and what servers are told of them.

use std::net::SocketAddr;

use certificates::testing::Authority;
use model::{ClientCertificates, ClientVerify, ListenerTls};

use crate::client;
use crate::fleet::Fleet;
use crate::secure::{ANY, Trust, bridge, listener, tls_of};
use crate::upstream::Upstream;
use crate::wire::{Message, field};

const HEADER: &str = "X-Client-Subject";

async fn fleet(trust: &Trust, server: SocketAddr, verify: ClientVerify) -> Fleet {
    let issued = trust.authority.issue(&["shop.example"]);
    let other = trust.authority.issue(&["other.example"]);
    let shown = [("a", &issued), ("b", &other)];
    let fleet = trust.fleet(&shown, &[server], &[]).await;
    let tls = ListenerTls {
        client: ClientCertificates {
            verify,
            ca: trust.authority.pem().into(),
            ..ClientCertificates::default()
        },
        ..ListenerTls::default()
    };
    fleet.change(listener(tls)).await;
    fleet
}

/// A request that claims a subject in each way in which servers may read it.
async fn forge(address: SocketAddr) -> Message {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: shop.example\r\n{HEADER}: CN=forged\r\nx_client-subject: CN=forged\r\n\
         X-Client_SUBJECT: CN=forged\r\n\r\n"
    );
    let answer = client::connect(address).await.ask(request).await;
    answer.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_required_is_named_to_servers_and_cannot_be_forged() {
    let (trust, server) = (Trust::new(), Upstream::echoing().await);
    let fleet = fleet(&trust, server.address, ClientVerify::Required).await;
    let own = trust.authority.issue(&["alice"]);
    let known = bridge(tls_of(&fleet), "shop.example", trust.client_as(&own)).await;
    let head = forge(known).await.text();
    assert_eq!(field(&head, HEADER).as_deref(), Some("CN=alice"), "{head}");
    assert!(!head.contains("forged"), "{head}");
    let plain = forge(fleet.address()).await.text();
    assert!(
        !plain.contains("forged") && !plain.contains("alice"),
        "{plain}"
    );
    for config in [
        trust.client(ANY),
        trust.client_as(&Authority::new("another").issue(&["mallory"])),
    ] {
        let stranger = bridge(tls_of(&fleet), "shop.example", config).await;
        let mut wire = client::connect(stranger).await;
        wire.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
            .await;
        assert!(wire.is_ended().await);
    }
    let failed = "roundhouse_balancer_tls_handshakes_failed_total";
    fleet
        .counts(
            &format!("{failed}{{reason=\"peer-certificate-missing\"}}"),
            1,
        )
        .await;
    let reason = "peer-certificate-of-unknown-issuer";
    fleet
        .counts(&format!("{failed}{{reason=\"{reason}\"}}"), 1)
        .await;
    assert_eq!(server.requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_certificate_where_it_is_optional_has_no_name() {
    let (trust, server) = (Trust::new(), Upstream::echoing().await);
    let fleet = fleet(&trust, server.address, ClientVerify::Optional).await;
    let nobody = bridge(tls_of(&fleet), "shop.example", trust.client(ANY)).await;
    let head = forge(nobody).await.text();
    assert_eq!(field(&head, HEADER), None, "{head}");
    assert!(!head.contains("forged"), "{head}");
    let own = trust.authority.issue(&["bob"]);
    let bob = bridge(tls_of(&fleet), "shop.example", trust.client_as(&own)).await;
    assert_eq!(
        field(&forge(bob).await.text(), HEADER).as_deref(),
        Some("CN=bob")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_does_not_come_in_with_trailers() {
    let (trust, server) = (Trust::new(), Upstream::echoing().await);
    let fleet = fleet(&trust, server.address, ClientVerify::Optional).await;
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTrailer: {HEADER}\r\nTransfer-Encoding: chunked\r\n\r\n\
         1\r\nx\r\n0\r\n{HEADER}: CN=forged\r\n\r\n"
    );
    let answer = fleet.client().await.ask(&request).await;
    let head = answer.expect("an answer").text();
    assert_eq!(field(&head, "trailer"), None, "{head}");
    // Where nobody is asked for a certificate, trailers are as good as elsewhere.
    fleet.change(listener(ListenerTls::default())).await;
    let answer = fleet.client().await.ask(&request).await;
    let head = answer.expect("an answer").text();
    assert_eq!(field(&head, "trailer").as_deref(), Some(HEADER), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_has_proved_to_one_host_counts_for_no_other() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let fleet = fleet(&trust, server.address, ClientVerify::Optional).await;
    let bridged = bridge(tls_of(&fleet), "shop.example", trust.client(ANY)).await;
    let mut client = client::connect(bridged).await;
    for (host, status) in [
        ("shop.example", 200),
        ("SHOP.example:8443", 200),
        ("other.example", 421),
        ("shop.example", 200),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = client.ask(request).await.expect("an answer");
        assert_eq!(answer.status(), status, "{host}");
    }
    // Where nobody has proved anything, the certificate is all there is, and clients have judged it.
    fleet.change(listener(ListenerTls::default())).await;
    let bridged = bridge(tls_of(&fleet), "shop.example", trust.client(ANY)).await;
    let request = "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n";
    let answer = client::connect(bridged).await.ask(request).await;
    assert_eq!(answer.expect("an answer").status(), 200);
}
